/** `--restart`: when a container is started again after its end. */
import { CtrError } from "../errors/error.ts";
import { OptionError } from "./option-error.ts";
import type { HostConfig } from "./record.ts";

export type RestartPolicy = HostConfig["RestartPolicy"];

const NAMES = ["no", "always", "on-failure", "unless-stopped"];

/** `no`, `always`, `unless-stopped`, `on-failure[:count]`. Throws OptionError, or `invalid` in Docker's words. */
export function parseRestartPolicy(text: string): RestartPolicy {
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const count = colon < 0 ? "" : text.slice(colon + 1);
  const wrong = (why: string) => new OptionError(`invalid restart policy format: ${why}`);
  if (colon >= 0 && name === "") throw wrong("no policy provided before colon");
  if (!/^([+-]?\d{1,9})?$/.test(count)) throw wrong("maximum retry count must be an integer");
  const policy = { Name: name === "" ? "no" : name, MaximumRetryCount: Number(count) };
  if (!NAMES.includes(policy.Name)) {
    throw new CtrError(
      "invalid",
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (policy.MaximumRetryCount !== 0 && policy.Name !== "on-failure") {
    const negative = policy.MaximumRetryCount < 0 ? " and cannot be negative" : "";
    throw new CtrError(
      "invalid",
      `invalid restart policy: maximum retry count can only be used with 'on-failure'${negative}`,
    );
  }
  if (policy.MaximumRetryCount < 0) {
    throw new CtrError("invalid", "invalid restart policy: maximum retry count cannot be negative");
  }
  return policy;
}
