/* SPDX-License-Identifier: MIT */
#include "worker/choice.h"

#include "worker/weights_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

/* `out_path` gets the manifest that `name` stands for; false where it stands for none. */
static bool manifest_path(const char *folder, const char *name, char *out_path, size_t size)
{
    if (ends_with(name, ".json"))
        return snprintf(out_path, size, "%s", name) < (int)size;
    if (!manifest_name_is_valid(name) ||
        snprintf(out_path, size, "%s/%s.json", folder, name) >= (int)size)
        return false;
    /* A bare word that is no manifest may still be a weights file without an extension. */
    return access(out_path, F_OK) == 0 || access(name, F_OK) != 0;
}

void choice_apply(const struct manifest *manifest, struct model_options *options)
{
    options->architecture = manifest->architecture;
    options->variant = manifest->variant;
    options->part = manifest->weights_part;
    options->no_smoothing = manifest->no_smoothing;
    options->no_winograd |= manifest->no_winograd;
    if (options->size == 0)
        options->size = manifest->size;
}

int choice_find(const char *folder, const char *name, struct model_options *options,
                struct choice *out_choice, struct err *err)
{
    *out_choice = (struct choice){.weights = name};
    if (!manifest_path(folder, name, out_choice->path, sizeof out_choice->path))
        return 0;
    int rc = manifest_load(out_choice->path, &out_choice->manifest, err);
    if (rc < 0)
        return rc;
    out_choice->has_manifest = true;
    out_choice->weights = out_choice->manifest.weights_path;
    choice_apply(&out_choice->manifest, options);
    return 0;
}

int choice_fetch(struct choice *choice, const struct weights_cache_settings *settings,
                 struct err *err)
{
    const struct weights_cache cache = {.folder = settings->folder,
                                        .patience_ms = settings->patience_s * 1000};
    if (!choice->has_manifest || !weights_cache_is_for(&choice->manifest))
        return 0;
    int rc = weights_cache_get(&cache, &choice->manifest, &choice->fetched, err);
    choice->weights = choice->fetched;
    return rc;
}

int choice_identify(const struct choice *choice, char out_sha256[PICTURE_HASH_SIZE],
                    struct err *err)
{
    if (choice->fetched) {
        snprintf(out_sha256, PICTURE_HASH_SIZE, "%s", choice->manifest.weights_sha256);
        return 0;
    }
    return choice->has_manifest ? manifest_check_weights(&choice->manifest, out_sha256, err)
                                : manifest_hash_weights(choice->weights, out_sha256, err);
}

void choice_fini(struct choice *choice)
{
    manifest_fini(&choice->manifest);
    free(choice->fetched);
    *choice = (struct choice){0};
}
