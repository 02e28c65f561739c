/*
 * Starting a process: what internal/sys/spawn.ts writes down, and what the files of this half share of it.
 * spawn.c makes the process, join.c has it join, exec.c confines it and executes, user-namespace.c makes the namespaces of
 * users, and joiner.c is a program of its own that joins and executes.
 */
#ifndef CTR_SPAWN_H
#define CTR_SPAWN_H

#include "ctr.h"

/* Pointers cross as 64-bit numbers, so that one layout serves every architecture. internal/sys/spawn.ts writes it. */
struct ctr_process {
  int64_t uid, gid;
  uint64_t groups; /* uint32_t[group_count] */
  int64_t group_count;
  uint64_t bounding, effective, permitted, inheritable, ambient; /* capability masks */
  int64_t no_new_privs;
  uint64_t seccomp; /* struct sock_filter[seccomp_count], 0 for none */
  int64_t seccomp_count, seccomp_flags;
  uint64_t cwd;        /* char *, 0 to stay */
  uint64_t candidates; /* char *[], NULL at the end: tried in turn as PATH is */
  uint64_t argv, envp;
  int64_t umask;    /* -1 to keep */
  int64_t first_fd; /* descriptors from here on are close-on-exec */
  int64_t exec_fd;  /* >= 0: run this instead of the candidates */
  int64_t controlling_terminal; /* make descriptor 0 the session's terminal */
  uint64_t apparmor, selinux; /* char *: what execve is to change the security label to, 0 for nothing */
  uint64_t rlimits; /* struct limit[rlimit_count] */
  int64_t rlimit_count;
  uint64_t scheduler;               /* struct sched_attr, 0 to stay as it is */
  int64_t io_priority;              /* of ioprio_set(2), -1 to stay */
  uint64_t initial_cpus, cpus;      /* masks of CPU_MASK_BYTES: before anything else, and for the program; 0 to stay */
  int64_t personality;              /* -1 to keep */
  int64_t agent;                    /* the socket that the filter's listener is sent to, -1 for none */
  uint64_t agent_message;           /* with it: char[agent_message_size] */
  int64_t agent_message_size;
};

#define CPU_MASK_BYTES 128

struct limit {
  int64_t resource;
  uint64_t soft, hard; /* struct rlimit64 */
};

struct ctr_spawn {
  uint64_t clone_flags; /* CLONE_NEW… */
  int64_t cgroup_fd;    /* cgroup v2 directory to be born in, or -1 */
  int64_t exec_fd;      /* executable, or -1 with process */
  uint64_t argv, envp;
  uint64_t fds; /* int32_t[fd_count]: become 0, 1, 2, … */
  int64_t fd_count;
  uint64_t joins; /* int32_t[2 * join_count]: namespace descriptor, CLONE_NEW… */
  int64_t join_count;
  int64_t pid_namespace_fd; /* or -1 */
  int64_t new_session;
  uint64_t process; /* struct ctr_process *, or 0 */
  /* results */
  int64_t pidfd, failed_step, failed_errno;
  /* later additions */
  uint64_t task_fds; /* int32_t[task_fd_count]: `tasks` files of cgroup v1 directories to be in */
  int64_t task_fd_count;
  uint64_t first; /* struct ctr_spawn *, or 0: a child of the child, started before the child's own execve */
  int64_t is_watched; /* for joiner.c: the program is born confined, see ctr_start_program */
  uint64_t report;    /* for joiner.c: struct failure * of the program, which shares no other memory */
  uint64_t program_pid; /* for joiner.c: int32_t * */
  /* later additions */
  int64_t user_namespace_fd; /* or -1: the process is root of this one, and what it is born in belongs to it */
  int64_t joined_pid;        /* for the C side only: 0 before that, -1 in the process that has joined */
};

/* In fds: the pidfd of the process that `first` has started. */
#define FIRST_PIDFD (-2)

/* The steps a failure is told by; internal/sys/spawn.ts has their names in this order. */
enum step { STEP_NONE, STEP_CLONE, STEP_JOIN, STEP_SESSION, STEP_STDIO, STEP_CHDIR, STEP_GROUPS, STEP_USER, STEP_CAPABILITIES, STEP_NO_NEW_PRIVS, STEP_SECCOMP, STEP_EXEC, STEP_TERMINAL, STEP_CGROUP, STEP_APPARMOR, STEP_SELINUX, STEP_RLIMITS, STEP_SCHEDULER, STEP_PERSONALITY, STEP_AGENT, STEP_USER_NAMESPACE };

struct failure {
  int64_t step, error;
};

static inline void *pointer(uint64_t value) { return (void *)(uintptr_t)value; }

static inline int fail(struct failure *out, enum step step)
{
  out->step = step;
  out->error = errno;
  return -1;
}

/* join.c and exec.c, for spawn.c and joiner.c: 0, or -1 with the failure. Between clone and execve, so system calls only. */
#pragma GCC visibility push(hidden)
int ctr_enter_cgroups(const struct ctr_spawn *spawn, struct failure *failure);
int ctr_join_namespaces(const struct ctr_spawn *spawn, struct failure *failure);
int ctr_join_new_keyring(const struct ctr_spawn *spawn, struct failure *failure);
void ctr_reset_signals(void);
void ctr_permit_limits(const struct ctr_process *process);
int ctr_set_labels(const struct ctr_process *process, struct failure *failure);
void ctr_exec_process(const struct ctr_process *process, struct failure *failure);
long ctr_clone_program(const struct ctr_spawn *spawn);
int ctr_start_program(struct ctr_spawn *spawn, struct failure *failure);
#pragma GCC visibility pop

long ctr_set_exec_label(int is_selinux, const char *label);
long ctr_exec(const struct ctr_process *process, int64_t *failed_step);
long ctr_spawn(struct ctr_spawn *spawn);
long ctr_user_namespace(const char *uid_map, const char *gid_map);

#endif
