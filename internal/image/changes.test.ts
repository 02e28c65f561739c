import { expect, test } from "bun:test";
import { applyChanges } from "./changes.ts";
import type { RunConfig } from "./config.ts";

const base: RunConfig = { Env: ["PATH=/bin", "A=1"], Cmd: ["old"], WorkingDir: "/srv" };

test.each<[string, Partial<RunConfig>]>([
  ['CMD ["a", "b c"]', { Cmd: ["a", "b c"] }],
  ["CMD echo $A", { Cmd: ["/bin/sh", "-c", "echo $A"] }],
  ["cmd ['not json']", { Cmd: ["/bin/sh", "-c", "['not json']"] }],
  ['ENTRYPOINT ["/x"]', { Entrypoint: ["/x"], Cmd: undefined as never }],
  ["ENV B=2", { Env: ["PATH=/bin", "A=1", "B=2"] }],
  ["ENV A=2 B=$A", { Env: ["PATH=/bin", "A=2", "B=1"] }],
  ["ENV PATH=$PATH:/x", { Env: ["PATH=/bin:/x", "A=1"] }],
  ["ENV B=\"two words\" C=a\\ b D='$A'", { Env: ["PATH=/bin", "A=1", "B=two words", "C=a b", "D=$A"] }],
  ["ENV B two words", { Env: ["PATH=/bin", "A=1", "B=two words"] }],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell's, not a template's
  ["ENV B=${N:-none} C=${A:+set} D=${N:+set}", { Env: ["PATH=/bin", "A=1", "B=none", "C=set", "D="] }],
  ["EXPOSE 80 53/UDP 8000-8001", { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {} } }],
  ['LABEL a=b "c d"="e f"', { Labels: { a: "b", "c d": "e f" } }],
  ["ONBUILD RUN make", { OnBuild: ["RUN make"] }],
  ["STOPSIGNAL SIGQUIT", { StopSignal: "SIGQUIT" }],
  ["USER nobody:nogroup", { User: "nobody:nogroup" }],
  ['VOLUME ["/a", "/b"]', { Volumes: { "/a": {}, "/b": {} } }],
  ["VOLUME /a /b", { Volumes: { "/a": {}, "/b": {} } }],
  ["WORKDIR /x", { WorkingDir: "/x" }],
  ["WORKDIR sub/../dir", { WorkingDir: "/srv/dir" }],
  ["HEALTHCHECK NONE", { Healthcheck: { Test: ["NONE"] } }],
  [
    "HEALTHCHECK --interval=1m30s --retries=2 CMD curl x",
    { Healthcheck: { Test: ["CMD-SHELL", "curl x"], Interval: 90e9, Retries: 2 } },
  ],
  ['HEALTHCHECK --timeout=500ms CMD ["curl", "x"]', { Healthcheck: { Test: ["CMD", "curl", "x"], Timeout: 5e8 } }],
  ["# a comment\nUSER \\\n  root", { User: "root" }],
])("%s", (change, expected) => {
  expect(applyChanges(base, [change])).toEqual(JSON.parse(JSON.stringify({ ...base, ...expected })));
});

test("a command set by the same changes survives an entrypoint, before or after it", () => {
  expect(applyChanges(base, ['CMD ["c"]', 'ENTRYPOINT ["e"]'])).toMatchObject({ Cmd: ["c"], Entrypoint: ["e"] });
  expect(applyChanges(base, ['ENTRYPOINT ["e"]', 'CMD ["c"]'])).toMatchObject({ Cmd: ["c"], Entrypoint: ["e"] });
});

test("the config that is changed stays as it was", () => {
  applyChanges(base, ["ENV A=9", "USER x", "LABEL a=b"]);
  expect(base).toEqual({ Env: ["PATH=/bin", "A=1"], Cmd: ["old"], WorkingDir: "/srv" });
});

test.each([
  ["RUN ls", "RUN is not a valid change command"],
  ["COPY a b", "COPY is not a valid change command"],
  ["USER", "USER requires at least one argument"],
  ["USER a b", "USER requires exactly one argument"],
  ["ENV A", "ENV must have two arguments"],
  ["ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'],
  ["ENV =x", "ENV names can not be blank"],
  ["ENV A=${B", "missing '}'"],
  ['ENV A="b', "matching double-quote"],
  ["EXPOSE http", "invalid containerPort: http"],
  ["EXPOSE 70000", "invalid containerPort: 70000"],
  ["EXPOSE 80/xyz", "invalid proto: xyz"],
  ["HEALTHCHECK curl", 'Unknown type "curl" in HEALTHCHECK (try CMD)'],
  ["HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"],
  ["HEALTHCHECK --interval=5 CMD x", 'missing unit in duration "5"'],
  ["HEALTHCHECK --interval=1us CMD x", "cannot be less than 1ms"],
  ["ONBUILD ONBUILD RUN x", "isn't allowed"],
])("%s is refused: %s", (change, message) => expect(() => applyChanges({}, [change])).toThrow(message));
