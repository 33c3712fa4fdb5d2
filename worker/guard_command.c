/* SPDX-License-Identifier: MIT
 *
 * A program of the operator's, without a shell, in a group of its own. */
#include "worker/guard_source.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

extern char **environ;

int guard_command_open(const struct guard *guard, struct err *err)
{
    const char *program = guard->options.command;
    if (program[0] != '/' || access(program, X_OK) < 0)
        return err_set(err, ERR_INVALID, "guard-command",
                       "must be the absolute path of a program that we may run");
    return 0;
}

/* A group of its own, so that what it starts ends with it. */
int guard_command_start(const struct guard *guard, enum guard_word word, pid_t *out_pid)
{
    const char *program = guard->options.command;
    char *arguments[] = {(char *)program, (char *)guard_word_name(word), (char *)guard->worker,
                         NULL};
    sigset_t none, piped;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigemptyset(&none);
    sigemptyset(&piped);
    sigaddset(&piped, SIGPIPE); /* which we ignore */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &piped);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(out_pid, program, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return error;
}
