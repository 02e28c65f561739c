/*
 * world: prints what a process sees of itself and its surroundings as one line of JSON: the program of the conformance
 * suite's containers. Static, so that it runs in an empty root file system. Arguments are further questions, `verb:rest`
 * (see `ask`), answered in order.
 *
 * On the host it is the other end of what a runtime sends: `world --console SOCKET` takes a terminal and prints what
 * comes out of it, `world --notify SOCKET` takes a seccomp listener and prints the message that came with it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void text(const char *value)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20 || *c > 0x7e)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    putchar('"');
}

static void field(const char *name, const char *value)
{
    printf(",\"%s\":", name);
    text(value);
}

static void strings(const char *name, char *const *list)
{
    printf(",\"%s\":[", name);
    for (int i = 0; list[i]; i++) {
        if (i)
            putchar(',');
        text(list[i]);
    }
    putchar(']');
}

/* What a file holds, or "errno N". */
static char *content(const char *path)
{
    static char block[262144];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t size = 0;
    ssize_t n = 0;
    if (fd >= 0)
        while (size < sizeof(block) - 1 && (n = read(fd, block + size, sizeof(block) - 1 - size)) > 0)
            size += (size_t)n;
    if (fd < 0 || n < 0)
        size = (size_t)sprintf(block, "errno %d", errno);
    if (fd >= 0)
        close(fd);
    block[size] = 0;
    return block;
}

static void file(const char *name, const char *path)
{
    char *value = content(path);
    size_t size = strlen(value);
    while (size && value[size - 1] == '\n')
        value[--size] = 0;
    field(name, value);
}

static void lines(const char *name, const char *path)
{
    int first = 1;
    printf(",\"%s\":[", name);
    for (char *line = strtok(content(path), "\n"); line; line = strtok(NULL, "\n")) {
        if (!first)
            putchar(',');
        first = 0;
        text(line);
    }
    putchar(']');
}

static void link_of(const char *directory, const char *name)
{
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n < 0 ? 0 : n] = 0;
    text(target);
}

static void identity(void)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg, groups[1024];
    getresuid(&ru, &eu, &su);
    getresgid(&rg, &eg, &sg);
    int n = getgroups(1024, groups);
    mode_t mask = umask(0);
    umask(mask);
    printf("\"uid\":[%u,%u,%u],\"gid\":[%u,%u,%u],\"groups\":[", ru, eu, su, rg, eg, sg);
    for (int i = 0; i < n; i++)
        printf(i ? ",%u" : "%u", groups[i]);
    printf("],\"umask\":%u", mask);
    printf(",\"pid\":%d,\"ppid\":%d,\"session\":%d,\"processGroup\":%d", getpid(), getppid(), getsid(0), getpgid(0));
}

static void capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    uint64_t bounding = 0, ambient = 0;
    syscall(SYS_capget, &header, data);
    for (int i = 0; i < 64; i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            bounding |= 1ULL << i;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            ambient |= 1ULL << i;
    }
    printf(",\"capabilities\":{\"bounding\":\"%llx\",\"effective\":\"%llx\",\"permitted\":\"%llx\",\"inheritable\":\"%llx\",\"ambient\":\"%llx\"}",
           (unsigned long long)bounding, data[0].effective | (unsigned long long)data[1].effective << 32,
           data[0].permitted | (unsigned long long)data[1].permitted << 32,
           data[0].inheritable | (unsigned long long)data[1].inheritable << 32, (unsigned long long)ambient);
    printf(",\"noNewPrivileges\":%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf(",\"seccomp\":%d,\"dumpable\":%d,\"parentDeathSignal\":", prctl(PR_GET_SECCOMP, 0, 0, 0, 0), prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    int death = -1;
    prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
    printf("%d", death);
}

static void limits(void)
{
    static const char *const names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
                                        "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
    printf(",\"rlimits\":{");
    for (int i = 0; i < 16; i++) {
        struct rlimit limit = {0, 0};
        getrlimit((__rlimit_resource_t)i, &limit);
        printf("%s\"RLIMIT_%s\":[%lld,%lld]", i ? "," : "", names[i], (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    putchar('}');
}

struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t min, max;
};

static void scheduling(void)
{
    struct scheduling s;
    memset(&s, 0, sizeof(s));
    syscall(SYS_sched_getattr, 0, &s, sizeof(s), 0);
    printf(",\"scheduler\":{\"policy\":%u,\"flags\":%llu,\"nice\":%d,\"priority\":%u,\"runtime\":%llu,\"deadline\":%llu,\"period\":%llu}",
           s.policy, (unsigned long long)s.flags, s.nice, s.priority, (unsigned long long)s.runtime,
           (unsigned long long)s.deadline, (unsigned long long)s.period);
    long priority = syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0);
    printf(",\"ioPriority\":[%ld,%ld]", priority >> 13, priority & 7);
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof(set), &set);
    printf(",\"affinity\":[");
    for (int i = 0, first = 1; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) {
            printf(first ? "%d" : ",%d", i);
            first = 0;
        }
    putchar(']');
}

