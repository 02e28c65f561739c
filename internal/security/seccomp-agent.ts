/**
 * The agent of a filter with SCMP_ACT_NOTIFY: it listens on a socket, and is sent the filter's listener with the state of
 * the container (runtime-spec config-linux.md#the-container-process-state). Loaded only where there is one.
 */
import { withContext } from "../errors/error.ts";
import { AF_UNIX, connect, SOCK_STREAM, socket, unixAddress } from "../sys/socket.ts";
import type { FilterAgent } from "../sys/spawn.ts";
import type { SeccompListener } from "./seccomp.ts";

/** The container as the agent is told of it (runtime.md#state). */
export interface AgentState {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: string;
  readonly pid: number;
  readonly bundle: string;
  readonly annotations?: { readonly [key: string]: string };
}

/** Connects to the agent while its path can be reached; what it is sent goes out when the filter is in force. */
export function reachAgent({ path, metadata }: SeccompListener, state: AgentState): FilterAgent & Disposable {
  const connection = socket(AF_UNIX, SOCK_STREAM);
  try {
    connect(connection.number, unixAddress(path), path);
  } catch (error) {
    connection.close();
    throw withContext("linux.seccomp.listenerPath", error);
  }
  const message = {
    ociVersion: state.ociVersion,
    fds: ["seccompFd"],
    pid: state.pid,
    ...(metadata === "" ? {} : { metadata }),
    state,
  };
  return {
    socket: connection.number,
    message: new TextEncoder().encode(JSON.stringify(message)),
    [Symbol.dispose]: () => connection.close(),
  };
}
