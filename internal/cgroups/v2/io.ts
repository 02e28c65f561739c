/** kernel Documentation/admin-guide/cgroup-v2.rst, io */
import { CtrError } from "../../errors/error.ts";
import type { BlockIoResources } from "../../spec/runtime.ts";
import { AT_FDCWD } from "../../sys/fd.ts";
import { exists } from "../../sys/file.ts";
import type { Controller } from "../controller.ts";
import { readControlIfAny, writeControl } from "../file.ts";

export const io: Controller = {
  name: "io",
  // For what it counts.
  isAlwaysMade: true,
  isAsked: ({ blockIO }) => blockIO !== undefined && Object.keys(blockIO).length > 0,
  apply(directory, { blockIO }) {
    if (blockIO === undefined) return;
    applyWeights(directory, blockIO);
    for (const [key, devices] of [
      ["rbps", blockIO.throttleReadBpsDevice],
      ["wbps", blockIO.throttleWriteBpsDevice],
      ["riops", blockIO.throttleReadIOPSDevice],
      ["wiops", blockIO.throttleWriteIOPSDevice],
    ] as const) {
      for (const { major, minor, rate } of devices ?? []) {
        // 0 is "no limit" in the spec, and refused by the kernel.
        const limit = rate === 0 ? "max" : rate;
        writeControl(directory, "io.max", `${major}:${minor} ${key}=${limit}`, "block I/O limit");
      }
    }
  },
  addStats(directory, stats) {
    let [read, write] = [0, 0];
    for (const [, key, bytes] of (readControlIfAny(directory, "io.stat") ?? "").matchAll(/\b(rbytes|wbytes)=(\d+)/g)) {
      if (key === "rbytes") read += Number(bytes);
      else write += Number(bytes);
    }
    stats.ioReadBytes = read;
    stats.ioWriteBytes = write;
  },
};

function applyWeights(directory: string, { weight = 0, leafWeight, weightDevice = [] }: BlockIoResources): void {
  if (leafWeight !== undefined) throw new CtrError("unsupported", "block I/O leaf weight: cgroup v2 has none");
  const isBfq = exists(AT_FDCWD, `${directory}/io.bfq.weight`);
  // BFQ takes the spec's 10 to 1000 as they are; io.weight (iocost) is 1 to 10000.
  const scaled = (value: number) => (isBfq ? value : 1 + Math.floor(((value - 10) * 9999) / 990));
  const file = isBfq ? "io.bfq.weight" : "io.weight";
  if (weight !== 0) writeControl(directory, file, scaled(weight), "block I/O weight");
  for (const { major, minor, weight: own } of weightDevice) {
    if (own !== undefined) writeControl(directory, file, `${major}:${minor} ${scaled(own)}`, "block I/O weight");
  }
}