static void signals(void)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    printf(",\"blocked\":[");
    for (int i = 1, first = 1; i < 65; i++)
        if (sigismember(&blocked, i) == 1) {
            printf(first ? "%d" : ",%d", i);
            first = 0;
        }
    printf("],\"ignored\":[");
    for (int i = 1, first = 1; i < 65; i++) {
        struct sigaction action;
        if (!sigaction(i, NULL, &action) && action.sa_handler == SIG_IGN) {
            printf(first ? "%d" : ",%d", i);
            first = 0;
        }
    }
    putchar(']');
}

static void namespaces(void)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    printf(",\"namespaces\":{");
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        printf("%s\"%s\":", i ? "," : "", kinds[i]);
        link_of("/proc/self/ns", kinds[i]);
    }
    putchar('}');
}

static void names(void)
{
    struct utsname name;
    uname(&name);
    field("hostname", name.nodename);
    field("domainname", name.domainname);
    field("machine", name.machine);
    printf(",\"personality\":%d", personality(0xffffffff));
}

static void node(const char *path, const struct stat *stat)
{
    static const char *const kinds[] = {"?", "pipe", "char", "?", "directory", "?", "block", "?", "file", "?", "link", "?", "socket"};
    printf("{\"kind\":\"%s\",\"mode\":%u,\"uid\":%u,\"gid\":%u,\"major\":%u,\"minor\":%u", kinds[stat->st_mode >> 12],
           stat->st_mode & 07777, stat->st_uid, stat->st_gid, major(stat->st_rdev), minor(stat->st_rdev));
    if (S_ISLNK(stat->st_mode)) {
        printf(",\"target\":");
        link_of(path, "");
    }
    putchar('}');
}

static void tree(const char *name, const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort), first = 1;
    printf(",\"%s\":{", name);
    for (int i = 0; i < n; i++) {
        char full[PATH_MAX];
        struct stat stat;
        snprintf(full, sizeof(full), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] == '.' || lstat(full, &stat))
            continue;
        if (!first)
            putchar(',');
        first = 0;
        text(entries[i]->d_name);
        putchar(':');
        if (S_ISLNK(stat.st_mode)) {
            printf("{\"kind\":\"link\",\"target\":");
            link_of(path, entries[i]->d_name);
            putchar('}');
        } else
            node(full, &stat);
    }
    putchar('}');
}

static void descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int first = 1;
    printf(",\"fds\":{");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(directory))
            continue;
        printf(first ? "\"%s\":" : ",\"%s\":", entry->d_name);
        first = 0;
        link_of("/proc/self/fd", entry->d_name);
    }
    putchar('}');
    if (directory)
        closedir(directory);
}

static void processes(void)
{
    DIR *directory = opendir("/proc");
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
    if (directory)
        closedir(directory);
    printf(",\"processes\":%d", count);
}

static void interfaces(void)
{
    char *dev = content("/proc/net/dev");
    int first = 1;
    printf(",\"interfaces\":[");
    for (char *line = strtok(dev, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = 0;
        if (!first)
            putchar(',');
        first = 0;
        text(line + strspn(line, " "));
    }
    putchar(']');
}

static void terminal(void)
{
    struct winsize size = {0, 0, 0, 0};
    int is_terminal = isatty(0) && isatty(1) && isatty(2);
    if (is_terminal)
        ioctl(0, TIOCGWINSZ, &size);
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    printf(",\"terminal\":%s,\"controllingTerminal\":%s,\"size\":[%u,%u]", is_terminal ? "true" : "false",
           tty >= 0 ? "true" : "false", size.ws_row, size.ws_col);
    if (tty >= 0)
        close(tty);
}

static long seconds(clockid_t clock)
{
    struct timespec time = {0, 0};
    clock_gettime(clock, &time);
    return time.tv_sec;
}

static void outcome(long result)
{
    if (result < 0)
        printf("\"errno %d\"", errno);
    else
        printf("\"ok\"");
}

/* One question, as `verb:rest`; the answer is "ok", "errno N", a text or a node. */
static void ask(char *question)
{
    char *rest = strchr(question, ':');
    struct stat stat_;
    if (!rest) {
        text("no verb");
        return;
    }
    *rest++ = 0;
    if (!strcmp(question, "read")) {
        text(content(rest));
    } else if (!strcmp(question, "stat")) {
        if (lstat(rest, &stat_))
            outcome(-1);
        else
            node(rest, &stat_);
    } else if (!strcmp(question, "write") || !strcmp(question, "open")) {
        int fd = open(rest, question[0] == 'w' ? O_WRONLY | O_CREAT | O_CLOEXEC : O_RDWR | O_NONBLOCK | O_CLOEXEC, 0666);
        outcome(fd);
        if (fd >= 0)
            close(fd);
    } else if (!strcmp(question, "list")) {
        struct dirent **entries;
        int n = scandir(rest, &entries, NULL, alphasort), first = 1;
        putchar('[');
        for (int i = 0; i < n; i++) {
            if (!strcmp(entries[i]->d_name, ".") || !strcmp(entries[i]->d_name, ".."))
                continue;
            if (!first)
                putchar(',');
            first = 0;
            text(entries[i]->d_name);
        }
        putchar(']');
    } else if (!strcmp(question, "exec")) {
        /* Whether a file of ours may be run from there: a script without interpreter fails with ENOEXEC, not EACCES. */
        outcome(access(rest, X_OK));
    } else if (!strcmp(question, "sethostname")) {
        outcome(sethostname(rest, strlen(rest)));
    } else if (!strcmp(question, "mount")) {
        outcome(mount("tmpfs", rest, "tmpfs", 0, NULL));
    } else if (!strcmp(question, "umount")) {
        outcome(umount2(rest, MNT_DETACH));
    } else if (!strcmp(question, "mknod")) {
        outcome(mknod(rest, S_IFCHR | 0600, makedev(1, 3)));
    } else if (!strcmp(question, "syscall")) {
        long a[7] = {0};
        int i = 0;
        for (char *word = strtok(rest, ","); word && i < 7; word = strtok(NULL, ","))
            a[i++] = strtol(word, NULL, 0);
        outcome(syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]));
    } else {
        text("unknown verb");
    }
}

