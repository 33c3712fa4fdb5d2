/* SPDX-License-Identifier: MIT */
#include "worker/guard.h"

#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 10000
#define AGAIN_MS 5000
/* While the program runs. */
#define LOOK_MS 50

extern char **environ;

int guard_check(const char *program, struct err *err)
{
    if (program && (program[0] != '/' || access(program, X_OK) < 0))
        return err_set(err, ERR_INVALID, "guard-command",
                       "must be the absolute path of a program that we may run");
    return 0;
}

static const char *word_name(enum guard_word word)
{
    return word == GUARD_BUSY ? "busy" : "idle";
}

/* A group of its own, so that what it starts ends with it. */
static int run(const struct guard *guard, enum guard_word word, pid_t *out_pid)
{
    char *arguments[] = {(char *)guard->program, (char *)word_name(word), (char *)guard->worker,
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
    int error = posix_spawn(out_pid, guard->program, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return error;
}

static void fail(struct guard *guard, enum guard_word word, const char *how, int number,
                 int64_t now_ms)
{
    guard->again_ms = now_ms + AGAIN_MS;
    log_event(LOG_WARN, "guard.failed", "word", LOG_S, word_name(word), how, LOG_I, (int64_t)number,
              NULL);
}

static void begin(struct guard *guard, enum guard_word word, int64_t now_ms)
{
    int error = run(guard, word, &guard->child);
    if (error) {
        guard->child = 0;
        fail(guard, word, "errno", error, now_ms);
        return;
    }
    guard->telling = word;
    guard->kill_at_ms = now_ms + LIMIT_MS;
}

static void look(struct guard *guard, int64_t now_ms)
{
    int status = 0;
    pid_t ended = waitpid(guard->child, &status, WNOHANG);
    if (ended == 0 && now_ms >= guard->kill_at_ms) {
        kill(-guard->child, SIGKILL);
        guard->kill_at_ms = INT64_MAX;
    }
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return;
    guard->child = 0;
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        guard->told = guard->telling;
    else if (ended > 0 && WIFEXITED(status))
        fail(guard, guard->telling, "status", WEXITSTATUS(status), now_ms);
    else
        fail(guard, guard->telling, "signal", ended > 0 ? WTERMSIG(status) : 0, now_ms);
}

int64_t guard_tick(struct guard *guard, bool busy, int64_t now_ms)
{
    if (!guard->program)
        return INT64_MAX;
    if (!busy && (guard->was_busy || guard->idle_since_ms == 0))
        guard->idle_since_ms = now_ms;
    guard->was_busy = busy;
    if (guard->child)
        look(guard, now_ms);
    if (guard->child)
        return now_ms + LOOK_MS;
    int64_t due_ms = busy ? now_ms : guard->idle_since_ms + guard->idle_ms;
    if (guard->told == (busy ? GUARD_BUSY : GUARD_IDLE))
        return INT64_MAX;
    if (due_ms < guard->again_ms)
        due_ms = guard->again_ms;
    if (now_ms < due_ms)
        return due_ms;
    begin(guard, busy ? GUARD_BUSY : GUARD_IDLE, now_ms);
    return guard->child ? now_ms + LOOK_MS : guard->again_ms;
}

void guard_stop(struct guard *guard)
{
    if (!guard->child)
        return;
    kill(-guard->child, SIGKILL);
    while (waitpid(guard->child, NULL, 0) < 0 && errno == EINTR)
        ;
    guard->child = 0;
}
