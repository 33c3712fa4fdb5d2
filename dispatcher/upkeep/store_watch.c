/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/store_watch.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/offload.h"

#include <stdlib.h>

#define LOOK_MS 30000

struct store_watch {
    struct dispatcher *dispatcher; /* borrowed */
    bool looking, down;
    int64_t due_ms;
    struct backoff backoff; /* while it is down */
    int rc;                 /* of the thread */
    struct err err;
};

int store_watch_create(struct dispatcher *dispatcher, struct store_watch **out)
{
    struct store_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return ERR_NOMEM;
    watch->dispatcher = dispatcher;
    watch->backoff = (struct backoff){.base_ms = 1000, .max_ms = LOOK_MS};
    *out = watch;
    return 0;
}

void store_watch_destroy(struct store_watch **watch)
{
    free(*watch);
    *watch = NULL;
}

/* On a thread. */
static void look(void *task)
{
    struct store_watch *watch = task;
    watch->err = (struct err){0};
    watch->rc = store_ping(watch->dispatcher->store, &watch->err);
}

static void on_looked(void *task)
{
    struct store_watch *watch = task;
    bool down = watch->rc < 0;
    watch->looking = false;
    if (down && !watch->down)
        log_event(LOG_WARN, "store.down", "code", LOG_S, err_name(watch->rc), "detail", LOG_S,
                  watch->err.text, NULL);
    else if (!down && watch->down)
        log_event(LOG_INFO, "store.up", NULL);
    if (!down)
        backoff_reset(&watch->backoff);
    watch->down = down;
    watch->due_ms = clock_ms() + (down ? backoff_next_ms(&watch->backoff) : LOOK_MS);
}

int64_t store_watch_tick(struct store_watch *watch, int64_t now_ms)
{
    if (watch->looking || watch->dispatcher->leaving)
        return INT64_MAX;
    if (now_ms >= watch->due_ms) {
        watch->looking = offload_submit(watch->dispatcher->offload, look, on_looked, watch) == 0;
        watch->due_ms = now_ms + LOOK_MS;
    }
    return watch->looking ? INT64_MAX : watch->due_ms;
}
