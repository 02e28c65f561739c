/** kernel Documentation/admin-guide/cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst */
import type { BlockIoResources, ThrottleDevice } from "../../spec/runtime.ts";
import { AT_FDCWD } from "../../sys/fd.ts";
import { exists } from "../../sys/file.ts";
import type { Controller } from "../controller.ts";
import { readControlIfAny, writeControl } from "../file.ts";

export const blkio: Controller = {
  name: "blkio",
  // For what it counts.
  isAlwaysMade: true,
  isAsked: ({ blockIO }) => blockIO !== undefined && Object.keys(blockIO).length > 0,
  apply(directory, { blockIO }) {
    if (blockIO === undefined) return;
    applyWeights(directory, blockIO);
    applyThrottle(directory, "read_bps", blockIO.throttleReadBpsDevice);
    applyThrottle(directory, "write_bps", blockIO.throttleWriteBpsDevice);
    applyThrottle(directory, "read_iops", blockIO.throttleReadIOPSDevice);
    applyThrottle(directory, "write_iops", blockIO.throttleWriteIOPSDevice);
  },
  addStats(directory, stats) {
    let [read, write] = [0, 0];
    const text = readControlIfAny(directory, "blkio.throttle.io_service_bytes_recursive") ?? "";
    for (const line of text.split("\n")) {
      const [, operation, bytes] = line.split(" ");
      if (operation === "Read") read += Number(bytes);
      if (operation === "Write") write += Number(bytes);
    }
    stats.ioReadBytes = read;
    stats.ioWriteBytes = write;
  },
};

/** The weights are CFQ's, gone since kernel 5.0, or BFQ's under another name (kernel 5.0). */
function applyWeights(directory: string, blockIO: BlockIoResources): void {
  const hasOldFile = exists(AT_FDCWD, `${directory}/blkio.weight`);
  const prefix = hasOldFile ? "blkio" : "blkio.bfq";
  if (blockIO.weight !== undefined && blockIO.weight !== 0) {
    writeControl(directory, `${prefix}.weight`, blockIO.weight, "block I/O weight");
  }
  if (blockIO.leafWeight !== undefined) {
    writeControl(directory, "blkio.leaf_weight", blockIO.leafWeight, "block I/O leaf weight");
  }
  for (const { major, minor, weight, leafWeight } of blockIO.weightDevice ?? []) {
    if (weight !== undefined) {
      writeControl(directory, `${prefix}.weight_device`, `${major}:${minor} ${weight}`, "block I/O weight");
    }
    if (leafWeight !== undefined) {
      writeControl(directory, "blkio.leaf_weight_device", `${major}:${minor} ${leafWeight}`, "block I/O leaf weight");
    }
  }
}

function applyThrottle(directory: string, kind: string, devices: readonly ThrottleDevice[] | undefined): void {
  for (const { major, minor, rate } of devices ?? []) {
    writeControl(directory, `blkio.throttle.${kind}_device`, `${major}:${minor} ${rate}`, "block I/O limit");
  }
}
