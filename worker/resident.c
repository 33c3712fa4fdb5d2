/* SPDX-License-Identifier: MIT */
#include "worker/resident.h"

#include "common/err.h"
#include "worker/choice.h"
#include "worker/develop.h"
#include "worker/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void resident_init(struct resident *resident, const struct settings *settings,
                   const struct manifest *manifest)
{
    *resident = (struct resident){
        .manifest = manifest,
        .batch_max = batch_max(settings, manifest),
        .state = RESIDENT_UNKNOWN,
    };
    resident->parked_end = &resident->parked;
}

void resident_fini(struct resident *resident)
{
    model_close(&resident->model);
    free(resident->fetched);
}

static const char *weights_of(const struct resident *resident)
{
    return resident->fetched ? resident->fetched : resident->manifest->weights_path;
}

static struct model_options options_of(const struct settings *settings,
                                       const struct manifest *manifest)
{
    struct model_options options = model_options_default();
    options.device = settings->device;
    options.precision = settings->precision;
    options.threads = (int)settings->threads;
    options.heat_map = manifest->heat_map;
    choice_apply(manifest, &options);
    return options;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A bundle of TensorFlow is named by what its files' names begin with. */
static void look_at(const char *path, struct stat *out_file)
{
    char index[4096];
    *out_file = (struct stat){0};
    if (stat(path, out_file) < 0 &&
        snprintf(index, sizeof index, "%s.index", path) < (int)sizeof index &&
        stat(index, out_file) < 0)
        *out_file = (struct stat){0}; /* who opens it says what is wrong */
}

bool resident_has_its_file(const struct resident *resident)
{
    struct stat file;
    look_at(weights_of(resident), &file);
    return same_file(&file, &resident->file);
}

/* Who fetched them compared them with the manifest. */
static int hash(const struct resident *resident, char out_sha256[PICTURE_HASH_SIZE],
                struct err *err)
{
    if (!resident->fetched)
        return manifest_check_weights(resident->manifest, out_sha256, err);
    snprintf(out_sha256, PICTURE_HASH_SIZE, "%s", resident->manifest->weights_sha256);
    return 0;
}

/* The hash stands in every result, and reading a gigabyte for it takes a second: once is enough, as
 * long as it is the same file. */
static int identify(struct resident *resident, struct err *err)
{
    struct stat file;
    look_at(weights_of(resident), &file);
    if (resident->info)
        return same_file(&file, &resident->file)
                   ? 0
                   : err_set(err, ERR_CONFLICT, "weights",
                             "%s was replaced while the worker ran: reload it (SIGHUP)",
                             weights_of(resident));
    resident->file = file;
    return hash(resident, resident->weights_sha256, err);
}

int resident_open(struct resident *resident, const struct settings *settings,
                  struct model **out_model, struct err *err)
{
    const struct manifest *manifest = resident->manifest;
    const struct model_options options = options_of(settings, manifest);
    struct model *model = NULL;
    int rc = identify(resident, err);
    if (rc == 0)
        rc = model_open(weights_of(resident), &options, &model, err);
    if (rc == 0)
        rc = resident_check(manifest, model_info(model), err);
    if (rc < 0) {
        model_close(&model);
        return rc;
    }
    if (!resident->info) {
        resident->known = *model_info(model);
        resident->format = develop_format(manifest, &resident->known);
        resident->size = resident->known.size;
        resident->info = &resident->known;
    }
    *out_model = model;
    return 0;
}

int resident_prepare(const struct resident *resident, struct model *model, struct err *err)
{
    int rc = model_prepare(model, 1, err);
    for (int batch = 2; rc == 0 && batch < resident->batch_max; batch *= 2)
        rc = model_prepare(model, batch, err);
    if (rc == 0 && resident->batch_max > 1)
        rc = model_prepare(model, resident->batch_max, err);
    return rc;
}

int resident_self_test_small(const struct resident *resident, const struct settings *settings,
                             struct model *model, struct self_test_report *out_report,
                             struct err *err)
{
    const struct model_options options = options_of(settings, resident->manifest);
    /* On a GPU a run takes a millisecond, and what may be sick is all of it. */
    if (settings->device != MODEL_CPU)
        return err_set(err, ERR_UNSUPPORTED, "device", "a small test is for processors");
    return self_test_run_small(model, &options, resident->manifest, out_report, err);
}

int resident_self_test(const struct resident *resident, const struct settings *settings,
                       struct model *model, struct self_test_report *out_report, struct err *err)
{
    const struct model_options options = options_of(settings, resident->manifest);
    *out_report = (struct self_test_report){0};
    /* The oracle would be compared with itself, and slowly. */
    if (settings->device == MODEL_REF)
        return 0;
    /* A GPU warms up its largest graph and uses all of itself; a processor computes a batch one
     * after the other. */
    const int most = settings->device == MODEL_CUDA ? resident->batch_max : 1;
    return self_test_run(model, &options, resident->manifest, most, out_report, err);
}
