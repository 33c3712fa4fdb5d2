/* SPDX-License-Identifier: MIT
 *
 * Which models there are: at the start, and again at a reload. */
#include "worker/residency_parts.h"

#include "common/err.h"
#include "common/json.h"
#include "common/queue_worker.h"
#include "worker/settings.h"
#include "worker/weights_cache.h"

#include <stdlib.h>
#include <string.h>

static void free_generations(struct manifest_generation *generation)
{
    while (generation) {
        struct manifest_generation *next = generation->next;
        manifest_set_fini(&generation->manifests);
        free(generation);
        generation = next;
    }
}

static bool is_wanted(const struct config_list *names, const char *name)
{
    bool found = names->count == 0;
    for (size_t i = 0; i < names->count; i++)
        found |= !strcmp(names->items[i], name);
    return found;
}

static int check_names(const struct manifest_set *manifests, const struct settings *settings,
                       const char *folder, struct err *err)
{
    const struct config_list *names = &settings->texts.model;
    for (size_t i = 0; i < names->count; i++)
        if (!manifest_set_find(manifests, names->items[i]))
            return err_set(err, ERR_NOT_FOUND, "model", "no manifest %s/%.64s.json", folder,
                           names->items[i]);
    if (manifests->count == 0)
        return err_set(err, ERR_NOT_FOUND, "models", "no manifest in %s", folder);
    return 0;
}

/* Lock held, but for the start. */
static void add_resident(struct residency *residency, const struct manifest *manifest)
{
    struct resident *resident = &residency->items[residency->count++];
    resident_init(resident, residency->settings, manifest);
    if (weights_cache_is_for(resident->manifest))
        resident->state = RESIDENT_ABSENT;
}

static bool serves(const struct residency *residency, const struct manifest *manifest)
{
    return is_wanted(&residency->settings->texts.model, manifest->name);
}

static int read_generation(const struct settings *settings, const char *folder,
                           struct manifest_generation **out, struct err *err)
{
    struct manifest_generation *generation = calloc(1, sizeof *generation);
    if (!generation)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the models");
    int rc = err_blame(manifest_set_load(folder, &generation->manifests, err), "models", err);
    if (rc == 0)
        rc = check_names(&generation->manifests, settings, folder, err);
    if (rc < 0)
        free_generations(generation);
    else
        *out = generation;
    return rc;
}

static int add_residents(struct residency *residency, struct err *err)
{
    const struct manifest_set *manifests = &residency->generations->manifests;
    residency->items = calloc(RESIDENTS_MAX, sizeof *residency->items);
    if (!residency->items)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the models");
    for (size_t i = 0; i < manifests->count && residency->count < RESIDENTS_MAX; i++)
        if (serves(residency, &manifests->items[i]))
            add_resident(residency, &manifests->items[i]);
    for (size_t i = 0; i < residency->count; i++)
        if (residency->items[i].batch_max > residency->batch_max)
            residency->batch_max = residency->items[i].batch_max;
    return 0;
}

int residency_create(const struct settings *settings, struct residency **out_residency,
                     struct err *err)
{
    struct residency *residency = calloc(1, sizeof *residency);
    if (!residency)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the models");
    residency->settings = settings;
    pthread_mutex_init(&residency->lock, NULL);
    pthread_cond_init(&residency->changed, NULL);
    int rc = read_generation(settings, settings->texts.models, &residency->generations, err);
    if (rc == 0)
        rc = add_residents(residency, err);
    if (rc < 0)
        residency_destroy(&residency);
    else
        *out_residency = residency;
    return rc;
}

void residency_destroy(struct residency **residency)
{
    struct residency *r = *residency;
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        resident_fini(&r->items[i]);
    free(r->items);
    free_generations(r->generations);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *residency = NULL;
}

/* ---- reload --------------------------------------------------------------------------------- */

/* Lock held. The one that serves this name, or would if it could. */
static struct resident *find_current(struct residency *residency, const char *name)
{
    for (size_t i = 0; i < residency->count; i++)
        if (!residency->items[i].retired && !strcmp(residency->items[i].manifest->name, name))
            return &residency->items[i];
    return NULL;
}

/* A model that could not be served gets another chance. */
static bool is_same(const struct resident *resident, const struct manifest *manifest)
{
    bool looked = resident->state == RESIDENT_READY || resident->state == RESIDENT_AWAY;
    return resident->state != RESIDENT_BAD &&
           json_equal(resident->manifest->document, manifest->document) &&
           (!looked || resident_has_its_file(resident));
}

/* Lock held. It takes no new task; what it has goes on. */
static void retire(struct residency *residency, struct resident *resident)
{
    resident->retired = true;
    if (resident->state == RESIDENT_UNKNOWN || resident->state == RESIDENT_ABSENT)
        resident->state = RESIDENT_BAD;
    residency->changes++;
}

/* Lock held. Returns how many models were retired or added. */
static size_t exchange(struct residency *residency, const struct manifest_set *fresh)
{
    size_t before = residency->count, moved = 0;
    for (size_t i = 0; i < before; i++) {
        struct resident *resident = &residency->items[i];
        const struct manifest *now = manifest_set_find(fresh, resident->manifest->name);
        if (!resident->retired && !(now && is_same(resident, now))) {
            retire(residency, resident);
            moved++;
        }
    }
    for (size_t i = 0; i < fresh->count; i++) {
        const struct manifest *manifest = &fresh->items[i];
        if (!serves(residency, manifest) || find_current(residency, manifest->name))
            continue;
        add_resident(residency, manifest);
        struct resident *resident = &residency->items[residency->count - 1];
        /* What the stages have room for was settled at the start. */
        if (resident->batch_max > residency->batch_max)
            resident->batch_max = residency->batch_max;
        residency->changes++;
        moved++;
    }
    return moved;
}

int residency_renew(struct residency *residency, const char *folder, struct err *err)
{
    struct manifest_generation *fresh = NULL;
    int rc = read_generation(residency->settings, folder, &fresh, err);
    if (rc < 0)
        return rc;
    size_t wanted = 0;
    for (size_t i = 0; i < fresh->manifests.count; i++)
        wanted += serves(residency, &fresh->manifests.items[i]);
    if (wanted > QUEUE_MODELS_MAX)
        rc =
            err_set(err, ERR_LIMIT, "models", "%zu models, a worker serves %d at most: see --model",
                    wanted, QUEUE_MODELS_MAX);
    else if (residency->count + wanted > RESIDENTS_MAX)
        rc = err_set(err, ERR_LIMIT, "models",
                     "%d models have come and gone with reloads: start the worker again",
                     RESIDENTS_MAX);
    size_t moved = 0;
    if (rc == 0) {
        pthread_mutex_lock(&residency->lock);
        moved = exchange(residency, &fresh->manifests);
        pthread_cond_broadcast(&residency->changed);
        pthread_mutex_unlock(&residency->lock);
    }
    if (moved == 0) {
        free_generations(fresh);
        return rc;
    }
    fresh->next = residency->generations;
    residency->generations = fresh;
    return 0;
}
