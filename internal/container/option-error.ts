/** What a user asked for and cannot have. */
import { CtrError } from "../errors/error.ts";

/**
 * An option that cannot be used, found before anything was done; status 125. With `flag` it is that flag's value, and
 * the message is only the reason: the command line names flag and value as its grammar does.
 */
export class OptionError extends CtrError {
  readonly flag: string | undefined;
  readonly value: string;

  constructor(message: string, flag?: string, value = "") {
    super("invalid", message, { exitStatus: 125 });
    this.flag = flag;
    this.value = value;
  }
}
