/* SPDX-License-Identifier: MIT
 *
 * Whether a picture can be made again from what it says of itself.
 *
 *     rc = picture_metadata_read(data, size, &metadata, &err);
 *     rc = provenance_again(&metadata, model_view, &params, &err);   // then submit `params`
 *
 * The same question for the dispatcher, which has the manifest, and for the command line, which has
 * what GET /v1/models says of it. Pure; any thread. */
#ifndef DARKROOM_COMMON_PROVENANCE_H
#define DARKROOM_COMMON_PROVENANCE_H

#include "common/json.h"

struct picture_metadata;

/* `model` is an item of GET /v1/models, the one that the picture names, or NULL where there is none
 * of that name; borrowed. *out_params is owned by the caller. ERR_INVALID with the field "input"
 * and the reason: another model, other weights, a model that needs a picture, parameters that the
 * picture does not tell. */
int provenance_again(const struct picture_metadata *metadata, const json_t *model,
                     json_t **out_params, struct err *err);

#endif
