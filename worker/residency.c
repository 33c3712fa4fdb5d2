/* SPDX-License-Identifier: MIT */
#include "worker/residency_parts.h"

#include "common/err.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/settings.h"
#include "worker/task.h"
#include "worker/weights_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A share of what there is: the rest is for pictures, and for whoever else lives here. */
#define HOST_SHARE 0.5
#define DEVICE_SHARE 0.85

static int find_budget(struct residency *residency, struct err *err)
{
    uint64_t total = 0, unused = 0;
    residency->budget = (uint64_t)residency->settings->memory;
    if (residency->budget > 0)
        return 0;
    int rc = model_device_memory(residency->settings->device, &total, &unused, err);
    bool device = residency->settings->device == MODEL_CUDA;
    /* Of a GPU others may have taken a part for good; of the host's memory files are a part. */
    if (rc == 0)
        residency->budget = device ? (uint64_t)((double)unused * DEVICE_SHARE)
                                   : (uint64_t)((double)total * HOST_SHARE);
    return rc;
}

static size_t cost(const struct residency *residency, struct model_bytes bytes)
{
    return residency->settings->device == MODEL_CUDA ? bytes.device : bytes.host;
}

size_t residency_count(const struct residency *residency)
{
    return residency->count;
}

int residency_batch_max(const struct residency *residency)
{
    return residency->batch_max;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static bool is_served(const struct resident *resident)
{
    return resident->fit && !resident->retired;
}

static bool lets_in(const struct resident *resident)
{
    return resident->state == RESIDENT_READY && !resident->leaving;
}

struct resident *residency_find(struct residency *residency, const char *name)
{
    struct resident *found = NULL;
    pthread_mutex_lock(&residency->lock);
    for (size_t i = 0; i < residency->count && !found; i++)
        if (is_served(&residency->items[i]) && !strcmp(residency->items[i].manifest->name, name))
            found = &residency->items[i];
    pthread_mutex_unlock(&residency->lock);
    return found;
}

#define RANKS 3

static int rank_of(const struct resident *resident)
{
    return lets_in(resident) ? 0 : resident->promised ? 1 : RANKS - 1;
}

struct residency_view residency_look(struct residency *residency, const char **out_names,
                                     size_t max)
{
    struct residency_view view = {0};
    pthread_mutex_lock(&residency->lock);
    bool loading = residency->loading || residency->parked > 0;
    for (size_t i = 0; i < residency->count; i++) {
        loading |= residency->items[i].wanted > 0;
        view.busy |= residency->items[i].state == RESIDENT_UNKNOWN;
    }
    view.busy |= loading;
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t i = 0; i < residency->count; i++) {
            const struct resident *resident = &residency->items[i];
            if (!is_served(resident) || rank_of(resident) != rank || view.served == max)
                continue;
            view.loaded += rank == 0;
            view.claimable += rank < RANKS - 1 || !loading;
            out_names[view.served++] = resident->manifest->name;
        }
    view.parked = residency->parked;
    view.changes = residency->changes;
    pthread_mutex_unlock(&residency->lock);
    return view;
}

/* Lock held. */
static void want(struct residency *residency, struct resident *resident)
{
    if (resident->wanted > 0)
        return;
    resident->wanted = ++residency->clock;
    pthread_cond_broadcast(&residency->changed);
}

/* Lock held. */
static void stay_for(struct residency *residency, struct resident *resident, struct task *task)
{
    task->admitted = true;
    resident->in_hand++;
    resident->used = ++residency->clock;
}

void residency_expect(struct residency *residency, struct task *task)
{
    struct resident *resident = task->resident;
    pthread_mutex_lock(&residency->lock);
    if (lets_in(resident))
        stay_for(residency, resident, task);
    else if (resident->state == RESIDENT_AWAY)
        want(residency, resident);
    pthread_mutex_unlock(&residency->lock);
}

/* ---- the stages ----------------------------------------------------------------------------- */

/* Lock held. */
static void park(struct residency *residency, struct resident *resident, struct task *task)
{
    task->next = NULL;
    *resident->parked_end = task;
    resident->parked_end = &task->next;
    residency->parked++;
    want(residency, resident);
}

enum residency_door residency_enter(struct residency *residency, struct task *task)
{
    enum residency_door door = RESIDENCY_PARKED;
    struct resident *resident = task->resident;
    pthread_mutex_lock(&residency->lock);
    if (!task->admitted && lets_in(resident))
        stay_for(residency, resident, task);
    if (task->admitted)
        door = RESIDENCY_OPEN;
    else if (resident->state == RESIDENT_BAD)
        door = RESIDENCY_SHUT;
    else
        park(residency, resident, task);
    pthread_mutex_unlock(&residency->lock);
    return door;
}

