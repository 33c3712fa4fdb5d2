/* SPDX-License-Identifier: MIT */
#include "common/metrics.h"

#include "common/reload.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", "..", and the one that looks */
}

/* Wall clock now, less how long ago the kernel says that it began. 0: not known. */
static double start_seconds(void)
{
    char text[1024];
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = 0;
    /* The second field is the program's name, which may hold anything, in brackets. */
    const char *rest = strrchr(text, ')');
    struct timespec wall = {0}, up = {0};
    if (!rest || sscanf(rest + 1,
                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                        "%*d %*d %llu",
                        &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &up);
    double age =
        (double)up.tv_sec + (double)up.tv_nsec / 1e9 - (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)wall.tv_sec + (double)wall.tv_nsec / 1e9 - age;
}

int metrics_write_process(struct buf *out)
{
    static const struct metric cpu = {.name = "process_cpu_seconds_total",
                                      .help = "CPU time of all threads.",
                                      .type = METRIC_COUNTER};
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    int rc = metrics_write_head(out, &cpu);
    if (rc == 0)
        rc = metrics_write_value(out, &cpu, NULL, cpu_seconds());
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_resident_memory_bytes", "Resident memory.",
                                 resident_bytes());
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_open_fds", "Open files and sockets.", open_files());
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_max_fds", "As many may be open.",
                                 (double)files.rlim_cur);
    if (rc == 0)
        rc = metrics_write_gauge(out, "process_start_time_seconds",
                                 "Start of the process, since 1970.", start_seconds());
    return rc == 0 ? reload_write_metrics(out) : rc;
}
