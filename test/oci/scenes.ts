/** Every case of the conformance suite. */
import { FILE_SCENES } from "./checks/files.ts";
import { LATER_SCENES } from "./checks/later.ts";
import { LIFECYCLE_SCENES } from "./checks/lifecycle.ts";
import { LINUX_SCENES } from "./checks/linux.ts";
import { PROCESS_SCENES } from "./checks/process.ts";
import { LISTENER_SCENES, TERMINAL_SCENES } from "./checks/terminal.ts";
import type { Scene } from "./scene.ts";

export const SCENES: readonly Scene[] = [
  ...LIFECYCLE_SCENES,
  ...PROCESS_SCENES,
  ...TERMINAL_SCENES,
  ...LISTENER_SCENES,
  ...FILE_SCENES,
  ...LINUX_SCENES,
  ...LATER_SCENES,
];
