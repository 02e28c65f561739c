/**
 * The runtime specification's MUSTs and SHOULDs against `ctr oci`; scripts/oci-conformance shows runc and crun beside it. And
 * random bundles compared with runc, where that is installed: `OCI_DIFF_BUNDLES` of them, from `OCI_DIFF_SEED`.
 */
import { describe, expect } from "bun:test";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
import { compareRuntimes } from "../oci/differ.ts";
import { runtime } from "../oci/harness.ts";
import type { Verdict } from "../oci/scene.ts";
import { SCENES } from "../oci/scenes.ts";

const isPossible = needs("root", "private-host", "ctr", "cgroup-v1");

for (const { name, checks, play } of SCENES) {
  describe(name, () => {
    let played: Promise<readonly Verdict[]> | undefined;
    for (const [at, { section, level, says }] of checks.entries()) {
      test.if(isPossible)(`${section} (${level}): ${says}`, async () => {
        played ??= play(runtime("ctr"));
        expect((await played)[at]?.problem).toBeUndefined();
      });
    }
  });
}

const BUNDLES = Number(process.env["OCI_DIFF_BUNDLES"] ?? 15);
const SEED = Number(process.env["OCI_DIFF_SEED"] ?? Date.now() % 1_000_000);
const hasRunc = Bun.which("runc", { PATH: "/usr/sbin:/usr/bin" }) !== null;

test.if(isPossible && hasRunc)(
  `random bundles: a program sees the same as under runc (seed ${SEED})`,
  () => {
    const { unexplained } = compareRuntimes(BUNDLES, SEED, [runtime("ctr"), runtime("runc")]);
    expect([...unexplained.values()].map(({ example }) => example)).toEqual([]);
  },
  120_000,
);
