import { expect, test } from "bun:test";
import { checkLabelOption, parseContexts, selinuxLabels } from "./selinux.ts";

const CONTEXTS = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
};
const ID = "0123456789abcdef".repeat(4);

test("lxc_contexts: the labels of processes and files", () => {
  const text = `process = "${CONTEXTS.process}"\ncontent = "system_u:object_r:virt_var_lib_t:s0"\nfile = "${CONTEXTS.file}"\n`;
  expect(parseContexts(text)).toEqual(CONTEXTS);
  expect(parseContexts('process = "a:b:c"\nfile = "a:b:c:s0"')).toBeUndefined();
  expect(parseContexts("")).toBeUndefined();
});

test.each(["disable", "user:u", "role:r", "type:svirt_apache_t", "level:s0:c100,c200", "filetype:container_ro_file_t"])(
  "label=%s is taken",
  (option) => {
    expect(() => checkLabelOption(option)).not.toThrow();
  },
);

test.each([
  ["", "bad label option \"\", valid options 'disable' or 'user, role, level, type, filetype' followed by"],
  ["nonsense", "bad label option \"nonsense\", valid options 'disable' or"],
  ["kind:x", "bad label option \"kind\", valid options 'disable, user, role, level, type, filetype'"],
  ["type:", 'bad label option "type:": not a part of a label'],
  ["type:a b", 'bad label option "type:a b": not a part of a label'],
])("label=%p is refused", (option, words) => {
  expect(() => checkLabelOption(option)).toThrow(words);
});

test("a container has two categories of its own, the same at every start", () => {
  const labels = selinuxLabels([], CONTEXTS, ID);
  expect(labels?.process).toMatch(/^system_u:system_r:container_t:s0:c\d+,c\d+$/);
  expect(labels?.file).toBe(`system_u:object_r:container_file_t:${labels?.process.split(":").slice(3).join(":")}`);
  expect(selinuxLabels([], CONTEXTS, ID)).toEqual(labels);
  expect(selinuxLabels([], CONTEXTS, ID.replaceAll("7", "1"))).not.toEqual(labels);
  for (let at = 0; at < 64; at++) {
    const id = at.toString(16).padStart(2, "0").repeat(32);
    const [low = 0, high = 0] =
      /c(\d+),c(\d+)$/
        .exec(selinuxLabels([], CONTEXTS, id)?.process ?? "")
        ?.slice(1)
        .map(Number) ?? [];
    expect(low < high && high < 1024).toBe(true);
  }
});

test("options replace parts of the labels as Docker has it", () => {
  const options = ["user:staff_u", "role:staff_r", "type:spc_t", "level:s0:c1,c2", "filetype:svirt_file_t"];
  expect(selinuxLabels(options, CONTEXTS, ID)).toEqual({
    process: "staff_u:staff_r:spc_t:s0:c1,c2",
    file: "staff_u:object_r:svirt_file_t:s0:c1,c2",
  });
  expect(selinuxLabels(["type:spc_t", "disable"], CONTEXTS, ID)).toBeUndefined();
});
