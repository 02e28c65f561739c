/** `--label`, of containers and of what else has labels. */
import { OptionError } from "./option-error.ts";

/** The text as it is: a name, or `name=value`. Throws OptionError. */
export function checkLabel(text: string): string {
  const [name = ""] = text.split("=", 1);
  if (name === "") throw new OptionError(`invalid label '${text}': empty name`, "label", text);
  if (/\s/.test(name)) throw new OptionError(`label '${name}' contains whitespaces`, "label", text);
  return text;
}
