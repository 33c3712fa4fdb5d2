/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/mail_watch.h"

#include "common/clock.h"
#include "common/err.h"
#include "dispatcher/dispatcher.h"

#include <stdlib.h>

#define PERIOD_MS 2000

struct mail_watch {
    struct dispatcher *dispatcher; /* borrowed */
    struct mail_state state;
    int64_t held_until_ms; /* since 1970 */
    int64_t due_ms;
    bool asking, known;
};

int mail_watch_create(struct dispatcher *dispatcher, struct mail_watch **out)
{
    struct mail_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return ERR_NOMEM;
    watch->dispatcher = dispatcher;
    *out = watch;
    return 0;
}

void mail_watch_destroy(struct mail_watch **watch)
{
    free(*watch);
    *watch = NULL;
}

static void on_state(int rc, const struct redis_reply *reply, void *data)
{
    struct mail_watch *watch = data;
    watch->asking = false;
    if (rc < 0 || mail_ledger_state_reply(reply, &watch->state, NULL) < 0)
        return;
    watch->known = true;
    watch->held_until_ms = watch->state.held_ms > 0 ? clock_wall_ms() + watch->state.held_ms : 0;
}

int64_t mail_watch_tick(struct mail_watch *watch, int64_t now_ms)
{
    if (watch->asking || now_ms < watch->due_ms)
        return watch->asking ? INT64_MAX : watch->due_ms;
    watch->due_ms = now_ms + PERIOD_MS;
    mail_ledger_state_command(&watch->dispatcher->command);
    watch->asking = dispatcher_send(watch->dispatcher, on_state, watch) == 0;
    return watch->due_ms;
}

bool mail_watch_state(const struct mail_watch *watch, struct mail_state *out)
{
    *out = watch->state;
    return watch->known;
}

int64_t mail_watch_held_until(const struct mail_watch *watch)
{
    return watch->held_until_ms > clock_wall_ms() ? watch->held_until_ms : 0;
}

const struct queue_job *mail_watch_shown(const struct mail_watch *watch,
                                         const struct queue_job *job, struct queue_job *scratch)
{
    int64_t held_until_ms = mail_watch_held_until(watch);
    if (!held_until_ms)
        return job;
    *scratch = *job;
    scratch->mails_held_until_ms = held_until_ms;
    return scratch;
}
