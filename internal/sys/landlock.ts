/** Landlock (landlock(7), kernel 5.13): a thread, and all it starts, gives up rights for good. */
import { ENOSYS, EOPNOTSUPP, EPERM, isErrno } from "../errors/error.ts";
import { Fd } from "./fd.ts";
import { check, lib } from "./lib.ts";

export const LANDLOCK_ACCESS_FS_WRITE_FILE = 1n << 1n;
export const LANDLOCK_ACCESS_FS_REMOVE_DIR = 1n << 4n;
export const LANDLOCK_ACCESS_FS_REMOVE_FILE = 1n << 5n;
export const LANDLOCK_ACCESS_FS_MAKE_CHAR = 1n << 6n;
export const LANDLOCK_ACCESS_FS_MAKE_DIR = 1n << 7n;
export const LANDLOCK_ACCESS_FS_MAKE_REG = 1n << 8n;
export const LANDLOCK_ACCESS_FS_MAKE_SOCK = 1n << 9n;
export const LANDLOCK_ACCESS_FS_MAKE_FIFO = 1n << 10n;
export const LANDLOCK_ACCESS_FS_MAKE_BLOCK = 1n << 11n;
export const LANDLOCK_ACCESS_FS_MAKE_SYM = 1n << 12n;
/** Version 2, kernel 5.19. */
export const LANDLOCK_ACCESS_FS_REFER = 1n << 13n;
/** Version 3, kernel 6.2. */
export const LANDLOCK_ACCESS_FS_TRUNCATE = 1n << 14n;
/** Version 6, kernel 6.12. */
export const LANDLOCK_SCOPE_SIGNAL = 1n << 1n;

const LANDLOCK_CREATE_RULESET_VERSION = 1;
const LANDLOCK_RULE_PATH_BENEATH = 1;

/** The version this kernel has; 0 where it has none, it is switched off, or a filter (systemd's) refuses it. */
export function landlockVersion(): number {
  try {
    return check("landlock", lib.ctr_landlock_create_ruleset(null, 0, LANDLOCK_CREATE_RULESET_VERSION));
  } catch (error) {
    if (isErrno(error, ENOSYS, EOPNOTSUPP, EPERM)) return 0;
    throw error;
  }
}

/** What a domain is about: rights to files that only rules give back, and scopes. The kernel must know all of them. */
export interface Ruleset {
  readonly files: bigint;
  readonly scopes: bigint;
}

/** A place that is open, and what may be done there and below it. */
export interface PathRule {
  readonly fd: number;
  readonly allowed: bigint;
}

/** Puts this thread into a domain of these rules. Needs CAP_SYS_ADMIN or no_new_privs. */
export function restrictSelf({ files, scopes }: Ruleset, rules: readonly PathRule[]): void {
  const attributes = new BigUint64Array([files, 0n, scopes]); // struct landlock_ruleset_attr
  // An older kernel takes a longer structure as long as the end is zero.
  using set = new Fd(check("landlock", lib.ctr_landlock_create_ruleset(attributes, attributes.byteLength, 0)));
  for (const { fd, allowed } of rules) {
    const rule = new DataView(new ArrayBuffer(12)); // struct landlock_path_beneath_attr, packed
    rule.setBigUint64(0, allowed & files, true);
    rule.setInt32(8, fd, true);
    check(
      "landlock",
      lib.ctr_landlock_add_rule(set.number, LANDLOCK_RULE_PATH_BENEATH, new Uint8Array(rule.buffer), 0),
    );
  }
  check("landlock", lib.ctr_landlock_restrict_self(set.number, 0));
}
