"""A service manager as systemd is one, for tests: a socket that it listens on, sd_notify(3) with kept descriptors, restarts.

    service-manager.py NOTIFY_NAME LISTEN_PATH PROGRAM...

NOTIFY_NAME may begin with @. Commands on standard input, one per line: `start`, `signal N`, `restart N` (a signal, and
another life as soon as this one is over), `keep` (as that, after each life). Tells on standard output, one JSON object per line: {"told": [...]},
{"kept": [names]}, {"exited": status}, {"pid": pid}.
"""
import array, json, os, select, signal, socket, sys

notify_name, listen_path, *program = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("\0" + notify_name[1:] if notify_name.startswith("@") else notify_name)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(listen_path)
listener.listen(256)
kept = []  # (name, descriptor)
child = None
again = False
keep = False
woken_read, woken_write = os.pipe()
os.set_blocking(woken_write, False)
signal.set_wakeup_fd(woken_write)
signal.signal(signal.SIGCHLD, lambda *_: None)


def tell(**what):
    print(json.dumps(what), flush=True)


def start():
    global child
    handed = [("ctr-netd.socket", listener.fileno())] + kept
    # Above every number that one of them will have.
    copies = [(name, os.dup(fd)) for name, fd in handed]
    high = [(name, os.dup2(fd, 200 + at, inheritable=False)) for at, (name, fd) in enumerate(copies)]
    for _, fd in copies:
        os.close(fd)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        for at, (_, fd) in enumerate(high):
            os.dup2(fd, 3 + at, inheritable=True)
        env = dict(os.environ, NOTIFY_SOCKET=notify_name, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))
        env["LISTEN_FDNAMES"] = ":".join(name for name, _ in high)
        os.closerange(3 + len(high), 1000)
        os.execvpe(program[0], program, env)
    for _, fd in high:
        os.close(fd)
    tell(pid=child)


def told():
    data, control, _, _ = notify.recvmsg(65536, socket.CMSG_SPACE(4 * 16))
    lines = data.decode().split("\n")
    fds = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    name = next((line[7:] for line in lines if line.startswith("FDNAME=")), "stored")
    if "FDSTORE=1" in lines:
        kept.extend((name, fd) for fd in fds)
    elif "FDSTOREREMOVE=1" in lines:
        for entry in [entry for entry in kept if entry[0] == name]:
            os.close(entry[1])
            kept.remove(entry)
    else:
        tell(told=lines)
        return
    tell(kept=[entry[0] for entry in kept])


pending = b""
while True:
    ready, _, _ = select.select([0, notify, woken_read], [], [])
    if notify in ready:
        told()
        continue
    if woken_read in ready:
        os.read(woken_read, 4096)
        pid, status = os.waitpid(-1, os.WNOHANG) if child else (0, 0)
        if pid == child and pid:
            child = None
            tell(exited=os.waitstatus_to_exitcode(status))
            if again or keep:
                again = False
                start()
    if 0 in ready:
        chunk = os.read(0, 4096)
        if not chunk:
            if child:
                os.kill(child, signal.SIGKILL)
            sys.exit(0)
        pending += chunk
        *commands, pending = pending.split(b"\n")
        for command in commands:
            word, *operand = command.decode().split()
            if word == "start":
                start()
            elif word == "keep":
                keep = True
            elif child:
                again = word == "restart"
                os.kill(child, int(operand[0]))
