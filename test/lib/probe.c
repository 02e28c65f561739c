/*
 * probe: prints one kernel fact per verb. It is /bin/probe in the test image, static, so that it runs in any root
 * file system and shows what the kernel gave the program and nothing a C library or a shell made of it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
    printf("%s: errno %d\n", what, errno);
    return 1;
}

/* The lines of /proc/self/status that start with one of the words. */
static int status_lines(const char *const words[])
{
    char line[4096];
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return fail("/proc/self/status");
    while (fgets(line, sizeof(line), file))
        for (int i = 0; words[i]; i++)
            if (!strncmp(line, words[i], strlen(words[i])))
                fputs(line, stdout);
    fclose(file);
    return 0;
}

static int cat(const char *path)
{
    char block[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(path);
    for (ssize_t n; (n = read(fd, block, sizeof(block))) > 0;)
        fwrite(block, 1, (size_t)n, stdout);
    close(fd);
    return 0;
}

/* One line per descriptor: its number and what it is. The directory's own descriptor is left out. */
static int fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return fail("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], target[512];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = 0;
        printf("%s %s\n", entry->d_name, target);
    }
    closedir(dir);
    return 0;
}

static int namespaces(void)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts", NULL};
    for (int i = 0; kinds[i]; i++) {
        char path[64], target[64];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = 0;
        puts(target);
    }
    return 0;
}

static int ids(void)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg, groups[256];
    getresuid(&ru, &eu, &su);
    getresgid(&rg, &eg, &sg);
    int n = getgroups(256, groups);
    printf("uid %u %u %u\ngid %u %u %u\ngroups", ru, eu, su, rg, eg, sg);
    for (int i = 0; i < n; i++)
        printf(" %u", groups[i]);
    puts("");
    return 0;
}

static int rlimits(void)
{
    static const char *const names[] = {"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock",
                                        "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        if (getrlimit(i, &limit))
            continue;
        printf("%s %lld %lld\n", names[i], (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    return 0;
}

/* Blocked and ignored signals, by number; nothing after the colon is what a fresh program should see. */
static int signals(void)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    printf("blocked:");
    for (int n = 1; n < 65; n++)
        if (sigismember(&blocked, n) == 1)
            printf(" %d", n);
    printf("\nignored:");
    for (int n = 1; n < 65; n++) {
        struct sigaction action;
        if (!sigaction(n, NULL, &action) && action.sa_handler == SIG_IGN)
            printf(" %d", n);
    }
    puts("");
    return 0;
}

/* syscall NUMBER [ARGUMENT...]: "ok RESULT" or "errno N". */
static int try_syscall(int argc, char **argv)
{
    long a[6] = {0};
    for (int i = 0; i < 6 && i + 3 < argc; i++)
        a[i] = strtol(argv[i + 3], NULL, 0);
    errno = 0;
    long result = syscall(strtol(argv[2], NULL, 0), a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == -1)
        printf("errno %d\n", errno);
    else
        printf("ok %ld\n", result);
    return 0;
}

/* forks N: starts N children that wait for ever, prints how many it got, then waits to be ended. */
static int forks(int count)
{
    int made = 0;
    for (; made < count; made++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0)
            for (;;)
                pause();
    }
    printf("forked %d%s\n", made, made < count ? " limited" : "");
    fflush(stdout);
    return made;
}

/* alloc MIB: touches that much memory, a MiB at a time. */
static int alloc(int mib)
{
    for (int i = 0; i < mib; i++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return fail("mmap");
        memset(block, 0x5a, 1 << 20);
    }
    printf("allocated %d\n", mib);
    return 0;
}

/* burn MS: processor time used in that much wall time, in per cent of one processor. */
static int burn(int ms)
{
    struct timespec start, now, cpu;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        for (volatile int i = 0; i < 100000; i++)
            ;
        clock_gettime(CLOCK_MONOTONIC, &now);
        double wall = (double)(now.tv_sec - start.tv_sec) * 1e3 + (double)(now.tv_nsec - start.tv_nsec) / 1e6;
        if (wall >= ms) {
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
            printf("%.0f\n", ((double)cpu.tv_sec * 1e3 + (double)cpu.tv_nsec / 1e6) / wall * 100);
            return 0;
        }
    }
}

