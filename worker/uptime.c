/* SPDX-License-Identifier: MIT */
#include "worker/uptime.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Field 22 of /proc/self/stat, counted behind the name, which may hold anything but a last ')'. */
static int64_t start_ticks(void)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return -1;
    char *rest = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    for (int field = 2; rest && field < 22; field++)
        rest = strchr(rest + 1, ' ');
    return rest ? (int64_t)strtoll(rest, NULL, 10) : -1;
}

int64_t uptime_ms(void)
{
    struct timespec now;
    int64_t ticks = start_ticks();
    if (ticks < 0 || clock_gettime(CLOCK_BOOTTIME, &now) < 0)
        return -1;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - ticks * 1000 / sysconf(_SC_CLK_TCK);
}
