/* SPDX-License-Identifier: MIT
 *
 * Whether a picture can be made again from what it says of itself.
 *
 *     rc = picture_metadata_read(data, size, &metadata, &err);
 *     bar = provenance_again(&metadata, model_view, &params);   // 0: submit `params`
 *     if (bar) puts(provenance_text(bar));
 *
 * The same question for the dispatcher, which has the manifest, and for the command line, which has
 * what GET /v1/models says of it. Pure; any thread. */
#ifndef DARKROOM_COMMON_PROVENANCE_H
#define DARKROOM_COMMON_PROVENANCE_H

#include "common/json.h"

struct picture_metadata;

/* What stands in the way. */
enum provenance_bar {
    PROVENANCE_FREE,
    PROVENANCE_UNNAMED,       /* it names no model */
    PROVENANCE_OTHER_MODEL,   /* one that is not here */
    PROVENANCE_NEEDS_PICTURE, /* the model makes pictures of others */
    PROVENANCE_OTHER_WEIGHTS, /* or it is not known whether they are the same */
    PROVENANCE_WITHHELD,      /* the parameters are not told */
    PROVENANCE_REFUSED        /* they are none for this model: for callers that check them */
};

/* `model` is an item of GET /v1/models, the one that the picture names, or NULL where there is none
 * of that name; borrowed. With PROVENANCE_FREE *out_params is an object that the caller owns; else
 * it is left alone. */
enum provenance_bar provenance_again(const struct picture_metadata *metadata, const json_t *model,
                                     json_t **out_params);

/* In a sentence; static storage. */
const char *provenance_text(enum provenance_bar bar);

#endif
