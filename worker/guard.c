/* SPDX-License-Identifier: MIT */
#include "worker/guard.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/guard_source.h"
#include "worker/measures.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define LIMIT_MS 10000
#define LAST_LIMIT_MS 2000
/* After a failure, and twice as long after each more. */
#define AGAIN_MS 5000
#define AGAIN_MOST_MS 60000
/* While something is being told. */
#define LOOK_MS 50

static const struct {
    const char *name;
    int (*tell)(struct guard *guard, enum guard_word word, struct err *err);
} sources[] = {
    [GUARD_OFF] = {"off", NULL},
    [GUARD_COMMAND] = {"command", NULL},
    [GUARD_KUBERNETES] = {"kubernetes", guard_kubernetes_tell},
    [GUARD_AWS] = {"aws", guard_aws_tell},
};

int guard_kind_parse(const char *text, enum guard_kind *out_kind, struct err *err)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (!strcmp(text, sources[i].name)) {
            *out_kind = (enum guard_kind)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, "guard", "wanted kubernetes, aws, command or off");
}

const char *guard_word_name(enum guard_word word)
{
    return word == GUARD_BUSY ? "busy" : "idle";
}

bool guard_ended(const struct guard *guard)
{
    return atomic_load(&guard->stopping) || clock_ms() >= guard->end_ms;
}

int guard_on_progress(void *guard, int64_t sent_bytes, int64_t received_bytes)
{
    return guard_ended(guard);
}

int guard_open(struct guard *guard, struct err *err)
{
    guard->lock_fd = -1;
    switch (guard->options.kind) {
    case GUARD_COMMAND: return guard_command_open(guard, err);
    case GUARD_KUBERNETES: return guard_kubernetes_open(guard, err);
    case GUARD_AWS: return guard_aws_open(guard, err);
    case GUARD_OFF: break;
    }
    return 0;
}

/* ---- what became of it ---------------------------------------------------------------------- */

static void succeed(struct guard *guard)
{
    if (guard->failing)
        log_event(LOG_INFO, "guard.back", "word", LOG_S, guard_word_name(guard->telling), NULL);
    guard->failing = false;
    guard->retry_ms = 0;
    guard->told = guard->telling;
    measures_guard(guard->metrics, guard_word_name(guard->telling), "told");
}

/* Once for each row of failures. */
static void fail(struct guard *guard, int64_t now_ms, const char *how, int number,
                 const char *error)
{
    if (!guard->failing)
        log_event(LOG_WARN, "guard.failed", "word", LOG_S, guard_word_name(guard->telling), how,
                  LOG_I, (int64_t)number, "error", LOG_S, error, NULL);
    guard->failing = true;
    guard->told = GUARD_NOTHING; /* a half of it may have arrived */
    guard->retry_ms = guard->retry_ms ? 2 * guard->retry_ms : AGAIN_MS;
    if (guard->retry_ms > AGAIN_MOST_MS)
        guard->retry_ms = AGAIN_MOST_MS;
    guard->again_ms = now_ms + guard->retry_ms;
    measures_guard(guard->metrics, guard_word_name(guard->telling), "failed");
}

/* ---- a program ------------------------------------------------------------------------------ */

static void look_at_child(struct guard *guard, int64_t now_ms)
{
    int status = 0;
    pid_t ended = waitpid(guard->child, &status, WNOHANG);
    if (ended == 0 && now_ms >= guard->end_ms) {
        kill(-guard->child, SIGKILL);
        guard->end_ms = INT64_MAX;
    }
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return;
    guard->child = 0;
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        succeed(guard);
    else if (ended > 0 && WIFEXITED(status))
        fail(guard, now_ms, "status", WEXITSTATUS(status), NULL);
    else
        fail(guard, now_ms, "signal", ended > 0 ? WTERMSIG(status) : 0, NULL);
}

/* ---- a service ------------------------------------------------------------------------------ */

static void *ask(void *argument)
{
    struct guard *guard = argument;
    guard->rc = sources[guard->options.kind].tell(guard, guard->telling, &guard->why);
    atomic_store(&guard->done, true);
    return NULL;
}

static void look_at_thread(struct guard *guard, int64_t now_ms)
{
    if (!atomic_load(&guard->done))
        return;
    pthread_join(guard->thread, NULL);
    guard->asking = false;
    if (guard->rc == 0)
        succeed(guard);
    else
        fail(guard, now_ms, "code", guard->rc,
             guard->why.code ? guard->why.text : err_name(guard->rc));
}

/* ---- its life ------------------------------------------------------------------------------- */

static void begin(struct guard *guard, enum guard_word word, int64_t now_ms)
{
    int error;
    if (word != guard->telling)
        guard->retry_ms = 0;
    guard->telling = word;
    guard->end_ms = now_ms + LIMIT_MS;
    if (guard->options.kind == GUARD_COMMAND) {
        error = guard_command_start(guard, word, &guard->child);
        if (error)
            guard->child = 0;
    } else {
        atomic_store(&guard->done, false);
        guard->why = (struct err){0};
        error = pthread_create(&guard->thread, NULL, ask, guard);
        guard->asking = !error;
        if (!error)
            pthread_setname_np(guard->thread, "dk-guard");
    }
    if (error)
        fail(guard, now_ms, "errno", error, NULL);
}

int64_t guard_tick(struct guard *guard, bool busy, int64_t now_ms)
{
    if (guard->options.kind == GUARD_OFF)
        return INT64_MAX;
    if (!busy && (guard->was_busy || guard->idle_since_ms == 0))
        guard->idle_since_ms = now_ms;
    guard->was_busy = busy;
    if (guard->child)
        look_at_child(guard, now_ms);
    if (guard->asking)
        look_at_thread(guard, now_ms);
    if (guard->child || guard->asking)
        return now_ms + LOOK_MS;
    enum guard_word word = busy ? GUARD_BUSY : GUARD_IDLE;
    if (guard->told == word)
        return INT64_MAX;
    int64_t due_ms = busy ? now_ms : guard->idle_since_ms + guard->options.idle_ms;
    if (guard->telling == word && due_ms < guard->again_ms)
        due_ms = guard->again_ms;
    if (now_ms < due_ms)
        return due_ms;
    begin(guard, word, now_ms);
    return guard->child || guard->asking ? now_ms + LOOK_MS : guard->again_ms;
}

/* It may be known that we are busy, and nobody else would ever say otherwise. */
static void take_back(struct guard *guard)
{
    struct err err = {0};
    if (guard->options.kind != GUARD_AWS || guard->telling != GUARD_BUSY)
        return;
    guard->end_ms = clock_ms() + LAST_LIMIT_MS;
    atomic_store(&guard->stopping, false);
    int rc = guard_aws_tell(guard, GUARD_IDLE, &err);
    if (rc < 0)
        log_event(LOG_WARN, "guard.failed", "word", LOG_S, "idle", "code", LOG_I, (int64_t)rc,
                  "error", LOG_S, err.text, NULL);
}

void guard_close(struct guard *guard, bool idle)
{
    if (guard->child) {
        kill(-guard->child, SIGKILL);
        while (waitpid(guard->child, NULL, 0) < 0 && errno == EINTR)
            ;
        guard->child = 0;
    }
    atomic_store(&guard->stopping, true);
    if (guard->asking)
        pthread_join(guard->thread, NULL);
    guard->asking = false;
    if (idle)
        take_back(guard);
    guard_aws_close(guard);
}
