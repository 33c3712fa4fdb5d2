/* SPDX-License-Identifier: MIT
 *
 * What a manifest says of its weights, and whether the files are the ones that it means.
 *
 *     "weights": {"file": "selfie2anime_params_latest.pt", "sha256": "…",
 *                 "part": "genB2A", "smoothing": false}
 *
 *     "weights": {"url": "https://weights.example/selfie2anime.safetensors", "sha256": "…"}
 *
 * There is a file, or a URL with its sha256, or both: then the file counts where it is there.
 * Everything else may be left out. Hashes are manifest.h's manifest_hash_weights() and
 * manifest_check_weights(). Any thread. */
#ifndef DARKROOM_COMMON_MANIFEST_WEIGHTS_H
#define DARKROOM_COMMON_MANIFEST_WEIGHTS_H

#include "common/json.h"

struct err;
struct manifest;

#define MANIFEST_MAX_URL 2000

/* Fills what `struct manifest` has of weights; for manifest_parse(). */
int manifest_weights_read(const json_t *document, const char *folder, struct manifest *manifest,
                          struct err *err);

#endif
