/*
 * seccomp-probe: which system calls the filter above it lets through. For each line "ABI NUMBER ARGUMENT..." on standard
 * input it prints a line: "let", or "errno N". No call is really made, whatever it is: a thread makes it below a filter of
 * its own that passes every call on to the first thread (SECCOMP_RET_USER_NOTIF), which answers with a number and never
 * lets one happen. Of two filters the stricter answer counts, and an errno is stricter (seccomp(2)): what arrives at the
 * first thread was let through by the container's filter, the rest has that filter's errno.
 *
 * seccomp-probe agent PATH ERRNO TIMES: the agent of filters with SCMP_ACT_NOTIFY. It listens at PATH; so many times it takes a
 * connection, prints what it is told of the container, and answers the first call of the listener that came along.
 *
 * seccomp-probe getppid|personality ROUNDS: the nanoseconds of one such call, the median of many times ROUNDS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MARK 0x5ecc

struct call {
    char abi[16];
    uint64_t number, args[6];
    long answer;
};

static struct call *calls;
static size_t count;
static volatile int listener = -1;
static volatile int done;

static long make_call(const struct call *call)
{
    long result;
#if defined(__x86_64__)
    if (!strcmp(call->abi, "x86")) {
        uint64_t in = call->number;
        register uint64_t fifth __asm__("rdi") = call->args[4];
        /* ebp, the sixth argument, is the compiler's: it stays what it is. */
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(in), "b"(call->args[0]), "c"(call->args[1]), "d"(call->args[2]), "S"(call->args[3]), "r"(fifth)
                         : "memory", "r8", "r9", "r10", "r11");
        return (int32_t)result;
    }
    register uint64_t r10 __asm__("r10") = call->args[3];
    register uint64_t r8 __asm__("r8") = call->args[4];
    register uint64_t r9 __asm__("r9") = call->args[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(call->number), "D"(call->args[0]), "S"(call->args[1]), "d"(call->args[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#else
    register uint64_t x8 __asm__("x8") = call->number;
    register uint64_t x0 __asm__("x0") = call->args[0];
    register uint64_t x1 __asm__("x1") = call->args[1];
    register uint64_t x2 __asm__("x2") = call->args[2];
    register uint64_t x3 __asm__("x3") = call->args[3];
    register uint64_t x4 __asm__("x4") = call->args[4];
    register uint64_t x5 __asm__("x5") = call->args[5];
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    result = (long)x0;
#endif
    return result;
}

/* Below its filter this thread can make no call of its own: it only writes to memory, and never ends. */
static void *caller(void *unused)
{
    (void)unused;
    struct sock_filter pass_on = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_USER_NOTIF};
    struct sock_fprog program = {.len = 1, .filter = &pass_on};
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd < 0) {
        printf("seccomp: errno %d\n", errno);
        exit(1);
    }
    listener = (int)fd;
    for (size_t i = 0; i < count; i++)
        calls[i].answer = make_call(&calls[i]);
    done = 1;
    /* Wakes the first thread up, which is waiting for a call. */
    struct call last = {.abi = "", .number = SYS_getppid};
    for (;;)
        make_call(&last);
}

static int answers(void)
{
    char line[512];
    size_t room = 0;
    while (fgets(line, sizeof(line), stdin)) {
        if (count == room) {
            room = room ? 2 * room : 1024;
            calls = realloc(calls, room * sizeof(*calls));
            if (!calls)
                return 1;
        }
        struct call *call = &calls[count++];
        memset(call, 0, sizeof(*call));
        char *rest = NULL, *word = strtok_r(line, " \n", &rest);
        snprintf(call->abi, sizeof(call->abi), "%s", word ? word : "");
        word = strtok_r(NULL, " \n", &rest);
        call->number = word ? strtoull(word, NULL, 0) : 0;
        for (int i = 0; i < 6 && (word = strtok_r(NULL, " \n", &rest)); i++)
            call->args[i] = strtoull(word, NULL, 0);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 1;
    pthread_t thread;
    if (pthread_create(&thread, NULL, caller, NULL))
        return 1;
    while (listener < 0)
        usleep(100);
    for (;;) {
        struct seccomp_notif request;
        memset(&request, 0, sizeof(request));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request)) {
            if (errno == EINTR)
                continue;
            printf("receive: errno %d\n", errno);
            return 1;
        }
        if (done)
            break;
        struct seccomp_notif_resp response = {.id = request.id, .val = MARK};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response))
            return 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (calls[i].answer == MARK)
            puts("let");
        else
            printf("errno %ld\n", -calls[i].answer);
    }
    fflush(stdout);
    _exit(0); /* ends the other thread, which waits for an answer */
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Cheap calls: a filter always allows the first, and looks at the argument of the second. */
static int time_call(const char *name, long rounds)
{
    enum { SAMPLES = 2001 };
    static double samples[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        if (!strcmp(name, "getppid"))
            for (long j = 0; j < rounds; j++)
                syscall(SYS_getppid);
        else
            for (long j = 0; j < rounds; j++)
                syscall(SYS_personality, 0xffffffffUL);
        clock_gettime(CLOCK_MONOTONIC, &to);
        samples[i] = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)rounds;
    }
    qsort(samples, SAMPLES, sizeof(*samples), by_value);
    printf("%.2f\n", samples[SAMPLES / 2]);
    return 0;
}

static int agent(const char *path, int error, int times)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, 4))
        return 1;
    puts("ready");
    for (int i = 0; i < times; i++) {
        fflush(stdout);
        char text[65536], control[CMSG_SPACE(sizeof(int))];
        struct iovec part = {text, sizeof(text) - 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        int connection = accept(server, NULL, NULL);
        ssize_t size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (size < 0 || !header || header->cmsg_type != SCM_RIGHTS)
            return 1;
        text[size] = 0;
        puts(text);
        fflush(stdout);
        int fd;
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        struct seccomp_notif request;
        memset(&request, 0, sizeof(request));
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request))
            return 1;
        struct seccomp_notif_resp response = {.id = request.id, .error = -error};
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response))
            return 1;
        printf("call %d\n", request.data.nr);
        close(connection);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 4)
        return agent(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (argc > 2)
        return time_call(argv[1], atol(argv[2]));
    return answers();
}
