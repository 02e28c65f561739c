import { expect, test } from "bun:test";
import { layoutTable } from "./table.ts";

test("columns are at least 10 wide, padded by 3, the last one is not padded", () => {
  const rows = [
    ["CONTAINER ID", "IMAGE", "NAMES"],
    ["0123456789ab", "alpine", "x"],
    ["0123456789ac", "a-long-image:tag", "é"],
  ];
  expect(layoutTable(rows)).toBe(
    [
      "CONTAINER ID   IMAGE              NAMES",
      "0123456789ab   alpine             x",
      "0123456789ac   a-long-image:tag   é",
      "",
    ].join("\n"),
  );
});

test("a character is one wide however it is encoded", () => {
  expect(layoutTable([["aé😀", "b"]])).toBe("aé😀       b\n");
});
