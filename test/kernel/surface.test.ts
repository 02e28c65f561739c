/**
 * The visible surface of a container beside Docker's (test/reference/surface.json, recorded on this machine): capabilities, the
 * filter's answer to every call, namespaces, limits, descriptors, mounts, and every name of /dev, /proc and /sys with what may
 * be done with it. Nothing is more open; where ours is tighter is listed here and in docs/security.md.
 */
import { expect } from "bun:test";
import { release } from "node:os";
import { tempEngine } from "../lib/engine.ts";
import { needs } from "../lib/needs.ts";
import { compileSurface, numbersOf, parseSurface, SCRIPT, type Surface, VARIANTS } from "../lib/surface.ts";
import { test as kernelTest } from "../lib/test.ts";
import recorded from "../reference/surface.json" with { type: "json" };

const test = kernelTest.if(needs("ctr", "cgroup-v1") && process.arch === "x64");
const engine = tempEngine();
const image = await engine.image("minimal");
const directory = await compileSurface(`${engine.scratch}/surface`);

/** Another kernel has other files, and a container there is not comparable name by name. */
const isSameKernel = recorded.kernel === release();

async function surfaceOf(flags: readonly string[]): Promise<Surface> {
  const network = flags.includes("--network") ? [] : ["--network", "none"];
  return parseSurface(
    await engine.ok("run", "--rm", ...network, ...flags, "-v", `${directory}:/surface:ro`, image, "sh", "-c", SCRIPT),
  );
}

function dockers(variant: string): Surface {
  const changes: Readonly<Record<string, Readonly<Record<string, string | null>>>> = recorded.variants;
  const all = Object.entries({ ...recorded.default, ...changes[variant] });
  return Object.fromEntries(all.flatMap(([fact, value]) => (value === null ? [] : [[fact, value] as const])));
}

const ONLY_DOCKERS = "only Docker has it";

/** What is tighter, by fact, and what is more open. */
function compare(ours: Surface, theirs: Surface): { readonly tighter: string[]; readonly wider: string[] } {
  const tighter: string[] = [];
  const wider: string[] = [];
  for (const fact of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const [our, their] = [ours[fact], theirs[fact]];
    if (our === their || fact.startsWith("calls:") || fact === "env:HOSTNAME") continue;
    if (our === undefined) tighter.push(`${fact}: ${ONLY_DOCKERS}`);
    else if (their === undefined) {
      if (isSameKernel || !fact.startsWith("/")) wider.push(`${fact}: ${our}`);
    } else if (fact.startsWith("/")) {
      const [a, b] = [fileOf(our), fileOf(their)];
      if (a.isNull && !b.isNull) tighter.push(`${fact}: masked`);
      else if (JSON.stringify({ ...a, mode: 0 }) !== JSON.stringify({ ...b, mode: 0 }) || (a.mode & ~b.mode) !== 0)
        wider.push(`${fact}: ${our} | ${their}`);
      else if (a.mode !== b.mode) tighter.push(`${fact}: mode`);
    } else if (fact.startsWith("mount:") && isTighterMount(our, their)) tighter.push(`${fact}: ${our}`);
    else wider.push(`${fact}: ${our} | ${their}`);
  }
  return { tighter: tighter.toSorted(), wider };
}

/** `100644 0:0 read yes write EROFS`: any error is a no. */
function fileOf(fact: string) {
  const [, mode = "0", rest = ""] = /^(\d+)(.*)$/.exec(fact) ?? [undefined, "0", fact];
  return {
    mode: Number.parseInt(mode, 8),
    isNull: / 1:3 /.test(rest),
    owner: rest.replace(/ (read|write) .*$/, ""),
    reads: / read yes/.test(rest),
    writes: / write yes/.test(rest),
  };
}

