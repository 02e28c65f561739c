/** The flags of `run` and `create`, and what a container is to be made from. */
import { type ContainerFlags, type FlagSpec, specFromFlags } from "../../internal/container/spec-from-flags.ts";
import type { FlagDefinitions } from "./command.ts";
import { asUsageError } from "./option-errors.ts";

export const CONTAINER_FLAGS = {
  "add-host": {
    type: "string",
    valueHint: "list",
    repeatable: true,
    description: "Add a custom host-to-IP mapping (host:ip)",
  },
  attach: {
    type: "string",
    alias: "a",
    valueHint: "list",
    repeatable: true,
    description: "Attach to STDIN, STDOUT or STDERR",
  },
  "cap-add": { type: "string", valueHint: "list", repeatable: true, description: "Add Linux capabilities" },
  "cap-drop": { type: "string", valueHint: "list", repeatable: true, description: "Drop Linux capabilities" },
  cidfile: { type: "string", description: "Write the container ID to the file" },
  "cpu-shares": { type: "string", alias: "c", valueHint: "int", description: "CPU shares (relative weight)" },
  cpus: { type: "string", valueHint: "decimal", description: "Number of CPUs" },
  "cpuset-cpus": { type: "string", description: "CPUs in which to allow execution (0-3, 0,1)" },
  "cpuset-mems": { type: "string", description: "MEMs in which to allow execution (0-3, 0,1)" },
  dns: { type: "string", valueHint: "list", repeatable: true, description: "Set custom DNS servers" },
  "dns-option": {
    type: "string",
    alias: "dns-opt",
    valueHint: "list",
    repeatable: true,
    description: "Set DNS options",
  },
  "dns-search": { type: "string", valueHint: "list", repeatable: true, description: "Set custom DNS search domains" },
  domainname: { type: "string", description: "Container NIS domain name" },
  entrypoint: { type: "string", description: "Overwrite the default ENTRYPOINT of the image" },
  env: { type: "string", alias: "e", valueHint: "list", repeatable: true, description: "Set environment variables" },
  "env-file": {
    type: "string",
    valueHint: "list",
    repeatable: true,
    description: "Read in a file of environment variables",
  },
  expose: { type: "string", valueHint: "list", repeatable: true, description: "Expose a port or a range of ports" },
  "group-add": { type: "string", valueHint: "list", repeatable: true, description: "Add additional groups to join" },
  hostname: { type: "string", alias: "h", description: "Container host name" },
  init: { type: "boolean", description: "Run an init inside the container that forwards signals and reaps processes" },
  interactive: { type: "boolean", alias: "i", description: "Keep STDIN open even if not attached" },
  label: {
    type: "string",
    alias: "l",
    valueHint: "list",
    repeatable: true,
    description: "Set meta data on a container",
  },
  "label-file": {
    type: "string",
    valueHint: "list",
    repeatable: true,
    description: "Read in a line delimited file of labels",
  },
  "mac-address": { type: "string", description: "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
  memory: { type: "string", alias: "m", valueHint: "bytes", description: "Memory limit" },
  "memory-reservation": { type: "string", valueHint: "bytes", description: "Memory soft limit" },
  "memory-swap": {
    type: "string",
    valueHint: "bytes",
    description: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
  },
  name: { type: "string", description: "Assign a name to the container" },
  network: { type: "string", alias: "net", valueHint: "network", description: "Connect a container to a network" },
  "pids-limit": { type: "string", valueHint: "int", description: "Tune container pids limit (set -1 for unlimited)" },
  privileged: { type: "boolean", description: "Give extended privileges to this container" },
  publish: {
    type: "string",
    alias: "p",
    valueHint: "list",
    repeatable: true,
    description: "Publish a container's port(s) to the host",
  },
  "publish-all": { type: "boolean", alias: "P", description: "Publish all exposed ports to random ports" },
  "read-only": { type: "boolean", description: "Mount the container's root filesystem as read only" },
  rm: {
    type: "boolean",
    description: "Automatically remove the container and its associated anonymous volumes when it exits",
  },
  "security-opt": { type: "string", valueHint: "list", repeatable: true, description: "Security Options" },
  "shm-size": { type: "string", valueHint: "bytes", description: "Size of /dev/shm" },
  "stop-signal": { type: "string", description: "Signal to stop the container" },
  "stop-timeout": { type: "string", valueHint: "int", description: "Timeout (in seconds) to stop a container" },
  tmpfs: { type: "string", valueHint: "list", repeatable: true, description: "Mount a tmpfs directory" },
  tty: { type: "boolean", alias: "t", description: "Allocate a pseudo-TTY" },
  ulimit: { type: "string", valueHint: "ulimit", repeatable: true, description: "Ulimit options" },
  user: { type: "string", alias: "u", description: "Username or UID (format: <name|uid>[:<group|gid>])" },
  volume: { type: "string", alias: "v", valueHint: "list", repeatable: true, description: "Bind mount a volume" },
  workdir: { type: "string", alias: "w", description: "Working directory inside the container" },
} as const satisfies FlagDefinitions;

/** The flags, read. Throws UsageError for a value a flag cannot have; `command` is `run` or `create`. */
export function readContainerFlags(flags: ContainerFlags, command: string, isDetached: boolean): FlagSpec {
  return asUsageError(command, CONTAINER_FLAGS, () =>
    specFromFlags(flags, { variables: process.env, directory: process.cwd(), isDetached }),
  );
}
