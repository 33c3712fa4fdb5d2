/* SPDX-License-Identifier: MIT */
#include "worker/resident.h"

#include "common/err.h"
#include "common/log.h"
#include "worker/develop.h"
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

static bool has_param(const struct manifest *manifest, const char *name, const char *type)
{
    const json_t *param = json_object_get(json_object_get(manifest->params, "properties"), name);
    const char *have = json_string_value(json_object_get(param, "type"));
    return have && !strcmp(have, type);
}

int resident_check(const struct manifest *manifest, const struct model_info *info, struct err *err)
{
    bool digits = info->input == MODEL_FROM_DIGITS;
    if (manifest->has_input == digits)
        return err_set(err, ERR_UNSUPPORTED, "input.kind",
                       "%s: architecture %s needs %s picture, but input.kind is \"%s\"",
                       manifest->name, manifest->architecture, digits ? "no" : "a",
                       digits ? "image" : "none");
    if (digits &&
        (!has_param(manifest, "number", "string") || !has_param(manifest, "seed", "integer")))
        return err_set(
            err, ERR_UNSUPPORTED, "params",
            "%s: architecture %s needs the parameters number (string) and seed (integer)",
            manifest->name, manifest->architecture);
    return 0;
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
    int rc = manifest_check_weights(manifest, out->weights_sha256, err);
    if (rc == 0)
        rc = model_open(manifest->weights_path, &options, &out->model, err);
    if (rc == 0)
        rc = resident_check(manifest, model_info(out->model), err);
    if (rc < 0) {
        model_close(&out->model);
        return rc;
    }
    out->manifest = manifest;
    out->info = model_info(out->model);
    out->format = develop_format(manifest, out->info);
    out->size = out->info->size;
    out->batch_max = batch_max(settings, manifest);
    return 0;
}

/* A device that has no such layers yet leaves the model to others, unless it was named. */
static bool may_be_left_out(const struct settings *settings, const struct manifest *manifest,
                            int rc, const struct err *err)
{
    if (rc != ERR_UNSUPPORTED || settings->texts.model.count > 0 || strcmp(err->field, "device"))
        return false;
    log_event(LOG_WARN, "worker.model_left_out", "model", LOG_S, manifest->name, "reason", LOG_S,
              err->text, NULL);
    return true;
}

int residents_open(const struct settings *settings, struct residents *out_residents,
                   struct err *err)
{
    struct residents residents = {0};
    struct err last = {0};
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
        struct err why = {0};
        rc = open_one(settings, manifest, resident, &why);
        if (may_be_left_out(settings, manifest, rc, &why)) {
            *resident = (struct resident){0};
            last = why;
            rc = 0;
            continue;
        }
        if (rc < 0) {
            err_set(err, rc, why.field, "%s", why.text);
            break;
        }
        residents.count++;
        if (resident->batch_max > residents.batch_max)
            residents.batch_max = resident->batch_max;
    }
    if (rc == 0 && residents.count == 0)
        rc = err_set(err, last.code, last.field, "%s", last.text);
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