static void print_world(int argc, char **argv)
{
    char cwd[PATH_MAX] = "";
    putchar('{');
    identity();
    field("cwd", getcwd(cwd, sizeof(cwd)) ? cwd : "");
    strings("args", argv);
    strings("env", environ);
    capabilities();
    limits();
    scheduling();
    signals();
    namespaces();
    names();
    file("oomScoreAdj", "/proc/self/oom_score_adj");
    file("label", "/proc/self/attr/current");
    file("timeOffsets", "/proc/self/timens_offsets");
    file("uidMap", "/proc/self/uid_map");
    file("gidMap", "/proc/self/gid_map");
    file("loginuid", "/proc/self/loginuid");
    printf(",\"monotonic\":%ld,\"boottime\":%ld", seconds(CLOCK_MONOTONIC), seconds(CLOCK_BOOTTIME));
    lines("cgroups", "/proc/self/cgroup");
    lines("mounts", "/proc/self/mountinfo");
    tree("dev", "/dev");
    tree("root", "/");
    descriptors();
    processes();
    interfaces();
    terminal();
    printf(",\"answers\":[");
    for (int i = 1; i < argc; i++) {
        if (i > 1)
            putchar(',');
        ask(argv[i]);
    }
    printf("]}");
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
        exit(1);
    puts("listening");
    fflush(stdout);
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

/* The descriptor of one message, whose bytes go to `payload`. */
static int receive(int socket, char *payload, size_t size)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {payload, size - 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    payload[n < 0 ? 0 : n] = 0;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

static int console(const char *path)
{
    char payload[4096], block[65536];
    int fd = receive(listen_on(path), payload, sizeof(payload));
    if (fd < 0)
        return 1;
    /* EIO: nobody has the other end open any more. */
    for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;)
        fwrite(block, 1, (size_t)n, stdout);
    return 0;
}

/* Prints the message, then answers every notification with errno 71 (EPROTO). */
static int notify(const char *path)
{
    char payload[65536];
    int fd = receive(listen_on(path), payload, sizeof(payload));
    puts(payload);
    fflush(stdout);
    if (fd < 0)
        return 1;
    for (;;) {
        struct pollfd poll_ = {.fd = fd, .events = POLLIN};
        struct seccomp_notif request;
        if (poll(&poll_, 1, -1) < 0 || !(poll_.revents & POLLIN))
            return 0;
        memset(&request, 0, sizeof(request));
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request))
            continue;
        struct seccomp_notif_resp response = {.id = request.id, .error = -71};
        ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

/* As a hook: appends one line to a file, with what came on standard input. */
static int record(int argc, char **argv)
{
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0)
        return 1;
    static char input[65536];
    size_t size = 0;
    for (ssize_t n; size < sizeof(input) - 1 && (n = read(0, input + size, sizeof(input) - 1 - size)) > 0;)
        size += (size_t)n;
    printf("{\"input\":");
    text(input);
    printf(",\"world\":");
    print_world(0, argv);
    (void)argc;
    printf("}\n");
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && !strcmp(argv[1], "--record"))
        return record(argc, argv);
    if (argc == 3 && !strcmp(argv[1], "--console"))
        return console(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "--notify"))
        return notify(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "--pause"))
        return pause();
    if (argc == 3 && !strcmp(argv[1], "--exit"))
        return atoi(argv[2]);
    print_world(argc, argv);
    putchar('\n');
    return 0;
}
