/* What machine this is, as Linux tells it: /proc and, in a container, the limits of its control
 * groups (version 1 and 2), which are often lower than what /proc shows. */
#include "base/clock.h"
#include "base/pool.h"
#include <higgins/machine.h>
#include "kernels/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- small files of the system ---- */

/* The value behind "key" and its separator in a file of such lines, cut to `size`. */
static bool find_value(const char *path, const char *key, char separator, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    char line[512];
    size_t n = strlen(key);
    bool found = false;
    if (f == NULL) return false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        const char *p = line + n;
        if (strncmp(line, key, n) != 0) continue;
        while (*p == ' ' || *p == '\t') p++;
        if (separator != ' ' && *p != separator) continue;
        if (separator != ' ') p++;
        while (*p == ' ' || *p == '\t') p++;
        (void)snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
        found = true;
    }
    (void)fclose(f);
    return found;
}

static uint64_t number_of(const char *s)
{
    return *s >= '0' && *s <= '9' ? strtoull(s, NULL, 10) : UINT64_MAX;
}

/* The number a file consists of; UINT64_MAX for "max" and for none. */
static uint64_t read_number(const char *path)
{
    char line[64] = "";
    FILE *f = fopen(path, "r");
    if (f == NULL) return UINT64_MAX;
    if (fgets(line, sizeof line, f) == NULL) line[0] = '\0';
    (void)fclose(f);
    return number_of(line);
}

static uint64_t meminfo(const char *key)
{
    char value[64];
    if (!find_value("/proc/meminfo", key, ':', value, sizeof value)) return 0;
    uint64_t kib = number_of(value);
    return kib == UINT64_MAX ? 0 : kib * 1024;
}

/* ---- control groups ---- */

/* Where one version of control groups keeps its figures. */
typedef struct group_files {
    const char *root, *limit, *usage;
} group_files;

static const group_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                     "memory.usage_in_bytes"};
static const group_files version2 = {"/sys/fs/cgroup", "memory.max", "memory.current"};

/* Lowers the machine's memory to the limit of one group. Cached file pages count as used there, but
 * those that were not read lately are given back when memory is needed. */
static void apply_group(hg_machine_info *m, const group_files *g, const char *group)
{
    char path[1024], value[64];
    (void)snprintf(path, sizeof path, "%s%s/%s", g->root, group, g->limit);
    uint64_t limit = read_number(path);
    (void)snprintf(path, sizeof path, "%s%s/%s", g->root, group, g->usage);
    uint64_t used = read_number(path), cached = 0;
    if (limit == UINT64_MAX || used == UINT64_MAX || limit >= m->memory) return;
    (void)snprintf(path, sizeof path, "%s%s/memory.stat", g->root, group);
    if (find_value(path, "inactive_file", ' ', value, sizeof value)) cached = number_of(value);
    used = cached < used ? used - cached : 0;
    uint64_t left = used < limit ? limit - used : 0;
    m->memory = limit;
    if (left < m->memory_free) m->memory_free = left;
}

/* A group's limit holds for all groups below it: from `group` up to the root. */
static void apply_groups(hg_machine_info *m, const group_files *g, char *group)
{
    for (;;) {
        apply_group(m, g, strcmp(group, "/") == 0 ? "" : group);
        char *slash = strrchr(group, '/');
        if (slash == NULL || group[1] == '\0') return;
        slash[slash == group ? 1 : 0] = '\0';
    }
}

/* Lines are "4:memory:/path" (version 1) and "0::/path" (version 2). */
static void apply_limits(hg_machine_info *m)
{
    char line[768];
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':');
        char *path = names == NULL ? NULL : strchr(names + 1, ':');
        if (path == NULL || path[1] != '/') continue;
        size_t n = (size_t)(path - names);
        if (n == 1) apply_groups(m, &version2, path + 1);
        if (n == strlen(":memory") && strncmp(names, ":memory", n) == 0)
            apply_groups(m, &version1, path + 1);
    }
    (void)fclose(f);
}

/* A shell's `ulimit -v` counts addresses, used or not. */
static void apply_ulimit(hg_machine_info *m)
{
    struct rlimit limit;
    char value[64];
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    if (!find_value("/proc/self/status", "VmSize", ':', value, sizeof value)) return;
    const uint64_t used = number_of(value) * 1024, most = limit.rlim_cur;
    const uint64_t left = used < most ? most - used : 0;
    if (left < m->memory_free) m->memory_free = left;
}

static void look_at_memory(hg_machine_info *out)
{
    out->memory = meminfo("MemTotal");
    out->memory_free = meminfo("MemAvailable");
    apply_limits(out);
    apply_ulimit(out);
}

uint64_t hg_memory_free(void)
{
    hg_machine_info m = {0};
    look_at_memory(&m);
    return m.memory == 0 ? UINT64_MAX : m.memory_free;
}

void hg_machine_describe(hg_machine_info *out)
{
    hg_joules j;
    *out = (hg_machine_info){.n_cores = hg_cores(), .isa = hg_isa_detect()};
    if (!find_value("/proc/cpuinfo", "model name", ':', out->cpu, sizeof out->cpu) &&
        !find_value("/proc/cpuinfo", "Model", ':', out->cpu, sizeof out->cpu))
        (void)snprintf(out->cpu, sizeof out->cpu, "unknown");
    look_at_memory(out);
    hg_joules_start(&j);
    (void)snprintf(out->joules_source, sizeof out->joules_source, "%s", hg_joules_source(&j));
}
