/** The runtime specification's MUSTs and SHOULDs against `ctr oci`; scripts/oci-conformance shows runc and crun beside it. */
import { describe, expect } from "bun:test";
import { needs } from "../lib/needs.ts";
import { test } from "../lib/test.ts";
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
