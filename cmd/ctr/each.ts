/** Commands with several targets: all are tried, each success is echoed, each failure is one line, 1 if any failed. */
import { printFailure } from "./fail.ts";
import { printLine } from "./output.ts";

/**
 * Works on all targets at once and reports in their order, each as soon as it and those before it are through. What
 * `action` returns is printed for a success: the target as typed, a status, nothing.
 */
export async function forEachTarget(
  targets: readonly string[],
  action: (target: string) => Promise<string | undefined>,
): Promise<number> {
  const outcomes = targets.map(async (target) => {
    try {
      return { line: await action(target) };
    } catch (error) {
      return { error };
    }
  });
  let status = 0;
  for (const pending of outcomes) {
    const outcome = await pending;
    if ("error" in outcome) {
      printFailure(outcome.error);
      status = 1;
    } else if (outcome.line !== undefined) printLine(outcome.line);
  }
  return status;
}
