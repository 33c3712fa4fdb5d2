/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/disowned.h"

#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/offload.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_ITEMS 16384
#define RETRY_MS 5000
#define AT_ONCE 16

enum stage { WAITING, BUSY };

struct item {
    struct item *next;
    struct dispatcher *dispatcher;
    bool is_job;
    enum stage stage;
    bool done;
    int64_t due_ms;
    int rc;                  /* of the thread */
    char name[JOB_KEY_SIZE]; /* key or public id */
};

struct disowned {
    struct dispatcher *dispatcher;
    struct item *items; /* owned list */
    int count, busy;
};

int disowned_create(struct dispatcher *dispatcher, struct disowned **out)
{
    struct disowned *disowned = calloc(1, sizeof *disowned);
    if (!disowned)
        return ERR_NOMEM;
    disowned->dispatcher = dispatcher;
    *out = disowned;
    return 0;
}

void disowned_destroy(struct disowned **slot)
{
    struct disowned *disowned = *slot;
    *slot = NULL;
    while (disowned && disowned->items) {
        struct item *item = disowned->items;
        disowned->items = item->next;
        free(item);
    }
    free(disowned);
}

static void add(struct disowned *disowned, const char *name, bool is_job)
{
    struct item *item = disowned->count < MAX_ITEMS ? calloc(1, sizeof *item) : NULL;
    if (!item) {
        log_event(LOG_WARN, "disowned.dropped", "name", LOG_S, name, NULL);
        return;
    }
    item->dispatcher = disowned->dispatcher;
    item->is_job = is_job;
    snprintf(item->name, sizeof item->name, "%s", name);
    item->next = disowned->items;
    disowned->items = item;
    disowned->count++;
}

void disowned_add_object(struct disowned *disowned, const char *key)
{
    add(disowned, key, false);
}

void disowned_add_job(struct disowned *disowned, const char *public_id)
{
    add(disowned, public_id, true);
}

static void settle(struct item *item, int rc)
{
    item->dispatcher->disowned->busy--;
    item->stage = WAITING;
    item->done = rc == 0;
}

static void delete_object(void *task)
{
    struct item *item = task;
    item->rc = store_delete(item->dispatcher->store, item->name, NULL);
}

static void on_deleted(void *task)
{
    struct item *item = task;
    settle(item, item->rc);
}

static void on_erased(int rc, const struct redis_reply *reply, void *data)
{
    struct item *item = data;
    bool found = false;
    if (rc == 0)
        rc = queue_erase_reply(reply, &found, NULL);
    if (rc == 0)
        log_event(LOG_INFO, "job.disowned", "job", LOG_S, item->name, "found", LOG_I,
                  (int64_t)found, NULL);
    settle(item, rc);
}

static void start(struct disowned *disowned, struct item *item, int64_t now_ms)
{
    struct dispatcher *dispatcher = disowned->dispatcher;
    int rc;
    item->stage = BUSY;
    item->due_ms = now_ms + RETRY_MS;
    disowned->busy++;
    if (item->is_job) {
        queue_erase_command(dispatcher_queue_of_id(dispatcher, item->name), item->name,
                            &dispatcher->command);
        rc = dispatcher_send(dispatcher, on_erased, item);
        if (rc < 0)
            item->due_ms = now_ms + 100; /* Redis will be back */
    } else {
        rc = offload_submit(dispatcher->offload, delete_object, on_deleted, item);
    }
    if (rc < 0)
        settle(item, rc);
}

int64_t disowned_tick(struct disowned *disowned, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    struct item **place = &disowned->items;
    while (*place) {
        struct item *item = *place;
        if (item->stage == WAITING && !item->done && item->due_ms <= now_ms &&
            disowned->busy < AT_ONCE)
            start(disowned, item, now_ms);
        if (item->stage == WAITING && item->done) {
            *place = item->next;
            free(item);
            disowned->count--;
            continue;
        }
        if (item->stage == WAITING && item->due_ms < next_ms)
            next_ms = item->due_ms;
        place = &item->next;
    }
    /* With AT_ONCE under way the next completion calls us, not the clock. */
    return disowned->busy >= AT_ONCE && next_ms <= now_ms ? INT64_MAX : next_ms;
}

bool disowned_is_empty(const struct disowned *disowned)
{
    return disowned->items == NULL;
}
