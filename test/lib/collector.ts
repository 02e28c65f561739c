/** A log host: a socket of some kind that keeps what is sent to it, with descriptors passed along read as files. */

const SCRIPT = `
import array, base64, os, socket, ssl, sys
kind, place = sys.argv[1:3]
def tell(data): print(base64.b64encode(data).decode(), flush=True)
if kind in ("unixgram", "udp"):
    s = socket.socket(socket.AF_UNIX if kind == "unixgram" else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(place if kind == "unixgram" else ("127.0.0.1", int(place)))
    print(place if kind == "unixgram" else s.getsockname()[1], flush=True)
    while True:
        data, control, flags, address = s.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        for level, kind_, passed in control:
            fd = array.array("i", passed)[0]
            data += os.pread(fd, 1 << 26, 0)
            os.close(fd)
        tell(data)
s = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(place if kind == "unix" else ("127.0.0.1", int(place)))
s.listen()
print(place if kind == "unix" else s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    try:
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[3], sys.argv[4])
            c = context.wrap_socket(c, server_side=True)
        while True:
            data = c.recv(65536)
            if not data: break
            tell(data)
    except OSError: pass
`;

export interface Collector extends AsyncDisposable {
  /** The path, or the port. */
  readonly place: string;
  readonly pid: number;
  /** What came so far: a datagram each, or the bytes of a connection as they were read. */
  readonly received: () => readonly string[];
}

/** Listens at a path, or at a port of 127.0.0.1 (`0` for any). */
export async function collect(
  kind: "unixgram" | "unix" | "udp" | "tcp" | "tls",
  place: string,
  ...more: readonly string[]
): Promise<Collector> {
  const child = Bun.spawn(["python3", "-c", SCRIPT, kind, place, ...more], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const received: string[] = [];
  const { promise: started, resolve } = Promise.withResolvers<string>();
  let isStarted = false;
  const read = async () => {
    for (;;) {
      const { value, done } = await lines.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        if (isStarted) received.push(Buffer.from(line, "base64").toString("latin1"));
        else resolve(line);
        isStarted = true;
      }
    }
  };
  void read();
  return {
    place: await started,
    pid: child.pid,
    received: () => received,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
