/** config.md#root, config.md#mounts, config-linux.md#masked-paths and what else is seen in the file system */
import { chmodSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { type Bundle, type Json, MOUNTS, NAMESPACES, worldOf } from "../harness.ts";
import { check, includes, type Run, refuses, runs, type Scene, same, scene, that } from "../scene.ts";
import { mountAt, mountLines } from "../world.ts";

const ROOT = "config.md#root";
const PLACES = "config.md#mounts";
const LINUX_MOUNTS = "config.md#linux-mount-options";
const FILE_SYSTEMS = "config-linux.md#default-filesystems";

const EROFS = "errno 30";

/** A directory on the host with something in it. */
function source(bundle: Bundle, name: string): string {
  const path = `${bundle.path}/${name}`;
  mkdirSync(path, { recursive: true });
  writeFileSync(`${path}/inside`, `content of ${name}\n`);
  return path;
}

function bind(from: string, destination: string, ...options: string[]): Json {
  return { destination, type: "bind", source: from, options: ["rbind", ...options] };
}

function tmpfs(destination: string, ...options: string[]): Json {
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

function optionsAt(run: Run, place: string): readonly string[] {
  return mountAt(run.world, place).options;
}

export const FILE_SCENES: readonly Scene[] = [
  runs(
    "a writable root",
    {},
    ["write:/new", "stat:/new", "list:/proc/sys/kernel/random", "stat:/dev/pts/ptmx"],
    check(ROOT, "MUST", "readonly defaults to false: the root can be written", ({ answers }) =>
      same(answers.get("write:/new"), "ok"),
    ),
    check(ROOT, "MUST", "root.path is the container's root, and nothing of the host's is above it", ({ world }) =>
      same(
        Object.keys(world.root).filter((name) => !["new"].includes(name)),
        ["bin", "dev", "etc", "home", "proc", "sys", "tmp", "world"],
      ),
    ),
    check(ROOT, "MUST", "the host's mounts are not visible", ({ world }) =>
      same(
        mountLines(world)
          .map(({ place }) => place)
          .filter((place) => !/^\/($|proc|dev|sys)/.test(place)),
        [],
      ),
    ),
    ...(
      [
        ["/proc", "proc"],
        ["/sys", "sysfs"],
        ["/dev/pts", "devpts"],
        ["/dev/shm", "tmpfs"],
      ] as const
    ).map(([place, type]) =>
      check<Run>(FILE_SYSTEMS, "SHOULD", `${place} is a ${type}`, ({ world }) =>
        same(mountAt(world, place).type, type),
      ),
    ),
    check("runtime-linux.md#dev-symbolic-links", "MUST", "/dev has the symbolic links to /proc/self/fd", ({ world }) =>
      same(
        ["fd", "stdin", "stdout", "stderr"].map((name) => world.dev[name]?.target),
        ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"],
      ),
    ),
    check("runtime-linux.md#file-descriptors", "MUST", "only standard input, output and error are open", ({ world }) =>
      same(Object.keys(world.fds), ["0", "1", "2"]),
    ),
  ),
  runs(
    "a read-only root",
    { root: { readonly: true } },
    ["write:/new", "write:/dev/new", "write:/dev/shm/new"],
    check(ROOT, "MUST", "readonly: the root file system is read-only inside the container", ({ answers }) =>
      same(answers.get("write:/new"), EROFS),
    ),
    check(ROOT, "MUST", "readonly: mounts of their own stay writable", ({ answers }) =>
      same([answers.get("write:/dev/new"), answers.get("write:/dev/shm/new")], ["ok", "ok"]),
    ),
  ),
  runs(
    "an absolute root path",
    (bundle) => ({ root: { path: bundle.rootfs } }),
    [],
    check(ROOT, "MUST", "path is absolute or relative to the bundle", ({ world }) => same(world.uid[0], 0)),
  ),
  refuses(
    "a root that is not there",
    { root: { path: "nowhere" } },
    ROOT,
    "MUST",
    "a directory exists at root.path",
    /nowhere/,
  ),
  refuses(
    "a root that is a file",
    (bundle) => {
      writeFileSync(`${bundle.path}/file`, "");
      return { root: { path: "file" } };
    },
    ROOT,
    "MUST",
    "root.path is a directory",
  ),
  refuses("no root", { root: undefined }, ROOT, "MUST", "root is required", /root/),
  runs(
    "mounts of many kinds",
    (bundle) => {
      const [one, two, three] = [source(bundle, "one"), source(bundle, "two"), source(bundle, "three")];
      writeFileSync(`${bundle.path}/file`, "a file\n");
      symlinkSync("/etc/real", `${bundle.rootfs}/link`);
      mkdirSync(`${bundle.rootfs}/etc/real`);
      symlinkSync("../../../../../../../../etc", `${bundle.rootfs}/escape`);
      mkdirSync(`${bundle.rootfs}/up`);
      writeFileSync(`${bundle.rootfs}/up/from-image`, "image\n");
      chmodSync(`${bundle.rootfs}/up`, 0o750);
      return {
        mounts: [
          ...MOUNTS,
          tmpfs("/first", "mode=700", "size=64k"),
          bind(one, "/first/nested"),
          bind(two, "/first/nested/../beside"),
          bind(one, "/made/by/runtime", "ro"),
          bind(`${bundle.path}/file`, "/etc/file"),
          bind(two, "/link"),
          bind(three, "/escape/three"),
          tmpfs("/flags", "nosuid", "nodev", "noexec", "noatime", "ro"),
          tmpfs("/strict", "strictatime", "nodiratime"),
          bind(two, "/bound-flags", "nosuid", "nodev", "noexec", "nodiratime"),
          tmpfs("/up", "tmpcopyup"),
          { destination: "relative/place", type: "tmpfs", source: "tmpfs" },
          { destination: "/by-option", source: three, options: ["bind", "rw"] },
          { destination: "/by-none", type: "none", source: three, options: ["rbind"] },
          tmpfs("/closed", "ro", "mode=755"),
          bind(one, "/closed/inside"),
          tmpfs("/home"),
        ],
      };
    },
    [
      "read:/first/nested/inside",
      "read:/first/beside/inside",
      "write:/made/by/runtime/new",
      "read:/made/by/runtime/inside",
      "read:/etc/file",
      "read:/etc/real/inside",
      "read:/etc/three/inside",
      "write:/flags/x",
      "list:/up",
      "read:/up/from-image",
      "stat:/up",
      "stat:/first",
      "read:/by-option/inside",
      "read:/by-none/inside",
      "write:/by-option/new",
      "write:/closed/new",
      "read:/closed/inside/inside",
      "stat:/home",
    ],
    check(PLACES, "MUST", "entries are mounted in the listed order", ({ answers, world }) => {
      same(answers.get("read:/first/nested/inside"), "content of one\n");
      const places = mountLines(world).map(({ place }) => place);
      that(places.indexOf("/first") < places.indexOf("/first/nested"), places.join(" "));
    }),
    check(PLACES, "MUST", "destination: dots in the path mean what they mean in a path", ({ answers }) =>
      same(answers.get("read:/first/beside/inside"), "content of two\n"),
    ),
    check(PLACES, "MUST", "destination: a directory that is missing is made", ({ answers }) =>
      same(answers.get("read:/made/by/runtime/inside"), "content of one\n"),
    ),
    check(PLACES, "MUST", "a bind mount of a file is mounted on a file that is made", ({ answers }) =>
      same(answers.get("read:/etc/file"), "a file\n"),
    ),
    check(PLACES, "MUST", "destination: a link is resolved inside the container", ({ answers }) =>
      same(answers.get("read:/etc/real/inside"), "content of two\n"),
    ),
    check(PLACES, "MUST", "destination: a link that climbs ends inside the container", ({ answers }) =>
      same(answers.get("read:/etc/three/inside"), "content of three\n"),
    ),
    check(PLACES, "MUST", "destination: a relative one is relative to /", ({ world }) =>
      same(mountAt(world, "/relative/place").type, "tmpfs"),
    ),
    check(PLACES, "MUST", "type: a bind is one by its option, without a type", ({ answers }) =>
      same(answers.get("read:/by-option/inside"), "content of three\n"),
    ),
    check(PLACES, "MUST", "type: a bind is one by its option, with type none", ({ answers }) =>
      same(answers.get("read:/by-none/inside"), "content of three\n"),
    ),
    check(LINUX_MOUNTS, "MUST", "ro: a bind cannot be written", ({ answers }) =>
      same(answers.get("write:/made/by/runtime/new"), EROFS),
    ),
    check(LINUX_MOUNTS, "MUST", "rw: a bind can be written", ({ answers }) =>
      same(answers.get("write:/by-option/new"), "ok"),
    ),
    check(LINUX_MOUNTS, "MUST", "ro: a new file system cannot be written", ({ answers }) =>
      same(answers.get("write:/flags/x"), EROFS),
    ),
    check(LINUX_MOUNTS, "MUST", "nosuid, nodev, noexec, noatime of a new file system", (run) =>
      includes(optionsAt(run, "/flags"), "nosuid", "nodev", "noexec", "noatime"),
    ),
    check(LINUX_MOUNTS, "MUST", "nosuid, nodev, noexec of a bind", (run) =>
      includes(optionsAt(run, "/bound-flags"), "nosuid", "nodev", "noexec"),
    ),
    check(LINUX_MOUNTS, "MUST", "nodiratime of a bind", (run) =>
      includes(optionsAt(run, "/bound-flags"), "nodiratime"),
    ),
    check(LINUX_MOUNTS, "MUST", "strictatime: neither relatime nor noatime", (run) => {
      that(!optionsAt(run, "/strict").includes("relatime"), optionsAt(run, "/strict").join(","));
      includes(optionsAt(run, "/strict"), "nodiratime");
    }),
    check(LINUX_MOUNTS, "MUST", "the file system's own options reach it", ({ world, answers }) => {
      includes(mountAt(world, "/first").superOptions, "size=64k");
      same((answers.get("stat:/first") as { mode: number }).mode, 0o700);
    }),
    check(LINUX_MOUNTS, "MUST", "tmpcopyup: what is below the destination is copied up", ({ answers }) => {
      same(answers.get("list:/up"), ["from-image"]);
      same(answers.get("read:/up/from-image"), "image\n");
    }),
    check(LINUX_MOUNTS, "SHOULD", "tmpcopyup: the mode of the directory is kept", ({ answers }) =>
      same((answers.get("stat:/up") as { mode: number }).mode, 0o750),
    ),
    check(PLACES, "MUST", "a mount on a read-only tmpfs has its place made", ({ answers }) =>
      same([answers.get("write:/closed/new"), answers.get("read:/closed/inside/inside")], [EROFS, "content of one\n"]),
    ),
    check(PLACES, "SHOULD", "a tmpfs has the mode of the directory it covers", ({ answers }) =>
      same((answers.get("stat:/home") as { mode: number }).mode, 0o755),
    ),
    check(PLACES, "MUST", "without a propagation a mount is private", ({ world }) =>
      same(mountAt(world, "/first/nested").propagation, []),
    ),
  ),
  runs(
    "a relative source",
    (bundle) => {
      source(bundle, "three");
      return { mounts: [...MOUNTS, bind("three", "/relative-source")] };
    },
    ["read:/relative-source/inside"],
    check(PLACES, "MUST", "source: a relative one of a bind is relative to the bundle", ({ answers }) =>
      same(answers.get("read:/relative-source/inside"), "content of three\n"),
    ),
  ),
  scene("recursive attributes and propagation", ({ driver, bundle }) => {
    const top = source(bundle, "top");
    mkdirSync(`${top}/below`);
    const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", `${top}/below`]);
    if (mounted.exitCode !== 0) throw new Error(mounted.stderr.toString());
    try {
      bundle.configure({
        process: {
          args: ["/world", "write:/plain/below/x", "write:/rro/below/x", "write:/rro/x", "list:/one/below"],
        },
        mounts: [
          ...MOUNTS,
          bind(top, "/plain", "ro"),
          bind(top, "/rro", "rro"),
          bind(top, "/rflags", "rnosuid", "rnodev", "rnoexec", "rnoatime"),
          bind(top, "/rclear", "rnosuid", "rsuid"),
          { destination: "/one", type: "bind", source: top, options: ["bind"] },
          bind(top, "/slave", "rslave"),
          bind(top, "/shared", "rshared"),
          bind(top, "/private", "rprivate"),
          { destination: "/unbindable", type: "bind", source: top, options: ["bind", "unbindable"] },
          { destination: "/slave-one", type: "bind", source: top, options: ["bind", "slave"] },
        ],
      });
      const outcome = driver.run(bundle);
      const world = worldOf(outcome);
      return { world, answers: world.answers };
    } finally {
      Bun.spawnSync(["umount", `${top}/below`]);
    }
  })(
    check(LINUX_MOUNTS, "MUST", "rbind with ro: mounts below stay as they are", ({ answers }) =>
      same(answers[0], "ok"),
    ),
    check(LINUX_MOUNTS, "MUST", "rro: mounts below are read-only too", ({ answers }) =>
      same([answers[1], answers[2]], [EROFS, EROFS]),
    ),
    ...["nosuid", "nodev", "noexec", "noatime"].map((word) =>
      check<{ world: Run["world"] }>(LINUX_MOUNTS, "MUST", `r${word}: mounts below have it too`, ({ world }) => {
        includes(mountAt(world, "/rflags").options, word);
        includes(mountAt(world, "/rflags/below").options, word);
      }),
    ),
    check(LINUX_MOUNTS, "MUST", "a later recursive option undoes an earlier one", ({ world }) =>
      that(!mountAt(world, "/rclear/below").options.includes("nosuid"), "nosuid is still there"),
    ),
    check(LINUX_MOUNTS, "MUST", "bind: mounts below are not bound", ({ answers }) => same(answers[3], [])),
    check(LINUX_MOUNTS, "MUST", "rshared: the mounts are shared", ({ world }) => {
      includes(mountAt(world, "/shared").propagation, "shared");
      includes(mountAt(world, "/shared/below").propagation, "shared");
    }),
    check(LINUX_MOUNTS, "MUST", "rprivate: the mounts are private", ({ world }) =>
      same([mountAt(world, "/private").propagation, mountAt(world, "/private/below").propagation], [[], []]),
    ),
    check(LINUX_MOUNTS, "MUST", "unbindable: the mount is unbindable", ({ world }) =>
      includes(mountAt(world, "/unbindable").propagation, "unbindable"),
    ),
    check(LINUX_MOUNTS, "MUST", "rslave: the mounts are not shared", ({ world }) =>
      that(!mountAt(world, "/slave").propagation.includes("shared"), mountAt(world, "/slave").propagation.join()),
    ),
  ),
  refuses(
    "a bind of what is not there",
    { mounts: [...MOUNTS, bind("/not-there-at-all", "/x")] },
    PLACES,
    "MUST",
    "a source that is not there is an error",
    /not-there-at-all/,
  ),
  refuses(
    "a file system nobody knows",
    { mounts: [...MOUNTS, { destination: "/x", type: "nosuchfs", source: "x" }] },
    PLACES,
    "MUST",
    "a type that the kernel does not know is an error",
    /nosuchfs|\/x/,
  ),
  refuses(
    "an option nobody knows",
    { mounts: [...MOUNTS, tmpfs("/x", "nosuchoption")] },
    PLACES,
    "MUST",
    "an option that the file system refuses is an error",
  ),
  refuses(
    "a mount without a place",
    { mounts: [{ type: "tmpfs", source: "tmpfs" }] },
    PLACES,
    "MUST",
    "destination is required",
    /destination|mount/,
  ),
  refuses(
    "a mount over /proc",
    { mounts: [...MOUNTS, tmpfs("/proc/self")] },
    PLACES,
    "SHOULD",
    "nothing is mounted inside /proc",
    /proc/,
  ),
  runs(
    "masked and read-only paths",
    (bundle) => {
      writeFileSync(`${bundle.rootfs}/etc/secret`, "secret\n");
      mkdirSync(`${bundle.rootfs}/etc/secrets`);
      writeFileSync(`${bundle.rootfs}/etc/secrets/one`, "secret\n");
      return {
        linux: {
          maskedPaths: ["/etc/secret", "/etc/secrets", "/proc/version", "/not/there"],
          readonlyPaths: ["/proc/sys", "/tmp", "/not/there"],
        },
      };
    },
    [
      "read:/etc/secret",
      "list:/etc/secrets",
      "write:/etc/secrets/new",
      "write:/tmp/new",
      "write:/proc/sys/kernel/hostname",
      "read:/proc/version",
    ],
    check("config-linux.md#masked-paths", "MUST", "a masked file cannot be read", ({ answers }) =>
      same(answers.get("read:/etc/secret"), ""),
    ),
    check("config-linux.md#masked-paths", "MUST", "a masked directory is empty", ({ answers }) =>
      same(answers.get("list:/etc/secrets"), []),
    ),
    check("config-linux.md#masked-paths", "SHOULD", "a masked directory cannot be written", ({ answers }) =>
      same(answers.get("write:/etc/secrets/new"), EROFS),
    ),
    check("config-linux.md#masked-paths", "MUST", "a masked file of procfs cannot be read", ({ answers }) =>
      same(answers.get("read:/proc/version"), ""),
    ),
    check("config-linux.md#masked-paths", "SHOULD", "a path that is not there is passed over", ({ outcome }) =>
      same(outcome.status, 0),
    ),
    check("config-linux.md#readonly-paths", "MUST", "a read-only path cannot be written", ({ answers }) =>
      same([answers.get("write:/tmp/new"), answers.get("write:/proc/sys/kernel/hostname")], [EROFS, EROFS]),
    ),
  ),
  refuses(
    "a relative masked path",
    { linux: { maskedPaths: ["proc/kcore"] } },
    "config-linux.md#masked-paths",
    "MUST",
    "maskedPaths are absolute",
  ),
  refuses(
    "a relative read-only path",
    { linux: { readonlyPaths: ["proc/sys"] } },
    "config-linux.md#readonly-paths",
    "MUST",
    "readonlyPaths are absolute",
  ),
  ...(["private", "slave", "shared", "unbindable"] as const).map((word) =>
    runs(
      `rootfsPropagation ${word}`,
      { linux: { rootfsPropagation: word } },
      [],
      check("config-linux.md#rootfs-mount-propagation", "MUST", `${word}: the root has it`, ({ world }) => {
        const { propagation } = mountAt(world, "/");
        if (word === "shared" || word === "unbindable") includes(propagation, word);
        else that(!propagation.includes("shared"), propagation.join());
      }),
    ),
  ),
  refuses(
    "an unknown rootfsPropagation",
    { linux: { rootfsPropagation: "upwards" } },
    "config-linux.md#rootfs-mount-propagation",
    "MUST",
    "rootfsPropagation has one of the listed values",
    /upwards|rootfsPropagation/,
  ),
  runs(
    "a container without a mount namespace of others",
    { linux: { namespaces: NAMESPACES } },
    [],
    check("config-linux.md#namespaces", "MUST", "mount: the container has an isolated mount table", ({ world }) =>
      that(world.namespaces["mnt"] !== readlinkSync("/proc/self/ns/mnt"), "it is the host's"),
    ),
  ),
];
