/** SELinux labels of file systems that are made for a container (mount(8), "context="). */
import type { Mount } from "../spec/runtime.ts";

/** Those that keep no labels of their own, or whose labels are other containers' too. */
const LABELLED = ["overlay", "tmpfs", "devpts", "mqueue"];

/** The mounts with the label on those that are made new; what is bound keeps its own. */
export function withMountLabel(mounts: readonly Mount[], label: string | undefined): readonly Mount[] {
  if (label === undefined || label === "") return mounts;
  return mounts.map((mount) =>
    mount.type !== undefined && LABELLED.includes(mount.type)
      ? { ...mount, options: [...(mount.options ?? []), `context=${label}`] }
      : mount,
  );
}

/** The option as mount(2) takes it among others: a label has commas. */
export function quotedForString(option: string): string {
  return option.startsWith("context=") ? `context="${option.slice("context=".length)}"` : option;
}
