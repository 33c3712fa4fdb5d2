/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/purge.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/queue_outbox.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/offload.h"
#include "dispatcher/upkeep/purge_hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MS 1000
#define BATCH 16
/* One call, and all of a batch; what is left then comes back. Longer than both together: */
#define CALL_MS 10000
#define BATCH_MS 30000
#define LEASE_MS 60000
#define FIRST_RETRY_MS 15000
#define LAST_RETRY_MS 3600000
#define GIVE_UP_MS (7LL * 24 * 3600 * 1000)

#define NAME_SIZE (JOB_KEY_SIZE + 24)

struct item {
    char name[NAME_SIZE]; /* as Redis has it */
    const char *key;      /* in `name` */
    int64_t age_ms;
    bool tried, done;
};

struct purge {
    struct dispatcher *dispatcher;
    struct purge_hook *hook; /* owned; NULL: none */
    struct item items[BATCH];
    size_t count;
    bool asking, working;
    unsigned shard;
    int64_t due_ms;
    struct err err; /* of the thread: the last failure */
};

int purge_create(struct dispatcher *dispatcher, struct purge **out, struct err *err)
{
    const struct settings *settings = dispatcher->settings;
    struct purge *purge = calloc(1, sizeof *purge);
    if (!purge)
        return err_set(err, ERR_NOMEM, NULL, "no memory for purges");
    purge->dispatcher = dispatcher;
    int rc =
        purge_hook_open(&(struct purge_hook_options){.command = settings->purge_command,
                                                     .url = settings->purge_url,
                                                     .method = settings->purge_method,
                                                     .header_file = settings->purge_header_file},
                        &purge->hook, err);
    if (rc < 0)
        purge_destroy(&purge);
    *out = purge;
    return rc;
}

void purge_destroy(struct purge **purge)
{
    if (*purge)
        purge_hook_close(&(*purge)->hook);
    free(*purge);
    *purge = NULL;
}

bool purge_is_on(const struct purge *purge)
{
    return purge->hook != NULL;
}

int64_t purge_retry_ms(int64_t age_ms)
{
    if (age_ms >= GIVE_UP_MS)
        return 0;
    int64_t wait_ms = age_ms / 2;
    return wait_ms < FIRST_RETRY_MS  ? FIRST_RETRY_MS
           : wait_ms > LAST_RETRY_MS ? LAST_RETRY_MS
                                     : wait_ms;
}

bool purge_path(const char *key, bool local, unsigned index, char out[PURGE_PATH_SIZE])
{
    static const char *const of_job[] = {"/j/", "/v1/jobs/"};
    char public_id[ID_PUBLIC_SIZE];
    if (!store_key_is_valid(key))
        return false;
    if (index == 0)
        snprintf(out, PURGE_PATH_SIZE, local ? "/o/%s" : "/%s", key);
    else if (index < 3 && strstr(key, "/result.") && job_key_public_id(key, public_id))
        snprintf(out, PURGE_PATH_SIZE, "%s%s", of_job[index - 1], public_id);
    else
        return false;
    return true;
}

/* On a thread. */
static bool call_hook(struct purge *purge, const char *key)
{
    bool local = store_is_local(purge->dispatcher->store);
    char path[PURGE_PATH_SIZE];
    for (unsigned i = 0; purge_path(key, local, i, path); i++)
        if (purge_hook_call(purge->hook, path, CALL_MS, &purge->err) < 0)
            return false;
    return true;
}

/* On a thread. After a failure the rest waits: it would most likely meet the same. */
static void work(void *task)
{
    struct purge *purge = task;
    int64_t end_ms = clock_ms() + BATCH_MS;
    bool failed = false;
    purge->err = (struct err){0};
    for (size_t i = 0; i < purge->count; i++) {
        struct item *item = &purge->items[i];
        item->tried = !failed && clock_ms() < end_ms;
        item->done = item->tried && call_hook(purge, item->key);
        failed |= item->tried && !item->done;
    }
}

/* One that was only not tried comes soon. */
static int64_t next_try(const struct item *item)
{
    if (item->done)
        return 0;
    int64_t retry_ms = item->tried ? purge_retry_ms(item->age_ms) : FIRST_RETRY_MS;
    if (retry_ms == 0)
        log_event(LOG_ERROR, "purge.given-up", "object", LOG_S, item->key, NULL);
    return retry_ms;
}

static void on_worked(void *task)
{
    struct purge *purge = task;
    struct dispatcher *dispatcher = purge->dispatcher;
    const char *names[BATCH];
    int64_t retry_ms[BATCH];
    size_t done = 0;
    for (size_t i = 0; i < purge->count; i++) {
        names[i] = purge->items[i].name;
        retry_ms[i] = next_try(&purge->items[i]);
        done += purge->items[i].done;
    }
    purge->working = false;
    if (done < purge->count)
        log_event(LOG_WARN, "purge.failed", "objects", LOG_I, (int64_t)(purge->count - done),
                  "detail", LOG_S, purge->err.text, NULL);
    else if (done == BATCH)
        purge->due_ms = clock_ms(); /* there is more, most likely */
    /* Whether this one arrives does not matter: they are lent out again, and purged again. */
    queue_purge_settle_command(dispatcher_queue(dispatcher, purge->shard), names, retry_ms,
                               purge->count, &dispatcher->command);
    dispatcher_send(dispatcher, NULL, NULL);
    purge->shard = (purge->shard + 1) % dispatcher->shards;
}

static void on_taken(int rc, const struct redis_reply *reply, void *data)
{
    struct purge *purge = data;
    struct queue_purge taken;
    purge->asking = false;
    purge->count = 0;
    while (rc == 0 && purge->count < BATCH && queue_purge_at(reply, purge->count, &taken)) {
        struct item *item = &purge->items[purge->count++];
        *item = (struct item){.age_ms = taken.age_ms};
        snprintf(item->name, sizeof item->name, "%s", taken.name);
        const char *space = strchr(item->name, ' ');
        item->key = space ? space + 1 : "";
    }
    if (purge->count > 0)
        purge->working = offload_submit(purge->dispatcher->offload, work, on_worked, purge) == 0;
    if (!purge->working) /* what was lent comes back by itself */
        purge->shard = (purge->shard + 1) % purge->dispatcher->shards;
}

int64_t purge_tick(struct purge *purge, int64_t now_ms)
{
    struct dispatcher *dispatcher = purge->dispatcher;
    if (!purge->hook || purge->asking || purge->working)
        return INT64_MAX;
    if (now_ms >= purge->due_ms) {
        purge->due_ms = now_ms + PERIOD_MS / dispatcher->shards;
        queue_purge_take_command(dispatcher_queue(dispatcher, purge->shard), BATCH, LEASE_MS,
                                 &dispatcher->command);
        purge->asking = dispatcher_send(dispatcher, on_taken, purge) == 0;
    }
    return purge->asking ? INT64_MAX : purge->due_ms;
}
