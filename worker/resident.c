/* SPDX-License-Identifier: MIT */
#include "worker/resident.h"

#include "common/err.h"
#include "worker/settings.h"

#include <stdlib.h>
#include <string.h>

static bool is_wanted(const struct config_list *names, const char *name)
{
    bool found = names->count == 0;
    for (size_t i = 0; i < names->count; i++)
        found |= !strcmp(names->items[i], name);
    return found;
}

static int check_names(const struct residents *residents, const struct settings *settings,
                       struct err *err)
{
    const struct config_list *names = &settings->texts.model;
    for (size_t i = 0; i < names->count; i++)
        if (!manifest_set_find(&residents->manifests, names->items[i]))
            return err_set(err, ERR_NOT_FOUND, "model", "no manifest %s/%.64s.json",
                           settings->texts.models, names->items[i]);
    if (residents->manifests.count == 0)
        return err_set(err, ERR_NOT_FOUND, "models", "no manifest in %s", settings->texts.models);
    return 0;
}

static int batch_max(const struct settings *settings, const struct manifest *manifest)
{
    int most = (int)settings->batch;
    if (most == 0)
        most = settings->device == MODEL_CUDA ? manifest->batch_max : 1;
    return most < manifest->batch_max ? most : manifest->batch_max;
}

int resident_check(const struct manifest *manifest, struct err *err)
{
    if (manifest->has_input)
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "input.kind",
                   "%s: architecture %s needs a picture, but input.kind is \"none\"",
                   manifest->name, manifest->architecture);
}

static int open_one(const struct settings *settings, const struct manifest *manifest,
                    struct resident *out, struct err *err)
{
    struct model_options options = model_options_default();
    options.architecture = manifest->architecture;
    options.variant = manifest->variant;
    options.device = settings->device;
    options.precision = settings->precision;
    options.threads = (int)settings->threads;
    options.size = manifest->size;
    int rc = resident_check(manifest, err);
    if (rc == 0)
        rc = manifest_check_weights(manifest, out->weights_sha256, err);
    if (rc == 0)
        rc = model_open(manifest->weights_path, &options, &out->model, err);
    if (rc < 0)
        return rc;
    out->manifest = manifest;
    out->info = model_info(out->model);
    out->size = out->info->size;
    out->batch_max = batch_max(settings, manifest);
    return 0;
}

int residents_open(const struct settings *settings, struct residents *out_residents,
                   struct err *err)
{
    struct residents residents = {0};
    int rc = manifest_set_load(settings->texts.models, &residents.manifests, err);
    if (rc == 0)
        rc = check_names(&residents, settings, err);
    if (rc == 0 && !(residents.items = calloc(residents.manifests.count, sizeof(struct resident))))
        rc = ERR_NOMEM;
    for (size_t i = 0; i < residents.manifests.count && rc == 0; i++) {
        const struct manifest *manifest = &residents.manifests.items[i];
        if (!is_wanted(&settings->texts.model, manifest->name))
            continue;
        struct resident *resident = &residents.items[residents.count];
        rc = open_one(settings, manifest, resident, err);
        if (rc < 0)
            break;
        residents.count++;
        if (resident->batch_max > residents.batch_max)
            residents.batch_max = resident->batch_max;
    }
    if (rc < 0)
        residents_close(&residents);
    else
        *out_residents = residents;
    return rc;
}

void residents_close(struct residents *residents)
{
    for (size_t i = 0; i < residents->count; i++)
        model_close(&residents->items[i].model);
    free(residents->items);
    manifest_set_fini(&residents->manifests);
    *residents = (struct residents){0};
}

struct resident *residents_find(const struct residents *residents, const char *name)
{
    for (size_t i = 0; i < residents->count; i++)
        if (!strcmp(residents->items[i].manifest->name, name))
            return &residents->items[i];
    return NULL;
}
