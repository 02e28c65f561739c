import { expect, test } from "bun:test";
import { aclXattr } from "./acl.ts";

test("an ACL's text is the attribute the kernel takes, sorted", () => {
  const text = "group::r-x\nuser::rwx\nuser:1000:r-x\nuser:33:---\nmask::rwx\nother::r--\n";
  const expected =
    "02000000" +
    "01000700ffffffff" +
    "0200000021000000" +
    "02000500e8030000" +
    "04000500ffffffff" +
    "10000700ffffffff" +
    "20000400ffffffff";
  expect(aclXattr(text)?.toHex()).toBe(expected);
  expect(aclXattr("user::rwx,user:joe:r-x:1000,group::r-x,mask::rwx,other::r--")?.toHex()).toContain(
    "02000500e8030000",
  );
});

test.each(["", "nonsense", "user:joe:rwx", "user::rwxx", "constructor::rwx", "user:99999999999:rwx"])(
  "%p is no ACL that means anything here",
  (text) => expect(aclXattr(text)).toBeUndefined(),
);