/* bytes COUNT [FD]: a pattern in which every byte value occurs, so that a reader can tell a lost or changed byte. */
static int bytes(long count, int fd)
{
    static unsigned char block[65536];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (unsigned char)(i * 31 + (i >> 8));
    while (count > 0) {
        ssize_t n = write(fd, block, count < (long)sizeof(block) ? (size_t)count : sizeof(block));
        if (n < 0)
            return 1;
        count -= n;
    }
    return 0;
}

/* lines COUNT LENGTH: numbered lines. */
static int lines(long count, int length)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    for (long i = 0; i < count; i++)
        if (printf("%0*ld\n", length - 1, i) < 0)
            return 1;
    return fflush(stdout) ? 1 : 0;
}

/* on-signal: names each signal it gets; TERM and the eleventh end it with status 0. */
static volatile sig_atomic_t got;
static void remember(int n)
{
    got = n;
}
static int on_signal(void)
{
    /* Taken one by one: two that come together would run both handlers in one sigsuspend. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < 11; i++) {
        int taken = sigwaitinfo(&all, NULL);
        printf("signal %d\n", taken);
        fflush(stdout);
        if (taken == SIGTERM)
            return 0;
    }
    return 0;
}

static int tty(void)
{
    struct winsize size = {0};
    struct termios mode;
    printf("tty %d %d %d\n", isatty(0), isatty(1), isatty(2));
    if (!ioctl(0, TIOCGWINSZ, &size))
        printf("size %u %u\n", size.ws_col, size.ws_row);
    if (!tcgetattr(0, &mode))
        printf("mode icanon=%d echo=%d isig=%d\n", !!(mode.c_lflag & ICANON), !!(mode.c_lflag & ECHO),
               !!(mode.c_lflag & ISIG));
    int controlling = open("/dev/tty", O_RDWR | O_CLOEXEC);
    printf("controlling %d\nforeground %d\n", controlling >= 0, tcgetpgrp(0) == getpgrp());
    return 0;
}

/* on-resize: prints the size now and after each SIGWINCH, until TERM or 5 changes. */
static int on_resize(void)
{
    sigset_t mask, old;
    struct sigaction action = {.sa_handler = remember};
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    sigprocmask(SIG_BLOCK, &mask, &old);
    sigaction(SIGWINCH, &action, NULL);
    for (int i = 0; i < 6; i++) {
        struct winsize size = {0};
        ioctl(0, TIOCGWINSZ, &size);
        printf("size %u %u\n", size.ws_col, size.ws_row);
        fflush(stdout);
        sigsuspend(&old);
    }
    return 0;
}

/* orphan: a grandchild ends after its parent did; PID 1 of the namespace must reap it. Prints its pid. */
static int orphan(void)
{
    int ends[2];
    if (pipe(ends))
        return fail("pipe");
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            close(ends[0]);
            /* Wait until the parent is gone, then end. */
            pid_t parent = getppid();
            while (getppid() == parent)
                usleep(1000);
            _exit(0);
        }
        if (write(ends[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
            _exit(1);
        usleep(2000);
        _exit(0);
    }
    pid_t grandchild = 0;
    if (read(ends[0], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
        return fail("read");
    waitpid(child, NULL, 0);
    printf("%d\n", grandchild);
    return 0;
}

/* udp PORT: prints each datagram and sends it back, until it is ended. */
static int udp(int port)
{
    char block[2048];
    struct sockaddr_in peer, any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
        return fail("bind");
    puts("ready");
    for (;;) {
        fflush(stdout);
        socklen_t size = sizeof(peer);
        ssize_t n = recvfrom(fd, block, sizeof(block), 0, (struct sockaddr *)&peer, &size);
        if (n < 0)
            return fail("recvfrom");
        printf("got %.*s\n", (int)n, block);
        if (sendto(fd, block, (size_t)n, 0, (struct sockaddr *)&peer, size) != n)
            return fail("sendto");
    }
}

static int access_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        printf("errno %d\n", errno);
    else
        puts("ok");
    return 0;
}

static int file_stat(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return fail(path);
    printf("mode %o uid %u gid %u size %lld nlink %lu mtime %lld.%09ld dev %u:%u rdev %u:%u\n", st.st_mode, st.st_uid,
           st.st_gid, (long long)st.st_size, (unsigned long)st.st_nlink, (long long)st.st_mtim.tv_sec,
           st.st_mtim.tv_nsec, (unsigned)(st.st_dev >> 8), (unsigned)(st.st_dev & 255), (unsigned)(st.st_rdev >> 8),
           (unsigned)(st.st_rdev & 255));
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    const char *first = argc > 2 ? argv[2] : "0";
    long number = strtol(first, NULL, 0);

    if (!strcmp(verb, "caps"))
        return status_lines((const char *const[]){"Cap", NULL});
    if (!strcmp(verb, "seccomp"))
        return status_lines((const char *const[]){"Seccomp:", "NoNewPrivs:", NULL});
    if (!strcmp(verb, "status"))
        return cat("/proc/self/status");
    if (!strcmp(verb, "mounts"))
        return cat("/proc/self/mountinfo");
    if (!strcmp(verb, "cgroup"))
        return cat("/proc/self/cgroup");
    if (!strcmp(verb, "cat"))
        return cat(first);
    if (!strcmp(verb, "fds"))
        return fds();
    if (!strcmp(verb, "ns"))
        return namespaces();
    if (!strcmp(verb, "ids"))
        return ids();
    if (!strcmp(verb, "rlimits"))
        return rlimits();
    if (!strcmp(verb, "signals"))
        return signals();
    if (!strcmp(verb, "syscall") && argc > 2)
        return try_syscall(argc, argv);
    if (!strcmp(verb, "session")) {
        printf("pid %d ppid %d pgid %d sid %d\n", getpid(), getppid(), getpgrp(), getsid(0));
        return 0;
    }
    if (!strcmp(verb, "process")) {
        mode_t mask = umask(0);
        int deathsig = 0;
        prctl(PR_GET_PDEATHSIG, &deathsig);
        printf("umask %04o\nnice %d\ndumpable %d\npdeathsig %d\n", mask, getpriority(PRIO_PROCESS, 0),
               prctl(PR_GET_DUMPABLE), deathsig);
        return 0;
    }
    if (!strcmp(verb, "cwd")) {
        char path[4096];
        puts(getcwd(path, sizeof(path)) ? path : "unreachable");
        return 0;
    }
    if (!strcmp(verb, "args")) {
        for (int i = 2; i < argc; i++)
            printf("[%s]\n", argv[i]);
        return 0;
    }
    if (!strcmp(verb, "env")) {
        for (char **entry = environ; *entry; entry++)
            puts(*entry);
        return 0;
    }
    if (!strcmp(verb, "hostname")) {
        char name[256] = "";
        gethostname(name, sizeof(name));
        puts(name);
        return 0;
    }
    if (!strcmp(verb, "forks")) {
        forks((int)number);
        for (;;)
            pause();
    }
    if (!strcmp(verb, "alloc"))
        return alloc((int)number);
    if (!strcmp(verb, "child-alloc")) {
        pid_t pid = fork();
        int status = 0;
        if (pid == 0)
            _exit(alloc((int)number));
        waitpid(pid, &status, 0);
        printf("child %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        return 0;
    }
    if (!strcmp(verb, "burn"))
        return burn((int)number);
    if (!strcmp(verb, "bytes"))
        return bytes(number, argc > 3 ? atoi(argv[3]) : 1);
    if (!strcmp(verb, "lines"))
        return lines(number, argc > 3 ? atoi(argv[3]) : 80);
    if (!strcmp(verb, "exit"))
        return (int)number;
    if (!strcmp(verb, "raise")) {
        /* PID 1 ignores what it has no handler for, so a child does it and the parent passes its status on. */
        signal((int)number, SIG_DFL);
        raise((int)number);
        return 99;
    }
    if (!strcmp(verb, "pause")) {
        puts("ready");
        fflush(stdout);
        for (;;)
            pause();
    }
    if (!strcmp(verb, "on-signal"))
        return on_signal();
    if (!strcmp(verb, "tty"))
        return tty();
    if (!strcmp(verb, "on-resize"))
        return on_resize();
    if (!strcmp(verb, "orphan"))
        return orphan();
    if (!strcmp(verb, "udp"))
        return udp((int)number);
    if (!strcmp(verb, "read"))
        return access_path(first, O_RDONLY);
    if (!strcmp(verb, "write"))
        return access_path(first, O_WRONLY);
    if (!strcmp(verb, "create"))
        return access_path(first, O_WRONLY | O_CREAT);
    if (!strcmp(verb, "stat"))
        return file_stat(first);
    fprintf(stderr, "probe: unknown verb '%s'\n", verb);
    return 2;
}
