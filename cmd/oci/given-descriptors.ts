/** Descriptors of the caller's that the program is to have: those of socket activation, then those of --preserve-fds. */
import { CtrError, EBADF, isErrno } from "../../internal/errors/error.ts";
import { F_GETFD, fcntl } from "../../internal/sys/fd.ts";

const FIRST = 3;
/** What the C half can place. */
const MOST = 200;

/** The descriptors, and the variables that tell the program (sd_listen_fds(3)). Throws `invalid` for one that is not open. */
export function givenDescriptors(preserve: number): {
  readonly preserved: readonly number[];
  readonly env: readonly string[];
} {
  const listen = Number(process.env["LISTEN_FDS"] ?? "0");
  const activated = Number.isInteger(listen) && listen > 0 ? listen : 0;
  const count = activated + preserve;
  if (preserve < 0 || count > MOST) throw new CtrError("invalid", `preserve-fds: at most ${MOST} can be passed`);
  const preserved = Array.from({ length: count }, (_, at) => FIRST + at);
  for (const fd of preserved) checkOpen(fd);
  const names = process.env["LISTEN_FDNAMES"];
  const named = names === undefined ? [] : [`LISTEN_FDNAMES=${names}`];
  return { preserved, env: activated > 0 ? [`LISTEN_FDS=${activated}`, "LISTEN_PID=1", ...named] : [] };
}

function checkOpen(fd: number): void {
  try {
    fcntl(fd, F_GETFD);
  } catch (error) {
    if (!isErrno(error, EBADF)) throw error;
    throw new CtrError("invalid", `please check that preserved-fd ${fd - FIRST} (of fd ${fd}) is present`);
  }
}
