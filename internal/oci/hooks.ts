/** The hooks that run outside of a container; the code that runs them is loaded when there are any. */
import type { HookState } from "../hooks/run-hooks.ts";
import type { Hooks } from "../spec/runtime.ts";
import type { OciContainer } from "./container.ts";

type Warn = (message: string) => void;

/** What a hook is told. */
export function hookState(container: OciContainer, status: HookState["status"], pid: number): HookState {
  const { ociVersion, id, bundle, annotations } = container;
  return { ociVersion, id, status, pid, bundle, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
}

/** When the program runs. Throws at the first that fails: the container is not to go on then. */
export async function poststartHooks(hooks: Hooks | undefined, container: OciContainer, pid: number): Promise<void> {
  if (hooks?.poststart === undefined) return;
  const { runHooks } = await import("../hooks/run-hooks.ts");
  await runHooks("poststart", hooks.poststart, hookState(container, "running", pid));
}

/** When the container is gone. */
export async function poststopHooks(hooks: Hooks | undefined, container: OciContainer, warn: Warn): Promise<void> {
  if (hooks?.poststop === undefined) return;
  const { runLastHooks } = await import("../hooks/run-hooks.ts");
  await runLastHooks("poststop", hooks.poststop, hookState(container, "stopped", 0), warn);
}
