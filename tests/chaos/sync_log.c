/* SPDX-License-Identifier: MIT
 *
 * Preloaded into a program: notes what it made durable, so that a test can imitate a power cut by
 * taking away the rest (tests/chaos/power.py).
 *
 *     LD_PRELOAD=libsync_log.so DARKROOM_SYNC_LOG=/path/of/log program...
 *
 * Appends a line to the log for each of these, tab-separated, in the order in which they happened:
 *
 *     begin N file PATH BYTES      fsync or fdatasync of a file was called; so much was in it then
 *     begin N folder PATH          the same of a folder
 *     end N                        and it succeeded
 *     mkdir PATH                   a folder came into being
 *     move PATH FROM               a file got its name
 *
 * What was written or named after a sync had begun is not covered by it: hence begin and end. Any
 * thread; a line is one write() to a file opened for appending, so processes may share a log. */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int log_fd = -1;
static atomic_uint calls;

__attribute__((constructor)) static void open_log(void)
{
    const char *path = getenv("DARKROOM_SYNC_LOG");
    if (path)
        log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[3 * PATH_MAX];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (log_fd >= 0 && size > 0 && (size_t)size < sizeof line &&
        write(log_fd, line, (size_t)size) < 0)
        abort(); /* a test without its log would prove nothing */
}

static void path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
}

/* A name relative to an open folder, or to nothing. */
static void path_at(int fd, const char *name, char path[2 * PATH_MAX])
{
    char folder[PATH_MAX] = "";
    if (name[0] != '/' && fd != AT_FDCWD)
        path_of(fd, folder);
    snprintf(path, 2 * PATH_MAX, "%s%s%s", folder, folder[0] ? "/" : "", name);
}

static int sync_and_note(int fd, const char *function)
{
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, function);
    char path[PATH_MAX];
    struct stat info;
    /* The process tells apart what several of them write into one log. */
    unsigned long long call = (unsigned long long)getpid() << 32 | atomic_fetch_add(&calls, 1);
    path_of(fd, path);
    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
        note("begin\t%llu\tfolder\t%s\n", call, path);
    else
        note("begin\t%llu\tfile\t%s\t%lld\n", call, path, (long long)info.st_size);
    int rc = real(fd);
    if (rc == 0)
        note("end\t%llu\n", call);
    return rc;
}

int fsync(int fd)
{
    return sync_and_note(fd, "fsync");
}

int fdatasync(int fd)
{
    return sync_and_note(fd, "fdatasync");
}

int mkdirat(int fd, const char *name, mode_t mode)
{
    int (*real)(int, const char *, mode_t);
    *(void **)&real = dlsym(RTLD_NEXT, "mkdirat");
    char path[2 * PATH_MAX];
    int rc = real(fd, name, mode);
    path_at(fd, name, path);
    if (rc == 0)
        note("mkdir\t%s\n", path);
    return rc;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    int (*real)(int, const char *, int, const char *);
    *(void **)&real = dlsym(RTLD_NEXT, "renameat");
    char from_path[2 * PATH_MAX], to_path[2 * PATH_MAX];
    path_at(from_fd, from, from_path);
    path_at(to_fd, to, to_path);
    int rc = real(from_fd, from, to_fd, to);
    if (rc == 0)
        note("move\t%s\t%s\n", to_path, from_path);
    return rc;
}
