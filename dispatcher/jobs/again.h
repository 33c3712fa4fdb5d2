/* SPDX-License-Identifier: MIT
 *
 * Once more with other settings: a submission whose picture is the kept crop of a job that has
 * succeeded. The crop is copied, so that neither job needs the other from then on, and whoever may
 * view the old one may do it from anywhere.
 *
 *     rc = again_read(form, &again, &err);             // does it name one?
 *     if (again.public_id[0])
 *         again_fetch(call, &again, form, go_on);      // as if the crop had been sent along
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_AGAIN_H
#define DARKROOM_DISPATCHER_JOBS_AGAIN_H

#include "common/id.h"
#include "common/token.h"

struct call;
struct err;
struct form;

struct again {
    char public_id[ID_PUBLIC_SIZE]; /* "": the submission brings its own picture, or none */
    char token[TOKEN_SIZE];         /* "": none was given */
};

/* From an `input` of {"crop_of", "token"}, or the parts `crop_of` and `crop_token`. ERR_INVALID
 * with the member. What is larger than such a body or malformed names none; others will see. */
int again_read(const struct form *form, struct again *out, struct err *err);

/* Puts the crop into `form`, which is borrowed until then, and calls `done`; or refuses and
 * answers. */
void again_fetch(struct call *call, const struct again *again, struct form *form,
                 void (*done)(struct call *call));

#endif
