/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/sweep.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/disowned.h"
#include "dispatcher/offload.h"

#include <stdlib.h>
#include <string.h>

/* An upload under way and a job about to be submitted are younger than this. */
#define MIN_AGE_MS (3600 * 1000)
#define PAGE 128
#define AGAIN_MS 100 /* a pause between pages: nobody waits for this */
/* So many orphans that are also most of a page look like the wrong Redis, or one that lost its
 * data: then nothing of the page is deleted. Inputs go when their jobs end, though, so that those
 * of a quiet Darkroom are all orphans: what the results, which come first, said of this Redis
 * counts too. */
#define MAX_ORPHANS 8

static const char *const prefixes[] = {"results/", "inputs/"};
#define PREFIXES (sizeof prefixes / sizeof prefixes[0])

/* One object that may be an orphan. */
struct suspect {
    struct sweep *sweep;
    const char *key; /* borrowed from the page */
    char public_id[ID_PUBLIC_SIZE];
    bool orphan;
};

struct sweep {
    struct dispatcher *dispatcher;
    int64_t period_ms, due_ms;
    size_t prefix; /* which one is paged through; PREFIXES: none, waiting */
    bool listing;
    size_t asking; /* suspects whose answers are under way */
    size_t asked;  /* of this page */
    char cursor[STORE_CURSOR_SIZE];
    struct store_entry entries[PAGE];
    struct suspect suspects[PAGE];
    size_t count;
    int64_t found, kept, owned; /* of this pass: orphans deleted, orphans left, objects of jobs */
    int rc;                     /* of the thread */
};

int sweep_create(struct dispatcher *dispatcher, int64_t period_ms, struct sweep **out)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return ERR_NOMEM;
    sweep->dispatcher = dispatcher;
    sweep->period_ms = period_ms;
    sweep->due_ms = clock_ms() + period_ms;
    sweep->prefix = PREFIXES;
    *out = sweep;
    return 0;
}

void sweep_destroy(struct sweep **sweep)
{
    free(*sweep);
    *sweep = NULL;
}

static void wait_a_period(struct sweep *sweep)
{
    sweep->prefix = PREFIXES;
    sweep->due_ms = clock_ms() + sweep->period_ms;
}

static void next_page(struct sweep *sweep)
{
    sweep->due_ms = clock_ms() + AGAIN_MS;
    if (sweep->cursor[0] || ++sweep->prefix < PREFIXES)
        return;
    if (sweep->found > 0)
        log_event(LOG_INFO, "sweep.done", "orphans", LOG_I, sweep->found, NULL);
    if (sweep->kept > 0)
        log_event(LOG_ERROR, "sweep.refused", "orphans", LOG_I, sweep->kept, "of", LOG_I,
                  sweep->owned + sweep->found + sweep->kept, "detail", LOG_S,
                  "most objects belong to no job: is this the right Redis?", NULL);
    wait_a_period(sweep);
}

/* All answers of a page are there. */
static void judge_page(struct sweep *sweep)
{
    size_t orphans = 0;
    for (size_t i = 0; i < sweep->count; i++)
        orphans += sweep->suspects[i].orphan;
    int64_t all = sweep->found + sweep->kept + (int64_t)orphans;
    bool doubtful = orphans > MAX_ORPHANS && orphans > sweep->asked / 2 && all >= sweep->owned;
    for (size_t i = 0; i < sweep->count && !doubtful; i++)
        if (sweep->suspects[i].orphan)
            disowned_add_object(sweep->dispatcher->disowned, sweep->suspects[i].key);
    *(doubtful ? &sweep->kept : &sweep->found) += (int64_t)orphans;
    sweep->owned += (int64_t)(sweep->asked - orphans);
    next_page(sweep);
}

static void on_job(int rc, const struct redis_reply *reply, void *data)
{
    struct suspect *suspect = data;
    struct queue_job job;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    suspect->orphan = rc == ERR_NOT_FOUND;
    if (--suspect->sweep->asking == 0)
        judge_page(suspect->sweep);
}

static void ask_for_jobs(struct sweep *sweep)
{
    struct dispatcher *dispatcher = sweep->dispatcher;
    int64_t newest_ms = clock_wall_ms() - MIN_AGE_MS;
    sweep->asked = 0;
    for (size_t i = 0; i < sweep->count; i++) {
        struct suspect *suspect = &sweep->suspects[i];
        *suspect = (struct suspect){.sweep = sweep, .key = sweep->entries[i].key};
        if (sweep->entries[i].modified_ms > newest_ms ||
            !job_key_public_id(suspect->key, suspect->public_id) ||
            id_public_shard(suspect->public_id) >= dispatcher->shards)
            continue;
        queue_get_command(dispatcher_queue_of_id(dispatcher, suspect->public_id),
                          suspect->public_id, &dispatcher->command);
        if (dispatcher_send(dispatcher, on_job, suspect) == 0)
            sweep->asked = ++sweep->asking;
    }
    if (sweep->asking == 0)
        judge_page(sweep);
}

/* On a thread. */
static void list_page(void *task)
{
    struct sweep *sweep = task;
    sweep->count = 0;
    sweep->rc = store_list(sweep->dispatcher->store, prefixes[sweep->prefix], sweep->cursor,
                           sweep->entries, PAGE, &sweep->count, NULL);
}

static void on_listed(void *task)
{
    struct sweep *sweep = task;
    sweep->listing = false;
    if (sweep->rc == 0) {
        ask_for_jobs(sweep);
        return;
    }
    log_event(LOG_WARN, "sweep.stopped", "code", LOG_S, err_name(sweep->rc), NULL);
    wait_a_period(sweep);
}

int64_t sweep_tick(struct sweep *sweep, int64_t now_ms)
{
    if (sweep->listing || sweep->asking > 0)
        return INT64_MAX;
    if (now_ms < sweep->due_ms)
        return sweep->due_ms;
    sweep->due_ms = now_ms + AGAIN_MS;
    if (!dispatcher_redis_usable(sweep->dispatcher))
        return sweep->due_ms;
    if (sweep->prefix == PREFIXES) {
        sweep->prefix = 0;
        sweep->cursor[0] = 0;
        sweep->found = sweep->kept = sweep->owned = 0;
    }
    sweep->listing = offload_submit(sweep->dispatcher->offload, list_page, on_listed, sweep) == 0;
    return sweep->listing ? INT64_MAX : sweep->due_ms;
}
