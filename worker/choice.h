/* SPDX-License-Identifier: MIT
 *
 * What MODEL means on the command line of `run`, `bench` and `self-test`: a manifest's name or
 * path, or a file of weights.
 *
 *     rc = choice_find("models", "portrait-drawing", &options, &choice, &err);
 *     rc = choice_fetch(&choice, &settings.cache, &err);
 *     rc = choice_identify(&choice, sha256, &err);                // reads the whole file
 *     rc = model_open(choice.weights, &options, &model, &err);
 *     choice_fini(&choice);
 *
 * A value; main thread. */
#ifndef DARKROOM_WORKER_CHOICE_H
#define DARKROOM_WORKER_CHOICE_H

#include "common/manifest.h"
#include "gpu/model.h"

struct weights_cache_settings;

struct choice {
    bool has_manifest;
    struct manifest manifest;
    char path[4096];     /* of the manifest */
    const char *weights; /* borrowed: from the manifest, the command line or below; NULL: they are
                            to be fetched */
    char *fetched;       /* owned: where the cache has them; NULL: they were not fetched */
};

/* `name` is borrowed until choice_fini(). A manifest is applied to the options. Codes as
 * manifest_load(). */
int choice_find(const char *folder, const char *name, struct model_options *options,
                struct choice *out_choice, struct err *err);

/* Fetches weights that are named by URL alone; harmless where they are not. Codes as
 * weights_cache_get(). */
int choice_fetch(struct choice *choice, const struct weights_cache_settings *settings,
                 struct err *err);

/* The weights' sha256; codes as manifest_check_weights(). */
int choice_identify(const struct choice *choice, char out_sha256[PICTURE_HASH_SIZE],
                    struct err *err);

/* What a manifest says of how its network is to be built goes into the options; the size only where
 * they have none yet. */
void choice_apply(const struct manifest *manifest, struct model_options *options);

void choice_fini(struct choice *choice); /* harmless on {0} */

#endif
