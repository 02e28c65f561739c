import { expect, test } from "bun:test";
import { randomNumbers } from "../../../test/lib/random.ts";
import { CtrError } from "../../errors/error.ts";
import { compileSeccomp } from "./compile.ts";
import { parseProfile } from "./parse-profile.ts";
import { resolveProfile } from "./resolve.ts";

const CONTEXT = { native: "x64", capabilities: ["CAP_CHOWN"], kernel: "5.10.1-9-amd64" } as const;

test("a profile file is read in Docker's form", () => {
  const profile = parseProfile(
    JSON.stringify({
      defaultAction: "SCMP_ACT_ERRNO",
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
      syscalls: [
        { name: "mkdir", action: "SCMP_ACT_ALLOW", args: null, comment: "", includes: {}, excludes: {} },
        { names: ["bpf"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_BPF"] } },
        { names: ["chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 2, excludes: { minKernel: "4.8" } },
      ],
    }),
  );
  const seccomp = resolveProfile(profile, CONTEXT);
  expect(seccomp.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  expect(seccomp.syscalls).toEqual([{ names: ["mkdir"], action: "SCMP_ACT_ALLOW", args: [] }]);
});

test.each<[string, object, object, boolean]>([
  ["a capability that is there", { caps: ["CAP_CHOWN"] }, {}, true],
  ["one of two capabilities", { caps: ["CAP_CHOWN", "CAP_BPF"] }, {}, false],
  ["this architecture among others", { arches: ["arm64", "amd64"] }, {}, true],
  ["another architecture", { arches: ["arm64"] }, {}, false],
  ["this kernel", { minKernel: "5.10" }, {}, true],
  ["an older kernel", { minKernel: "4.18" }, {}, true],
  ["a newer kernel", { minKernel: "5.11" }, {}, false],
  ["no kernel", { minKernel: "" }, {}, true],
  ["but not with a capability that is there", {}, { caps: ["CAP_BPF", "CAP_CHOWN"] }, false],
  ["but not with a capability that is not", {}, { caps: ["CAP_BPF"] }, true],
  ["but not on this architecture", {}, { arches: ["amd64"] }, false],
  ["but not on another", {}, { arches: ["s390x"] }, true],
  ["but not on newer kernels than this", {}, { minKernel: "6.0" }, true],
  ["but not on this kernel", {}, { minKernel: "5.10" }, false],
  ["null, as Go writes nothing", { caps: null, arches: null }, { caps: null, minKernel: null }, true],
])("a rule for %s", (_, includes, excludes, counts) => {
  const rule = { names: ["mkdir"], action: "SCMP_ACT_ALLOW", includes, excludes };
  const text = JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [rule] });
  expect(resolveProfile(parseProfile(text), CONTEXT).syscalls).toHaveLength(counts ? 1 : 0);
});

test("an architecture map is for the machine's own architecture", () => {
  const archMap = [
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: null },
  ];
  const profile = parseProfile(JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", archMap, syscalls: null }));
  expect(resolveProfile(profile, CONTEXT).architectures).toEqual(["SCMP_ARCH_X86_64"]);
  expect(resolveProfile(profile, { ...CONTEXT, native: "arm64" }).architectures).toEqual([
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
  ]);
});

test("as in Go, keys may be of either case and numbers that are not given are 0; masks keep all their bits", () => {
  const text = `{"DefaultAction": "SCMP_ACT_ERRNO", "SYSCALLS": [{"Names": ["clone"], "action": "SCMP_ACT_ALLOW",
    "args": [{"op": "SCMP_CMP_EQ"}, {"index": 1, "Value": 18446744073709551614, "valueTwo": null, "op": "SCMP_CMP_LT"}]}]}`;
  expect(resolveProfile(parseProfile(text), CONTEXT)).toEqual({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [
          { index: 0, value: 0, op: "SCMP_CMP_EQ" },
          { index: 1, value: 2n ** 64n - 2n, op: "SCMP_CMP_LT" },
        ],
      },
    ],
  });
});

const rule = (text: string) =>
  `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG"},${text}]}`;

test.each([
  ["no JSON", "{", "JSON Parse error: Expected '}'"],
  ["a list", "[]", "the profile: must be an object"],
  ["no default action", "{}", "defaultAction: is missing"],
  ["an unknown action", `{"defaultAction":"ALLOW"}`, "defaultAction: must be one of SCMP_ACT_ALLOW"],
  ["rules that are no list", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}`, "syscalls: must be a list"],
  ["a rule that is no object", rule("7"), "syscalls[1]: must be an object"],
  ["a rule without a name", rule(`{"action":"SCMP_ACT_LOG"}`), "syscalls[1].names: is missing"],
  ["names that are no texts", rule(`{"names":[1],"action":"SCMP_ACT_LOG"}`), "syscalls[1].names[0]: must be a string"],
  ["a name twice", rule(`{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}`), "syscalls[1]: both 'name' and 'names'"],
  ["an unknown action of a rule", rule(`{"names":["b"],"action":"LOG"}`), "syscalls[1].action: must be one of"],
  [
    "an unknown comparison",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"=="}]}`),
    "syscalls[1].args[0].op: must be one of",
  ],
  [
    "an argument there is not",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}`),
    "syscalls[1].args[0].index: must be between 0 and 5",
  ],
  [
    "a value that is too large",
    rule(
      `{"names":["b"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}]}`,
    ),
    "syscalls[1].args[0].value: must be a number of 64 bits",
  ],
  [
    "a negative value",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}`),
    "syscalls[1].args[0].value: must be between 0 and",
  ],
  [
    "a bad kernel",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"x"}}`),
    "syscalls[1].includes.minKernel",
  ],
  [
    "no kernel at all",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","excludes":{"minKernel":"0.0"}}`),
    "syscalls[1].excludes.minKernel",
  ],
  [
    "capabilities that are no list",
    rule(`{"names":["b"],"action":"SCMP_ACT_LOG","includes":{"caps":"x"}}`),
    "syscalls[1].includes.caps: must be a list",
  ],
  [
    "two ways to name architectures",
    `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}`,
    "both 'architectures' and 'archMap' are specified",
  ],
  ["a map that is none", `{"defaultAction":"SCMP_ACT_ALLOW","archMap":[null]}`, "archMap[0]: must be an object"],
  [
    "a map without a name",
    `{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{}]}`,
    "archMap[0].architecture[0]: must be a string",
  ],
])("a profile with %s is told where it is wrong", (_, text, message) => {
  expect(() => parseProfile(text)).toThrow(`Decoding seccomp profile failed: ${message}`);
});

