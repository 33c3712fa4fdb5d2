/* SPDX-License-Identifier: MIT
 *
 * For every other cloud: a file that appears, or a command that is asked. */
#include "common/clock.h"
#include "common/err.h"
#include "worker/spot_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_TIMEOUT_MS 5000

extern char **environ;

int spot_file_poll(struct spot *spot, struct spot_news *out_news, struct err *err)
{
    struct stat status;
    if (stat(spot->options.file, &status) == 0) {
        out_news->notice = SPOT_NOW;
        snprintf(out_news->detail, sizeof out_news->detail, "the file is there");
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return err_set_errno(err, "spot-file", "cannot look for it");
}

/* In a group of its own, so that what it starts ends with it; with nothing to read, and its output
 * among our log. */
static int start(const char *command, pid_t *out_pid, struct err *err)
{
    char shell[] = "sh", option[] = "-c";
    char *const arguments[] = {shell, option, (char *)command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t piped;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigemptyset(&piped);
    sigaddset(&piped, SIGPIPE); /* which we ignore, and a shell must not */
    posix_spawnattr_setsigdefault(&attributes, &piped);
    errno = posix_spawn(out_pid, "/bin/sh", &files, &attributes, arguments, environ);
    int rc = errno ? err_set_errno(err, "spot-command", "/bin/sh does not start") : 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* False where it had to be killed: too slow, or nobody wants the answer any more. */
static bool wait_for(struct spot *spot, pid_t pid)
{
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd fds[] = {{.fd = pid_fd, .events = POLLIN},
                           {.fd = spot->stop_fd, .events = POLLIN}};
    if (pid_fd < 0)
        return false;
    bool ended = poll(fds, 2, COMMAND_TIMEOUT_MS) > 0 && fds[0].revents;
    close(pid_fd);
    return ended;
}

int spot_command_poll(struct spot *spot, struct spot_news *out_news, struct err *err)
{
    pid_t pid;
    int status = 0;
    int rc = start(spot->options.command, &pid, err);
    if (rc < 0)
        return rc;
    bool ended = wait_for(spot, pid);
    if (!ended)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!ended && atomic_load(&spot->stopping))
        return ERR_CANCELLED;
    if (!ended)
        return err_set(err, ERR_TIMEOUT, "spot-command", "no end within %d ms", COMMAND_TIMEOUT_MS);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        out_news->notice = SPOT_NOW;
        snprintf(out_news->detail, sizeof out_news->detail, "the command says so");
        return 0;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
        return 0;
    return err_set(err, ERR_INVALID, "spot-command", "%s %d; wanted status 0 (notice) or 1 (none)",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}
