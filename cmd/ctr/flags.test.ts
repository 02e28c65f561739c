import { describe, expect, test } from "bun:test";
import { parseFlags } from "./flags.ts";

const FLAGS = {
  all: { type: "boolean", alias: "a" },
  detach: { type: "boolean", alias: "d" },
  interactive: { type: "boolean", alias: "i" },
  tty: { type: "boolean", alias: "t" },
  "sig-proxy": { type: "boolean", default: true },
  env: { type: "string", alias: "e", repeatable: true },
  publish: { type: "string", alias: "p", repeatable: true },
  name: { type: "string" },
  hostname: { type: "string", alias: "h" },
  network: { type: "string", alias: "net", default: "default" },
  time: { type: "string", alias: "n", valueHint: "int" },
} as const;

const NOTHING = {
  all: false,
  detach: false,
  interactive: false,
  tty: false,
  "sig-proxy": true,
  env: [],
  publish: [],
  name: undefined,
  hostname: undefined,
  network: "default",
  time: undefined,
};

describe("the flag grammar", () => {
  test.each<[string[], Record<string, unknown>, string[]]>([
    [[], {}, []],
    [["-a"], { all: true }, []],
    [["--all=false", "x"], { all: false }, ["x"]],
    [["--all=T"], { all: true }, []],
    [["-a=0"], { all: false }, []],
    [["-itd", "alpine"], { interactive: true, tty: true, detach: true }, ["alpine"]],
    [
      ["-ite", "A=1", "-eB=2", "--env", "C", "--env=D=4"],
      { interactive: true, tty: true, env: ["A=1", "B=2", "C", "D=4"] },
      [],
    ],
    [["-e=A=1"], { env: ["A=1"] }, []],
    [["-e", "-a"], { env: ["-a"] }, []],
    [["--name", "--", "x"], { name: "--" }, ["x"]],
    [["--name="], { name: "" }, []],
    [["-p8080:80"], { publish: ["8080:80"] }, []],
    [["-h", "web"], { hostname: "web" }, []],
    [["--net", "host"], { network: "host" }, []],
    [["--name", "a", "--name", "b"], { name: "b" }, []],
    [["--sig-proxy=false"], { "sig-proxy": false }, []],
    [["-n", "-1"], { time: "-1" }, []],
    [["x", "-a", "y"], { all: true }, ["x", "y"]],
    [["x", "--", "-a"], {}, ["x", "-a"]],
    [["-", "-a"], { all: true }, ["-"]],
  ])("%j", (words, values, operands) => {
    const outcome = parseFlags(FLAGS, words, false);
    expect(outcome.values).toEqual({ ...NOTHING, ...values } as never);
    expect(outcome.operands).toEqual(operands);
    expect(outcome.help).toBe(false);
  });

  test.each<[string[], Record<string, unknown>, string[]]>([
    [["-a", "alpine", "df", "-h"], { all: true }, ["alpine", "df", "-h"]],
    [["--", "-a", "x"], {}, ["-a", "x"]],
    [["alpine", "--", "x"], {}, ["alpine", "--", "x"]],
    [["alpine", "--help"], {}, ["alpine", "--help"]],
    [["-e", "A", "alpine", "-e", "B"], { env: ["A"] }, ["alpine", "-e", "B"]],
  ])("%j ends at the first operand", (words, values, operands) => {
    const outcome = parseFlags(FLAGS, words, true);
    expect(outcome.values).toEqual({ ...NOTHING, ...values } as never);
    expect(outcome.operands).toEqual(operands);
  });

  test.each([
    [["--bogus"], "unknown flag: --bogus"],
    [["--bogus=1"], "unknown flag: --bogus"],
    [["--constructor"], "unknown flag: --constructor"],
    [["--a"], "unknown flag: --a"],
    [["-Z"], "unknown shorthand flag: 'Z' in -Z"],
    [["-aZi"], "unknown shorthand flag: 'Z' in -Zi"],
    [["--name"], "flag needs an argument: --name"],
    [["-e"], "flag needs an argument: 'e' in -e"],
    [["-ae"], "flag needs an argument: 'e' in -e"],
    [["--=x"], "bad flag syntax: --=x"],
    [["---x"], "bad flag syntax: ---x"],
    [["--all=foo"], 'invalid argument "foo" for "-a, --all" flag: strconv.ParseBool: parsing "foo": invalid syntax'],
    [
      ["-n", "99999999999999999999"],
      'invalid argument "99999999999999999999" for "-n, --time" flag: strconv.ParseInt: parsing "99999999999999999999": value out of range',
    ],
    [["-n", "abc"], 'invalid argument "abc" for "-n, --time" flag: strconv.ParseInt: parsing "abc": invalid syntax'],
  ])("%j is refused with status 125", (words, message) => {
    try {
      parseFlags(FLAGS, words, false);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ message, exitStatus: 125 });
    }
  });

  test("--help is a flag among others, -h only where it is no other", () => {
    expect(parseFlags(FLAGS, ["x", "--help", "-a"], false).help).toBe(true);
    expect(() => parseFlags(FLAGS, ["--help", "--bogus"], false)).toThrow("unknown flag: --bogus");
    expect(parseFlags(FLAGS, ["x", "--help"], true).help).toBe(false);
    expect(parseFlags({ all: { type: "boolean" } }, ["-h"], false)).toMatchObject({ help: true, isShortHelp: true });
  });
});