/** The same with more of nosuid, nodev, noexec, ro, and less propagation. */
function isTighterMount(our: string, their: string): boolean {
  const words = (text: string) => new Set(text.replace(" propagates", ",propagates").split(/[ ,]/));
  const restricts = ["nosuid", "nodev", "noexec", "ro"];
  const [a, b] = [words(our), words(their)];
  const added = [...a].filter((word) => !b.has(word));
  const gone = [...b].filter((word) => !a.has(word));
  return (
    added.every((word) => restricts.includes(word)) && gone.every((word) => word === "rw" || word === "propagates")
  );
}

/** docs/security.md, "Beside Docker". */
const TIGHTER: readonly string[] = [
  "/proc/acpi: mode",
  "/proc/interrupts: masked",
  "/sys/firmware: mode",
  "mount:/: overlay relatime,rw",
  "mount:/proc/acpi: tmpfs nodev,noexec,nosuid,relatime,ro",
  "mount:/sys/firmware: tmpfs nodev,noexec,nosuid,relatime,ro",
  "mount:/sys/fs/cgroup: tmpfs nodev,noexec,nosuid,relatime,ro",
];

for (const [variant, flags] of Object.entries(VARIANTS)) {
  test(`${variant}: nothing is more open than with Docker, and what is tighter is known`, async () => {
    const { tighter, wider } = compare(await surfaceOf(flags), dockers(variant));
    const isMasked = variant !== "system paths" && variant !== "privileged";
    // The null device that masks a file which Docker does not mask yet.
    if (variant === "privileged") expect(wider.filter((line) => !isNewerCapabilities(line))).toEqual([]);
    else expect(wider).toEqual(isMasked ? ["mount:/proc/interrupts: tmpfs nosuid,rw"] : []);
    // Only the hierarchies that a container needs; whoever joins the host's network has no docker0 there.
    const isKnown = (line: string) => /^(mount:)?\/sys\/fs\/cgroup\/(cpuset|systemd)\b|\/docker0\b/.test(line);
    const isHere = (line: string) =>
      (isMasked || !/acpi|interrupts|firmware/.test(line)) && !(variant === "privileged" && line.includes("cgroup"));
    const expected = TIGHTER.filter(isHere).map((line) =>
      variant === "read-only" ? line.replace(/^(mount:\/: .*),rw$/, "$1,ro") : line,
    );
    if (isSameKernel) expect(tighter.filter((line) => !isKnown(line))).toEqual(expected.toSorted());
  });
}

/** Docker 20.10 knows capabilities up to 37; perfmon, bpf and checkpoint_restore are later, and newer Dockers give them too. */
function isNewerCapabilities(line: string): boolean {
  const [, ours = "0", theirs = "0"] = /^status:Cap(?:Bnd|Eff|Prm): (\w+) \| (\w+)$/.exec(line) ?? [];
  return ours !== "0" && BigInt(`0x${ours}`) === (BigInt(`0x${theirs}`) | (7n << 38n));
}

/**
 * Calls of Docker 28's profile that 20.10's did not have yet: name_to_handle_at, process_vm_readv and _writev, pkey_*, then
 * cachestat, fchmodat2, map_shadow_stack, futex_wake, futex_wait, futex_requeue, statmount, listmount, mseal, *xattrat. The
 * fewer: io_uring_*.
 */
const NEWER = [451, 452, 453, 454, 455, 456, 457, 458, 462, 463, 464, 465, 466];
const MORE_CALLS = {
  x86_64: [303, 310, 311, 329, 330, 331, ...NEWER],
  x32: [303, 329, 330, 331, ...NEWER, 539, 540],
  x86: [341, 347, 348, 380, 381, 382, ...NEWER],
};

test("every system call number: allowed is what Docker allows, and its later versions", async () => {
  const [ours, theirs] = [await surfaceOf([]), dockers("default")];
  for (const [abi, more] of Object.entries(MORE_CALLS)) {
    const [a, b] = [numbersOf(ours[`calls:${abi}`] ?? ""), numbersOf(theirs[`calls:${abi}`] ?? "")];
    expect(a.length).toBeGreaterThan(250);
    expect(a.filter((number) => !b.includes(number))).toEqual(more);
    expect(b.filter((number) => !a.includes(number))).toEqual([425, 426, 427]);
  }
});
