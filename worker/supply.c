/* SPDX-License-Identifier: MIT */
#include "worker/supply.h"

#include "common/err.h"
#include "worker/pipeline.h"
#include "worker/weights_cache.h"

#include <errno.h>
#include <stdlib.h>

struct supply {
    struct pipeline *pipeline; /* borrowed */
    struct weights_cache cache;
    atomic_bool stop, done;
    pthread_t thread;
};

typedef int source(const struct weights_cache *cache, const struct manifest *manifest,
                   char **out_path, struct err *err);

static void take(struct supply *supply, struct resident *resident, source *from)
{
    struct residency *residency = supply->pipeline->residency;
    struct err err = {0};
    char *path = NULL;
    int rc = from(&supply->cache, resident->manifest, &path, &err);
    if (rc == ERR_CANCELLED || (rc == ERR_NOT_FOUND && from == weights_cache_find))
        return;
    residency_supply(residency, resident, path);
    if (rc < 0)
        pipeline_leave_out(supply->pipeline, resident, rc, &err);
}

static void *run(void *argument)
{
    struct supply *supply = argument;
    struct residency *residency = supply->pipeline->residency;
    source *const sources[] = {weights_cache_find, weights_cache_get};
    for (int i = 0; i < 2; i++)
        for (struct resident *next = residency_absent(residency, NULL);
             next && !atomic_load(&supply->stop); next = residency_absent(residency, next))
            take(supply, next, sources[i]);
    atomic_store(&supply->done, true);
    return NULL;
}

int supply_start(struct pipeline *pipeline, struct supply **out_supply, struct err *err)
{
    const struct settings *settings = pipeline->settings;
    *out_supply = NULL;
    if (!residency_absent(pipeline->residency, NULL))
        return 0;
    struct supply *supply = calloc(1, sizeof *supply);
    if (!supply)
        return err_set(err, ERR_NOMEM, NULL, "no memory to fetch weights with");
    supply->pipeline = pipeline;
    supply->cache = (struct weights_cache){.folder = settings->cache.folder,
                                           .patience_ms = settings->cache.patience_s * 1000,
                                           .stop = &supply->stop};
    if ((errno = pthread_create(&supply->thread, NULL, run, supply))) {
        free(supply);
        return err_set_errno(err, NULL, "a thread for weights");
    }
    pthread_setname_np(supply->thread, "dk-weights");
    *out_supply = supply;
    return 0;
}

bool supply_is_done(const struct supply *supply)
{
    return !supply || atomic_load(&supply->done);
}

void supply_quiet(struct supply *supply)
{
    if (supply)
        atomic_store(&supply->stop, true);
}

void supply_end(struct supply **slot)
{
    struct supply *supply = *slot;
    if (!supply)
        return;
    supply_quiet(supply);
    pthread_join(supply->thread, NULL);
    free(supply);
    *slot = NULL;
}
