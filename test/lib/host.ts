/** What the kernel of the pretend host shows now: read to tell what an engine left behind. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The text of a file of the kernel's, or "" if it has gone meanwhile. */
export function kernelFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a process or cgroup may end while it is being read
  }
}

export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
  readonly executable: string;
}

/** Every process of this PID namespace; zombies too. */
export function processes(): readonly HostProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = kernelFile(`/proc/${name}/stat`);
      if (stat === "") return [];
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      let executable = "";
      try {
        executable = readlinkSync(`/proc/${name}/exe`);
      } catch {
        // a zombie has none
      }
      const command = kernelFile(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim();
      return [
        {
          pid: Number(name),
          parent: Number(fields[1]),
          state: fields[0] ?? "",
          command: command || stat.split(" ")[1] || "",
          executable,
        },
      ];
    });
}

/** The processes whose command line holds this text. */
export function processesWith(text: string): readonly HostProcess[] {
  return processes().filter((process) => process.command.includes(text) && process.pid !== globalThis.process.pid);
}

/** Mount points of this mount namespace. */
export function mounts(): readonly string[] {
  return kernelFile("/proc/self/mountinfo").trim().split("\n");
}

/** Link names of this network namespace. (`/sys/class/net` would show the namespace that mounted it.) */
export function links(): readonly string[] {
  return kernelFile("/proc/self/net/dev")
    .trim()
    .split("\n")
    .slice(2)
    .map((line) => line.split(":")[0]?.trim() ?? "");
}

/** Rules of the packet filter, without counters and comments. */
export function rules(): readonly string[] {
  const saved = Bun.spawnSync(["iptables-save"]).stdout.toString();
  return saved
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/ ?\[\d+:\d+\]/, ""));
}

/** The cgroup parent of this run, `/ctr-test-…`: set by scripts/private-host. */
export function cgroupParent(): string {
  return process.env["CTR_CGROUP_PARENT"] ?? "/ctr-test";
}

/** Directories of each mounted hierarchy: v1 controllers, v2, or both. */
export function cgroupHierarchies(): readonly string[] {
  return mounts().flatMap((line) => {
    const [head = "", tail = ""] = line.split(" - ");
    return /^cgroup2? /.test(tail) ? [head.split(" ")[4] ?? ""] : [];
  });
}

/** Every cgroup below `parent`, with its hierarchy: `/sys/fs/cgroup/pids/ctr-test-1/abc`. */
export function cgroupsBelow(parent: string): readonly string[] {
  return cgroupHierarchies().flatMap((hierarchy) => directoriesBelow(`${hierarchy}${parent}`));
}

function directoriesBelow(directory: string): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // removed meanwhile, or never made in this hierarchy
  }
  return names.flatMap((name) => [`${directory}/${name}`, ...directoriesBelow(`${directory}/${name}`)]);
}

/** Only in a pretend host: what follows mounts, links and filters. */
export function requirePrivateHost(): void {
  if (process.env["CTR_PRIVATE_HOST"] === "1") return;
  throw new Error("kernel tests run in a host of their own: scripts/test test/kernel/NAME.test.ts");
}

/** Everything below a directory, links not followed; nothing if it is not there. */
export function filesBelow(directory: string, depth = 100): readonly string[] {
  const found = Bun.spawnSync(["find", directory, "-mindepth", "1", "-maxdepth", String(depth)], { stderr: "ignore" });
  return found.stdout
    .toString()
    .split("\n")
    .filter((path) => path !== "");
}
