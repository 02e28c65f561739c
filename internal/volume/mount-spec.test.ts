import { expect, test } from "bun:test";
import { cleanPath, parseBind, parseImageVolume, parseTmpfs } from "./mount-spec.ts";

const parse = (spec: string) => parseBind(spec, "/home/me");

test("mount-spec: a host path is a bind, relative ones start with a dot", () => {
  expect(parse("/srv:/data")).toEqual({
    type: "bind",
    source: "/srv",
    destination: "/data",
    mode: "",
    isReadonly: false,
    propagation: "rprivate",
    copiesUp: false,
  });
  expect(parse("./x:/data:ro").source).toBe("/home/me/x");
  expect(parse("../x:/data:ro").source).toBe("/home/x");
  expect(parse("/srv:/data:ro,rslave,z")).toMatchObject({ isReadonly: true, propagation: "rslave" });
});

test("mount-spec: a word is a named volume, one path alone an anonymous one", () => {
  expect(parse("data:/data")).toEqual({
    type: "volume",
    name: "data",
    destination: "/data",
    mode: "",
    isReadonly: false,
    propagation: "",
    copiesUp: true,
  });
  expect(parse("data:/data:nocopy").copiesUp).toBe(false);
  expect(parse("/data//x/")).toMatchObject({ type: "volume", destination: "/data/x" });
  expect("name" in parse("/data")).toBe(false);
  expect(parseImageVolume("/var/lib/x/").destination).toBe("/var/lib/x");
});

test.each([
  ["", "invalid volume specification: ''"],
  [":/x", "invalid volume specification: ':/x'"],
  ["a:/x:ro:rw", "invalid volume specification: 'a:/x:ro:rw'"],
  ["/x:ro", "invalid volume specification: '/x:ro'"],
  ["/x:/y:bogus", "invalid mode: bogus"],
  ["/x:/y:ro,rw", "invalid mode: ro,rw"],
  ["data:/y:rslave", "field BindOptions must not be specified"],
  ["/x:/y:nocopy", "field VolumeOptions must not be specified"],
  ["/x:/", "destination can't be '/'"],
  ["/x:/y/..", "destination can't be '/'"],
  ["/x:y", "invalid mount path: 'y' mount path must be absolute"],
  ["y", "invalid mount path: 'y' mount path must be absolute"],
  ["a/b:/x", "includes invalid characters for a local volume name"],
  ["..a:/x", undefined],
])("mount-spec: -v %p", (spec, why) => {
  if (why === undefined) expect(parse(spec).source).toBe("/home/me/..a");
  else expect(() => parse(spec)).toThrow(why);
});

test("mount-spec: tmpfs and its options", () => {
  expect(parseTmpfs("/run")).toEqual({ destination: "/run", options: "" });
  expect(parseTmpfs("/run:size=1m,exec,mode=1777").options).toBe("size=1m,exec,mode=1777");
  expect(() => parseTmpfs("/run:bogus")).toThrow('invalid tmpfs option ["bogus"]');
  expect(() => parseTmpfs("run")).toThrow("mount path must be absolute");
});

test.each([
  ["/", "/"],
  ["//a/./b/../c/", "/a/c"],
  ["/../..", "/"],
])("mount-spec: %s is %s", (path, clean) => {
  expect(cleanPath(path)).toBe(clean);
});