/** Documents of the right words in the wrong places, and of no sense at all. */
function garbage(random: (bound: number) => number, depth = 0): unknown {
  const keys = `defaultAction defaultErrnoRet architectures archMap flags syscalls names name action errnoRet args includes
    excludes index value valueTwo op architecture subArchitectures caps arches minKernel listenerPath __proto__ constructor`;
  const words = `SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_NOTIFY SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_CMP_EQ SCMP_CMP_MASKED_EQ
    read socket clone CAP_CHOWN amd64 4.8 ../.. \0 __proto__`;
  const pick = (text: string) => text.split(/\s+/)[random(text.split(/\s+/).length)] ?? "";
  switch (random(depth > 5 ? 6 : 9)) {
    case 0:
      return null;
    case 1:
      return random(2) === 0;
    case 2:
      return [0, 1, -1, 1.5, 5, 1e300, 2 ** 53, 2 ** 64, 4294967296][random(9)];
    case 3:
    case 4:
    case 5:
      return pick(words);
    case 6:
      return Array.from({ length: random(4) }, () => garbage(random, depth + 1));
    default:
      return Object.fromEntries(Array.from({ length: random(8) }, () => [pick(keys), garbage(random, depth + 1)]));
  }
}

/** A profile that is right but for what is changed in it. */
function almost(random: (bound: number) => number): unknown {
  const profile: Record<string, unknown> = {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
    syscalls: [
      { names: ["read", "socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 3, op: "SCMP_CMP_EQ" }] },
      { name: "clone", action: "SCMP_ACT_LOG", includes: { caps: ["CAP_CHOWN"], minKernel: "4.8" }, excludes: {} },
    ],
  };
  let at: unknown = profile;
  for (;;) {
    if (typeof at !== "object" || at === null) return profile;
    const fields = at as { [key: string]: unknown };
    const keys = Object.keys(fields);
    const key = keys[random(keys.length + 1)] ?? "extra";
    const next = fields[key];
    if (random(3) === 0 || typeof next !== "object" || next === null) {
      fields[key] = garbage(random, 3);
      return profile;
    }
    at = next;
  }
}

// More with CTR_FUZZ_ROUNDS.
const ROUNDS = Number(process.env["CTR_FUZZ_ROUNDS"] ?? 3000);

test("random documents are read or refused in one line that says where", () => {
  let read = 0;
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomNumbers(seed);
    const document = random(2) === 0 ? garbage(random) : almost(random);
    const text = JSON.stringify(document) ?? "null";
    const broken = random(5) === 0 ? text.slice(0, random(text.length + 1)) : text;
    try {
      compileSeccomp(resolveProfile(parseProfile(broken), CONTEXT), "x64");
      read++;
    } catch (error) {
      if (!(error instanceof CtrError) || error.kind !== "invalid")
        throw new Error(`seed ${seed}: ${error}`, { cause: error });
      if (/[\n\0]/.test(error.message) || error.message.length > 400) throw new Error(`seed ${seed}: ${error.message}`);
    }
  }
  expect(read).toBeGreaterThan(ROUNDS / 50);
  expect(read).toBeLessThan(ROUNDS);
});
