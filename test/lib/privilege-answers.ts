/**
 * What a program may do, case by case: run by test/kernel/privileges.test.ts with ctr and, beside a dockerd, with docker.
 * The archive of the test image is given; answers are printed as JSON.
 */
import { binary } from "./needs.ts";

export interface Answer {
  readonly case: string;
  readonly facts: string;
}

/** Lines of /proc/self/status, the securebits (prctl 27, PR_GET_SECUREBITS), and what a set-user-ID program would be. */
const FACTS = "probe status | grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):'; probe syscall 157 27";

/** Each flags of `run`; the users, by number and name, are the image's. */
const RUNS: readonly string[] = [
  "",
  "--cap-add NET_ADMIN",
  "--cap-add net_admin --cap-add CAP_sys_Time --cap-drop cap_mknod",
  "--cap-add ALL",
  `--cap-add all --cap-drop SYS_ADMIN --cap-drop CAP_CHOWN`,
  "--cap-add ALL --cap-drop ALL",
  "--cap-drop ALL",
  "--cap-drop all --cap-add CHOWN --cap-add kill",
  "--cap-add KILL --cap-drop KILL",
  "--cap-add SYS_PTRACE --cap-drop SYS_PTRACE",
  "-u 1000",
  "-u alice --cap-add NET_ADMIN",
  "-u 1000:29 --cap-drop ALL",
  "-u 0:1000 --group-add audio",
  "-u 1000 --cap-add ALL --security-opt no-new-privileges",
  "--security-opt no-new-privileges:true",
  "--security-opt no-new-privileges=false",
  "--security-opt no-new-privileges --security-opt no-new-privileges:f --security-opt seccomp=unconfined",
  "--security-opt seccomp=unconfined -u 1000",
  "--privileged",
  "--privileged --cap-drop ALL",
  "--privileged --cap-drop NET_ADMIN --cap-add CHOWN -u 1000",
  "--privileged --security-opt no-new-privileges",
];

/** Flags of `run`, and of `exec` into it. */
const EXECS: readonly (readonly [run: string, execs: readonly string[]])[] = [
  ["", ["", "-u 1000", "-u alice --privileged", "--privileged", "-u 0:1000"]],
  ["-u 1000 --cap-add NET_ADMIN", ["", "-u 0", "--privileged", "-u 0 --privileged"]],
  ["--cap-drop ALL --security-opt no-new-privileges", ["", "-u 1000", "--privileged"]],
  ["--privileged", ["", "-u 1000", "--privileged"]],
];

/** What a privileged container sees of the kernel's file systems and devices, and one that is not. */
const SIGHTS = [
  `probe mounts | awk '$5 ~ "^/(proc|sys)(/|$)" { print $5, substr($6, 1, 2) }' | grep -v /sys/fs/cgroup/ | sort`,
  "ls -A /proc/scsi /sys/firmware | wc -l",
  "find /dev -type b -o -type c | sort",
  "for p in /proc/sys/kernel/domainname /sys/kernel/uevent_seqnum; do test -w $p && echo $p writable; done",
  "head -c 1 /proc/keys | wc -c",
];

function run(...words: readonly string[]): string {
  const ran = Bun.spawnSync([binary(), ...words], { stdin: "ignore" });
  if (ran.exitCode !== 0) throw new Error(`${words.join(" ")}: status ${ran.exitCode}: ${ran.stderr.toString()}`);
  return ran.stdout.toString();
}

const words = (flags: string) => flags.split(" ").filter((word) => word !== "");
const image = "privileges";
run("import", process.argv[2] ?? "", image);
const answers: Answer[] = [];
try {
  for (const flags of RUNS) {
    const facts = run("run", "--rm", "--network", "none", ...words(flags), image, "sh", "-c", FACTS);
    answers.push({ case: `run ${flags}`, facts });
  }
  for (const [flags, execs] of EXECS) {
    const id = run("run", "-d", "--network", "none", ...words(flags), image, "probe", "pause").trim();
    try {
      for (const more of execs) {
        const facts = run("exec", ...words(more), id, "sh", "-c", FACTS);
        answers.push({ case: `run ${flags}; exec ${more}`, facts });
      }
    } finally {
      run("rm", "-f", id);
    }
  }
  for (const flags of ["", "--privileged", "--privileged --security-opt no-new-privileges -u 1000"]) {
    const script = SIGHTS.map((sight) => `echo '# ${sight.replaceAll("'", '"')}'; ${sight}`).join("; ");
    const facts = run("run", "--rm", "--network", "none", ...words(flags), image, "sh", "-c", `${script}; true`);
    answers.push({ case: `run ${flags}, seen`, facts });
  }
} finally {
  run("rmi", image);
}
console.log(JSON.stringify(answers));
