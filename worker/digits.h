/* SPDX-License-Identifier: MIT
 *
 * A job for the digits' generator: what its parameters ask for, and the picture that comes of it.
 *
 *     rc = digits_parse("{\"number\":\"42\",\"seed\":7}", &digits, &err);
 *     digits_fill(&digits, inputs);                      // and the network: [count] rows
 *     rc = digits_paint(&digits, outputs, &picture, &err);
 *
 * Pure functions; any thread. */
#ifndef DARKROOM_WORKER_DIGITS_H
#define DARKROOM_WORKER_DIGITS_H

#include "common/picture.h"
#include "gpu/models/cgan.h"

#include <stdint.h>

struct digits {
    uint32_t seed;
    int count; /* 1 to CGAN_MAX_DIGITS; 0: nothing parsed */
    unsigned char digit[CGAN_MAX_DIGITS];
};

/* `params`: text of a JSON object with "number", 1 to 10 digits, and "seed", 0 to 2^32 - 1. Other
 * members are a manifest's own. ERR_INVALID with the field "params.number" or "params.seed". */
int digits_parse(const char *params, struct digits *out_digits, struct err *err);

/* `inputs`: [count][CGAN_INPUTS]. */
void digits_fill(const struct digits *digits, float *inputs);

/* `outputs`: [count][CGAN_SIDE][CGAN_SIDE]. *out_picture, count tiles side by side, is owned by the
 * caller and empty before. ERR_NOMEM. */
int digits_paint(const struct digits *digits, const float *outputs, struct picture *out_picture,
                 struct err *err);

#endif
