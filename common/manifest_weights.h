/* SPDX-License-Identifier: MIT
 *
 * What a manifest says of its weights, and whether the files are the ones that it means.
 *
 *     "weights": {"file": "selfie2anime_params_latest.pt", "sha256": "…",
 *                 "part": "genB2A", "smoothing": false}
 *
 * Everything but "file" may be left out. Hashes are manifest.h's manifest_hash_weights() and
 * manifest_check_weights(). Any thread. */
#ifndef DARKROOM_COMMON_MANIFEST_WEIGHTS_H
#define DARKROOM_COMMON_MANIFEST_WEIGHTS_H

#include "common/json.h"

struct err;
struct manifest;

/* Fills weights_path, weights_sha256, weights_part and no_smoothing; for manifest_parse(). */
int manifest_weights_read(const json_t *document, const char *folder, struct manifest *manifest,
                          struct err *err);

#endif
