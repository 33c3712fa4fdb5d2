/* SPDX-License-Identifier: MIT
 *
 * The models that this worker serves, opened: weights are mapped and checked, plans come later.
 *
 *     rc = residents_open(&settings, &residents, &err);
 *     struct resident *resident = residents_find(&residents, "portrait-drawing");
 *     residents_close(&residents);
 *
 * Manifest, limits and info are read-only for any thread; `model` belongs to the inference stage.
 */
#ifndef DARKROOM_WORKER_RESIDENT_H
#define DARKROOM_WORKER_RESIDENT_H

#include "common/manifest.h"
#include "gpu/model.h"

#include <stddef.h>

struct err;
struct settings;

struct resident {
    const struct manifest *manifest; /* borrowed from the set */
    struct model *model;             /* owned */
    const struct model_info *info;   /* borrowed from the model */
    struct pixels_format format;     /* between its pictures and tensors */
    int size;                        /* side of the pictures that it takes, pixels */
    int batch_max;
    char weights_sha256[PICTURE_HASH_SIZE];
};

/* ERR_UNSUPPORTED where the manifest's jobs bring something else than the network needs. */
int resident_check(const struct manifest *manifest, const struct model_info *info, struct err *err);

struct residents {
    struct manifest_set manifests; /* owned */
    struct resident *items;        /* owned */
    size_t count;
    int batch_max; /* the greatest of all */
};

/* Every model of the folder that the device can compute, or those that the settings name. One that
 * cannot be served is an error: a worker that claims what it cannot run would fail people's jobs.
 * ERR_NOT_FOUND where there is none at all; else as manifest_set_load() and model_open(). */
int residents_open(const struct settings *settings, struct residents *out_residents,
                   struct err *err);
void residents_close(struct residents *residents); /* harmless on {0} */

/* NULL if it is not served. Borrowed. */
struct resident *residents_find(const struct residents *residents, const char *name);

#endif
