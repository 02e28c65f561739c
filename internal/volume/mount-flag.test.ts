import { expect, test } from "bun:test";
import { parseMountFlag, wantedMount } from "./mount-flag.ts";

const parse = (text: string) => parseMountFlag(text, "/home/me");

test("mount-flag: each key lands where Docker's HostConfig.Mounts has it", () => {
  expect(parse("type=bind,src=./x,dst=/x,readonly,bind-propagation=RSLAVE,bind-create-src")).toEqual({
    Type: "bind",
    Source: "/home/me/x",
    Target: "/x",
    ReadOnly: true,
    BindOptions: { Propagation: "rslave", CreateMountpoint: true },
  });
  expect(
    parse("source=v1,target=/x,volume-nocopy,volume-label=a=b,volume-label=c,volume-driver=local,volume-opt=o=x=y"),
  ).toEqual({
    Type: "volume",
    Source: "v1",
    Target: "/x",
    VolumeOptions: { NoCopy: true, Labels: { a: "b", c: "" }, DriverConfig: { Name: "local", Options: { o: "x=y" } } },
  });
  expect(parse('"type=tmpfs","dst=/a,b",tmpfs-size=1.5m,tmpfs-mode=1770')).toEqual({
    Type: "tmpfs",
    Target: "/a,b",
    TmpfsOptions: { SizeBytes: 1572864, Mode: 0o1770 },
  });
  expect(parse("TYPE=volume,SRC=vv,DST=/x,ro=false")).toEqual({ Type: "volume", Source: "vv", Target: "/x" });
});

/** Docker 28's words for each. */
test.each([
  ["", "EOF"],
  ["foo", "invalid field 'foo' must be a key=value pair"],
  ["readonly", "target is required"],
  ["src=v1", "target is required"],
  ["type=bind,src=/tmp", "target is required"],
  ["dst=/x,bogus=1", "unexpected key 'bogus' in 'bogus=1'"],
  [" type=bind,dst=/x", "unexpected key ' type' in ' type=bind'"],
  ["dst=/x,readonly=maybe", "invalid value for readonly: maybe"],
  ["dst=/x,volume-nocopy=x", "invalid value for volume-nocopy: x"],
  ["type=bind,dst=/x,bind-nonrecursive=maybe", "invalid value for bind-nonrecursive: maybe"],
  ["type=tmpfs,dst=/x,tmpfs-size=abc", "invalid value for tmpfs-size: abc"],
  ["type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"],
  ["type=bind,src=/t,dst=/x,volume-nocopy=true", "cannot mix 'volume-*' options with mount type 'bind'"],
  ["type=volume,dst=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"],
  ["type=volume,dst=/x,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'volume'"],
  ["type=tmpfs,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'tmpfs'"],
  [
    "type=bind,src=/t,dst=/x,bind-recursive=bogus",
    'invalid value for bind-recursive: bogus (must be "enabled", "disabled", "writable", or "readonly")',
  ],
  [
    "type=bind,src=/t,dst=/x,bind-recursive=writable",
    "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
  ],
  [
    "type=bind,src=/t,dst=/x,bind-recursive=readonly",
    "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
  ],
  [
    "type=bind,src=/t,dst=/x,bind-recursive=readonly,readonly",
    "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
  ],
  ['dst="/x"', 'parse error on line 1, column 5: bare " in non-quoted field'],
  ['"dst=/x', 'parse error on line 1, column 8: extraneous or missing " in quoted-field'],
])("mount-flag: %p is no mount", (text, why) => {
  expect(() => parse(text)).toThrow(why);
});

test.each([
  ["type=bogus,dst=/x", 'invalid mount config for type "bogus": mount type unknown'],
  [
    "type=bind,src=/nonexist,dst=/x",
    'invalid mount config for type "bind": bind source path does not exist: /nonexist',
  ],
  [
    "type=bind,src=rel,dst=/x",
    "invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute",
  ],
  ["type=bind,dst=/x", 'invalid mount config for type "bind": field Source must not be empty'],
  [
    "type=bind,src=/tmp,dst=/x,bind-propagation=bogus",
    'invalid mount config for type "bind": invalid propagation mode: bogus',
  ],
  ["type=tmpfs,dst=/x,src=/y", 'invalid mount config for type "tmpfs": field Source must not be specified'],
  [
    "type=volume,src=vv,dst=rel",
    "invalid mount config for type \"volume\": invalid mount path: 'rel' mount path must be absolute",
  ],
  ["type=volume,src=vv,dst=/", "invalid specification: destination can't be '/'"],
  ["type=volume,src=a/b,dst=/x", 'create a/b: "a/b" includes invalid characters for a local volume name'],
  ["type=volume,src=v,dst=/x", "create v: volume name is too short"],
  ["type=volume,src=vv,dst=/x,volume-subpath=../a", "subpath must be a relative path within the volume"],
  ["type=volume,dst=/x,readonly", "must not set ReadOnly mode when using anonymous volumes"],
])("mount-flag: the engine refuses %p", (text, why) => {
  expect(() => wantedMount(parse(text))).toThrow(why);
});

test("mount-flag: what a request means", () => {
  expect(wantedMount(parse("type=bind,src=/,dst=/x/../y,ro,bind-recursive=writable"))).toEqual({
    type: "bind",
    source: "/",
    destination: "/y",
    mode: "",
    isReadonly: true,
    propagation: "rprivate",
    copiesUp: false,
    extras: { recursion: "writable", needsSource: true },
  });
  expect(wantedMount(parse("src=vol,dst=/x,volume-subpath=a/b"))).toMatchObject({
    name: "vol",
    copiesUp: false,
    extras: { subpath: "a/b" },
  });
  expect(wantedMount(parse("type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700,ro")).extras).toEqual({
    tmpfs: ["ro", "mode=700", "size=1048576"],
  });
});
