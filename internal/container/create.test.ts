import { expect, test } from "bun:test";
import { mergeConfig } from "./create.ts";
import type { UserConfig } from "./spec-from-flags.ts";

const user: UserConfig = {
  hostname: undefined,
  domainname: "",
  user: undefined,
  streams: { stdin: false, stdout: true, stderr: true },
  isTty: false,
  isStdinOpen: false,
  env: [],
  labels: {},
  entrypoint: undefined,
  workingDirectory: undefined,
  exposedPorts: [],
  stopSignal: undefined,
  stopTimeout: undefined,
  macAddress: undefined,
};
const image = {
  User: "www",
  Env: ["PATH=/x", "A=image"],
  Entrypoint: ["/entry"],
  Cmd: ["default"],
  WorkingDir: "/srv",
  Labels: { a: "image", b: "image" },
  ExposedPorts: { "80/tcp": {} },
  StopSignal: "SIGQUIT",
};
const defaults = { image: "web", hostname: "0123456789ab" };

test("create: without flags the image's configuration holds", () => {
  expect(mergeConfig(image, user, [], defaults)).toEqual({
    Hostname: "0123456789ab",
    Domainname: "",
    User: "www",
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    ExposedPorts: { "80/tcp": {} },
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: ["PATH=/x", "A=image"],
    Cmd: ["default"],
    Entrypoint: ["/entry"],
    Image: "web",
    Volumes: null,
    WorkingDir: "/srv",
    Labels: { a: "image", b: "image" },
    StopSignal: "SIGQUIT",
  });
});

test.each([
  [undefined, [], ["/entry"], ["default"]],
  [undefined, ["x"], ["/entry"], ["x"]],
  ["/other", [], ["/other"], null],
  ["/other", ["x"], ["/other"], ["x"]],
  ["", [], null, null],
  ["", ["x"], null, ["x"]],
] as const)("create: --entrypoint %p with %p", (entrypoint, args, Entrypoint, Cmd) => {
  const given = { ...user, entrypoint: entrypoint === undefined ? undefined : [entrypoint] };
  const merged = mergeConfig(image, given, args, defaults);
  expect(merged.Entrypoint).toEqual(Entrypoint as string[] | null);
  expect(merged.Cmd).toEqual(Cmd as string[] | null);
});

test("create: the user's values win, and lists are joined", () => {
  const merged = mergeConfig(
    image,
    {
      ...user,
      user: "0",
      env: ["A=user"],
      labels: { b: "user", c: "user" },
      exposedPorts: ["80/tcp", "53/udp"],
      stopSignal: "TERM",
      isStdinOpen: true,
      streams: { stdin: true, stdout: true, stderr: true },
    },
    [],
    defaults,
  );
  expect(merged).toMatchObject({
    User: "0",
    Env: ["A=user", "PATH=/x"],
    Labels: { a: "image", b: "user", c: "user" },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    StopSignal: "TERM",
    StdinOnce: true,
  });
});

test("create: an image's stop signal that is none is left out", () => {
  expect("StopSignal" in mergeConfig({ StopSignal: "SIGFOO" }, user, [], defaults)).toBe(false);
});
