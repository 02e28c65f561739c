/**
 * Docker's flags that make no sense here, with the reason that whoever gives one is told. Loaded only then; docs/cli.md
 * has the same list, and test/kernel/flags.test.ts compares the two.
 */

interface RefusedFlag {
  readonly long: string;
  readonly short?: string;
  readonly why: string;
}

const WINDOWS = "only Windows containers have it";
const NO_DAEMON = "there is no daemon to connect to: ctr does the work itself";

const NO_CONFIG = "a network's configuration is its own: there is no swarm that would share it";
const CLUSTER = "only volumes of a swarm have it, and there is no swarm here";

const OF_A_CONTAINER: readonly RefusedFlag[] = [
  { long: "cpu-count", why: WINDOWS },
  { long: "cpu-percent", why: WINDOWS },
  { long: "io-maxbandwidth", why: WINDOWS },
  { long: "io-maxiops", why: WINDOWS },
  { long: "isolation", why: WINDOWS },
  { long: "kernel-memory", why: "the kernel has no such limit any more (since 5.16); --memory covers it" },
  { long: "gpus", why: "there is no driver for it: pass the devices with --device" },
  { long: "use-api-socket", why: "there is no daemon whose socket a container could be given" },
];

/** By command, the shortest way to say it; the empty name stands for what is given before a command. */
export const REFUSED_FLAGS: { readonly [command: string]: readonly RefusedFlag[] } = {
  "": [
    { long: "context", short: "c", why: NO_DAEMON },
    { long: "host", short: "H", why: NO_DAEMON },
    { long: "log-level", short: "l", why: "there is no daemon that logs; --debug shows the causes of a failure" },
    { long: "tls", why: NO_DAEMON },
    { long: "tlscacert", why: NO_DAEMON },
    { long: "tlscert", why: NO_DAEMON },
    { long: "tlskey", why: NO_DAEMON },
    { long: "tlsverify", why: NO_DAEMON },
  ],
  create: OF_A_CONTAINER,
  run: OF_A_CONTAINER,
  start: [
    { long: "checkpoint", why: "there are no checkpoints" },
    { long: "checkpoint-dir", why: "there are no checkpoints" },
  ],
  "network create": [
    { long: "config-from", why: NO_CONFIG },
    { long: "config-only", why: NO_CONFIG },
    { long: "ingress", why: "there is no swarm here" },
  ],
  "volume create": [
    { long: "availability", why: CLUSTER },
    { long: "group", why: CLUSTER },
    { long: "limit-bytes", why: CLUSTER },
    { long: "required-bytes", why: CLUSTER },
    { long: "scope", why: CLUSTER },
    { long: "secret", why: CLUSTER },
    { long: "sharing", why: CLUSTER },
    { long: "topology-preferred", why: CLUSTER },
    { long: "topology-required", why: CLUSTER },
    { long: "type", why: CLUSTER },
  ],
  "volume list": [{ long: "cluster", why: CLUSTER }],
  "volume ls": [{ long: "cluster", why: CLUSTER }],
  "volume update": [{ long: "availability", why: CLUSTER }],
};

/** Why this flag of this command is refused; undefined if it is simply unknown. `given` is its name or its letter. */
export function whyRefused(path: readonly string[], given: string): string | undefined {
  const command = [path.join(" "), path.at(-1) ?? ""].find((name) => Object.hasOwn(REFUSED_FLAGS, name));
  const flags = command === undefined ? undefined : REFUSED_FLAGS[command];
  return flags?.find(({ long, short }) => long === given || short === given)?.why;
}
