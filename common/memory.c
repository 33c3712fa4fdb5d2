/* SPDX-License-Identifier: MIT */
#include "common/memory.h"

#include "common/err.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __GLIBC__
#include <malloc.h>
#endif

#define LARGE_BYTES (1024 * 1024)

/* The number behind `name` in a file of lines "name: 123 kB"; -1 where there is none. */
static int64_t read_kilobytes(const char *path, const char *name)
{
    char line[256];
    int64_t value = -1;
    size_t length = strlen(name);
    FILE *file = fopen(path, "re");
    while (file && value < 0 && fgets(line, sizeof line, file))
        if (!strncmp(line, name, length) && line[length] == ':')
            value = strtoll(line + length + 1, NULL, 10);
    if (file)
        fclose(file);
    return value;
}

/* A file that holds one number; -1 where it says "max" or is not there. */
static int64_t read_number(const char *folder, const char *name)
{
    char path[512], line[64] = "";
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return -1;
    FILE *file = fopen(path, "re");
    bool read = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    return read && line[0] >= '0' && line[0] <= '9' ? strtoll(line, NULL, 10) : -1;
}

static void lower(uint64_t *value, uint64_t limit)
{
    *value = limit < *value ? limit : *value;
}

/* What control groups allow. In a container its own group is the root of what it sees; elsewhere
 * /proc/self/cgroup names it (version 2: one line "0::/path"), and each group above counts, too. */
static void apply_groups(uint64_t *total, uint64_t *unused)
{
    char line[400] = "", folder[480];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "0::", 3))
        line[0] = 0;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    char *path = strncmp(line, "0::", 3) ? line : line + 3;
    for (;;) {
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", path);
        int64_t limit = read_number(folder, "memory.max");
        int64_t used = read_number(folder, "memory.current");
        if (limit >= 0) {
            lower(total, (uint64_t)limit);
            lower(unused, used < limit ? (uint64_t)(limit - (used > 0 ? used : 0)) : 0);
        }
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = 0;
    }
    int64_t old_limit = read_number("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
    if (old_limit >= 0)
        lower(total, (uint64_t)old_limit);
}

int memory_of_machine(uint64_t *out_total, uint64_t *out_free, struct err *err)
{
    int64_t total = read_kilobytes("/proc/meminfo", "MemTotal");
    int64_t unused = read_kilobytes("/proc/meminfo", "MemAvailable");
    if (total < 0 || unused < 0)
        return err_set(err, ERR_IO, "memory", "/proc/meminfo does not tell how much there is");
    uint64_t all = (uint64_t)total << 10, left = (uint64_t)unused << 10;
    apply_groups(&all, &left);
    *out_total = all;
    *out_free = left < all ? left : all;
    return 0;
}

uint64_t memory_resident(void)
{
    int64_t kilobytes = read_kilobytes("/proc/self/status", "RssAnon");
    return kilobytes > 0 ? (uint64_t)kilobytes << 10 : 0;
}

void memory_keep_tidy(void)
{
#if defined __GLIBC__
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
#endif
}

void memory_give_back(void)
{
#if defined __GLIBC__
    malloc_trim(0);
#endif
}