void residency_leave(struct residency *residency, struct task *task)
{
    struct resident *resident = task->resident;
    if (!task->admitted)
        return;
    task->admitted = false;
    pthread_mutex_lock(&residency->lock);
    assert(resident->in_hand > 0);
    resident->used = ++residency->clock;
    if (--resident->in_hand == 0)
        pthread_cond_broadcast(&residency->changed);
    pthread_mutex_unlock(&residency->lock);
}

void residency_weigh(struct residency *residency, struct resident *resident,
                     struct model_bytes bytes)
{
    pthread_mutex_lock(&residency->lock);
    resident->bytes = cost(residency, bytes);
    pthread_mutex_unlock(&residency->lock);
}

void residency_close(struct residency *residency)
{
    pthread_mutex_lock(&residency->lock);
    residency->closed = true;
    pthread_cond_broadcast(&residency->changed);
    pthread_mutex_unlock(&residency->lock);
}

/* ---- weights that are fetched ---------------------------------------------------------------- */

struct resident *residency_absent(struct residency *residency, const struct resident *after)
{
    struct resident *found = NULL;
    pthread_mutex_lock(&residency->lock);
    for (size_t i = after ? (size_t)(after - residency->items) + 1 : 0;
         i < residency->count && !found; i++)
        if (residency->items[i].state == RESIDENT_ABSENT)
            found = &residency->items[i];
    pthread_mutex_unlock(&residency->lock);
    return found;
}

void residency_supply(struct residency *residency, struct resident *resident, char *path)
{
    pthread_mutex_lock(&residency->lock);
    resident->fetched = path;
    resident->state = path && !resident->retired ? RESIDENT_UNKNOWN : RESIDENT_BAD;
    residency->changes++;
    pthread_cond_broadcast(&residency->changed);
    pthread_mutex_unlock(&residency->lock);
}

/* ---- the loader: what to do ----------------------------------------------------------------- */

/* Lock held. Who has waited longest; before there is any model, whichever comes first. */
static struct resident *choose(const struct residency *residency, enum residency_work *out_work)
{
    struct resident *wanted = NULL, *unknown = NULL;
    bool any = false;
    for (size_t i = 0; i < residency->count; i++) {
        struct resident *resident = &residency->items[i];
        any |= is_served(resident);
        if (resident->state == RESIDENT_UNKNOWN && !unknown)
            unknown = resident;
        if (resident->state == RESIDENT_AWAY && resident->wanted > 0 &&
            (resident->parked || !residency->closed) &&
            (!wanted || resident->wanted < wanted->wanted))
            wanted = resident;
    }
    *out_work = wanted || !any ? RESIDENCY_LOAD : RESIDENCY_CHECK;
    if (wanted || residency->closed)
        return wanted;
    return unknown;
}

static void close_resident(struct residency *residency, struct resident *victim);

/* Lock held, and given up in between. What a reload has replaced goes with its last task. */
static void close_retired(struct residency *residency)
{
    for (size_t i = 0; i < residency->count; i++) {
        struct resident *resident = &residency->items[i];
        if (resident->retired && resident->state == RESIDENT_READY && resident->in_hand == 0)
            close_resident(residency, resident);
    }
}

int residency_next(struct residency *residency, struct resident **out_resident,
                   enum residency_work *out_work)
{
    struct resident *resident;
    pthread_mutex_lock(&residency->lock);
    for (;;) {
        close_retired(residency);
        resident = choose(residency, out_work);
        if (resident || (residency->closed && residency->parked == 0))
            break;
        pthread_cond_wait(&residency->changed, &residency->lock);
    }
    if (resident && *out_work == RESIDENCY_LOAD) {
        resident->state = RESIDENT_LOADING;
        residency->loading = resident;
        residency->changes++;
    }
    pthread_mutex_unlock(&residency->lock);
    *out_resident = resident;
    return resident ? 0 : ERR_CANCELLED;
}

/* ---- the loader: room ----------------------------------------------------------------------- */

/* Lock held. The least recently used one that is ready; with `idle`, that has no task in hand, else
 * first of all one that is leaving already. */
static struct resident *find_victim(const struct residency *residency, bool idle)
{
    struct resident *victim = NULL;
    for (size_t i = 0; i < residency->count; i++) {
        struct resident *resident = &residency->items[i];
        if (resident->state == RESIDENT_READY && !(idle && resident->in_hand > 0) &&
            (!victim || resident->leaving > victim->leaving ||
             (resident->leaving == victim->leaving && resident->used < victim->used)))
            victim = resident;
    }
    return victim;
}

static uint64_t bytes_in_use(const struct residency *residency)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < residency->count; i++)
        if (residency->items[i].state == RESIDENT_READY)
            bytes += residency->items[i].bytes;
    return bytes;
}

/* Lock held, and given up while the model is closed: nobody else touches it by then. */
static void close_resident(struct residency *residency, struct resident *victim)
{
    struct model *model = victim->model;
    victim->model = NULL;
    victim->state = RESIDENT_AWAY;
    victim->leaving = false;
    residency->changes++;
    if (victim->parked)
        want(residency, victim);
    pthread_mutex_unlock(&residency->lock);
    model_close(&model);
    memory_give_back();
    log_event(LOG_INFO, "worker.evicted", "model", LOG_S, victim->manifest->name, "bytes", LOG_I,
              (int64_t)victim->bytes, NULL);
    pthread_mutex_lock(&residency->lock);
}

