/*
 * libseccomp-filter: makes seccomp filters with libseccomp, as runc's InitSeccomp does. Standard input has one filter:
 *
 *   default ACTION           a SCMP_ACT_ value, hexadecimal
 *   arch TOKEN               a SCMP_ARCH_ value, hexadecimal
 *   rule ACTION NAME COUNT   then COUNT lines: INDEX OPERATOR VALUE VALUE
 *
 * The program (struct sock_filter[]) goes to standard output.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    char line[512], name[128];
    scmp_filter_ctx context = NULL;
    uint32_t number, otherwise = 0;
    unsigned count;
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "default %" SCNx32, &number) == 1) {
            otherwise = number;
            context = seccomp_init(number);
            if (!context)
                return 2;
        } else if (sscanf(line, "arch %" SCNx32, &number) == 1) {
            int result = seccomp_arch_add(context, number);
            if (result && result != -17 /* EEXIST: the machine's own */)
                return 3;
        } else if (sscanf(line, "rule %" SCNx32 " %127s %u", &number, name, &count) == 3 && count <= 6) {
            struct scmp_arg_cmp conditions[6];
            for (unsigned i = 0; i < count; i++) {
                unsigned index, operator;
                uint64_t first, second;
                if (!fgets(line, sizeof(line), stdin) ||
                    sscanf(line, "%u %u %" SCNu64 " %" SCNu64, &index, &operator, &first, &second) != 4)
                    return 4;
                conditions[i] = (struct scmp_arg_cmp){index, (enum scmp_compare)operator, first, second};
            }
            int call = seccomp_syscall_resolve_name(name);
            if (call == __NR_SCMP_ERROR || number == otherwise)
                continue;
            if (seccomp_rule_add_array(context, number, call, count, conditions))
                return 5;
        } else {
            return 6;
        }
    }
    return seccomp_export_bpf(context, STDOUT_FILENO) ? 7 : 0;
}