/* Lock held. Closes one model, or waits until one is free; false where none is there. */
static bool evict_one(struct residency *residency)
{
    struct resident *idle = find_victim(residency, true);
    if (idle) {
        close_resident(residency, idle);
        return true;
    }
    struct resident *victim = find_victim(residency, false);
    if (!victim)
        return false;
    victim->leaving = true;
    residency->changes++;
    pthread_cond_wait(&residency->changed, &residency->lock);
    return true;
}

int residency_fits(struct residency *residency, const struct resident *resident,
                   struct model_bytes need, struct err *err)
{
    const uint64_t bytes = cost(residency, need);
    int rc = residency->budget > 0 ? 0 : find_budget(residency, err);
    if (rc == 0 && bytes > residency->budget)
        rc = err_set(err, ERR_LIMIT, "memory",
                     "model %s needs %llu MB, and models may take %llu MB: see --memory",
                     resident->manifest->name, (unsigned long long)(bytes >> 20) + 1,
                     (unsigned long long)residency->budget >> 20);
    return rc;
}

int residency_make_room(struct residency *residency, const struct resident *resident,
                        struct model_bytes need, struct err *err)
{
    const uint64_t bytes = cost(residency, need);
    int rc = residency_fits(residency, resident, need, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&residency->lock);
    while (bytes_in_use(residency) + bytes > residency->budget && evict_one(residency)) {
    }
    pthread_mutex_unlock(&residency->lock);
    return 0;
}

bool residency_evict(struct residency *residency)
{
    pthread_mutex_lock(&residency->lock);
    bool done = evict_one(residency);
    pthread_mutex_unlock(&residency->lock);
    return done;
}

/* ---- the loader: how it ended --------------------------------------------------------------- */

/* Lock held. Everybody who waits for this model, behind `*end`. */
static struct task **unpark(struct residency *residency, struct resident *resident,
                            struct task **end)
{
    *end = NULL;
    for (struct task *task = resident->parked; task; task = task->next) {
        residency->parked--;
        *end = task;
        end = &task->next;
    }
    resident->parked = NULL;
    resident->parked_end = &resident->parked;
    resident->wanted = 0;
    return end;
}

/* Lock held. The work is over. Whoever was to make room and need not go any more stays for those
 * that came meanwhile. */
static struct task *finish(struct residency *residency, struct resident *resident)
{
    struct task *first = NULL, **end = &first;
    residency->loading = NULL;
    resident->promised = false;
    residency->changes++;
    if (resident->state == RESIDENT_BAD)
        end = unpark(residency, resident, end);
    for (size_t i = 0; i < residency->count; i++) {
        struct resident *ready = &residency->items[i];
        if (ready->state != RESIDENT_READY)
            continue;
        ready->leaving = false;
        for (struct task *task = ready->parked; task; task = task->next)
            stay_for(residency, ready, task);
        end = unpark(residency, ready, end);
    }
    return first;
}

void residency_promise(struct residency *residency, struct resident *resident)
{
    pthread_mutex_lock(&residency->lock);
    resident->fit = true;
    resident->promised = true;
    residency->changes++;
    pthread_mutex_unlock(&residency->lock);
}

struct task *residency_loaded(struct residency *residency, struct resident *resident,
                              struct model *model)
{
    const struct model_bytes bytes = model_bytes(model);
    pthread_mutex_lock(&residency->lock);
    resident->model = model;
    resident->bytes = cost(residency, bytes);
    resident->used = ++residency->clock;
    resident->state = RESIDENT_READY;
    resident->fit = true;
    struct task *tasks = finish(residency, resident);
    pthread_mutex_unlock(&residency->lock);
    return tasks;
}

static struct task *judge(struct residency *residency, struct resident *resident, bool fit)
{
    pthread_mutex_lock(&residency->lock);
    resident->state = fit ? RESIDENT_AWAY : RESIDENT_BAD;
    resident->fit = fit;
    struct task *tasks = finish(residency, resident);
    pthread_mutex_unlock(&residency->lock);
    return tasks;
}

struct task *residency_checked(struct residency *residency, struct resident *resident)
{
    return judge(residency, resident, true);
}

struct task *residency_left_out(struct residency *residency, struct resident *resident)
{
    return judge(residency, resident, false);
}

bool residency_has_any(struct residency *residency)
{
    bool any = false;
    pthread_mutex_lock(&residency->lock);
    for (size_t i = 0; i < residency->count; i++)
        any |= residency->items[i].state != RESIDENT_BAD && !residency->items[i].retired;
    pthread_mutex_unlock(&residency->lock);
    return any;
}
