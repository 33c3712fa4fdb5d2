/* SPDX-License-Identifier: MIT
 *
 * What the targets of weights formats share: any bytes either fail in words or open, and what opens
 * can be read to its last byte, found again by name, and looked at through a view. */
#ifndef DARKROOM_TESTS_FUZZ_WEIGHTS_TARGET_H
#define DARKROOM_TESTS_FUZZ_WEIGHTS_TARGET_H

#include "common/err.h"
#include "gpu/weights/weights.h"

#include "tests/fuzz/target.h"

#include <string.h>

/* All values that are read for one input; tensors may share bytes, so their sum has no limit. */
#define FUZZ_MAX_READ_BYTES (64u << 20)

static volatile unsigned fuzz_total; /* keeps the compiler from dropping the reads */

static inline void fuzz_read_tensors(const struct weights *weights)
{
    size_t left = FUZZ_MAX_READ_BYTES;
    unsigned sum = 0;
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor, again;
        const char *name = weights_at(weights, i, &tensor);
        fuzz_check(weights_find(weights, name, &again) == 0 && again.data == tensor.data);
        size_t bytes = tensor_bytes(&tensor);
        const unsigned char *data = tensor.data;
        for (size_t at = 0; bytes <= left && at < bytes; at++)
            sum += data[at];
        sum += data[bytes - 1];
        left -= bytes <= left ? bytes : left;
    }
    fuzz_total = sum;
}

static inline void fuzz_read_attributes(const struct weights *weights)
{
    for (size_t i = 0; i < weights_attribute_count(weights); i++) {
        struct weights_attribute value;
        fuzz_check(weights_attribute_at(weights, i, &value)[0]);
        fuzz_check(!value.text || strlen(value.text) <= WEIGHTS_MAX_TEXT_BYTES);
    }
}

static inline void fuzz_read_weights(const struct weights *weights)
{
    struct weights *view = NULL;
    fuzz_check(weights_format(weights) != NULL);
    fuzz_read_tensors(weights);
    fuzz_read_attributes(weights);
    if (weights_view(weights, "G_ema.", &view, NULL) == 0)
        fuzz_check(weights_count(view) <= weights_count(weights));
    weights_close(&view);
}

static inline void fuzz_open_weights(const uint8_t *data, size_t size)
{
    struct weights *weights = NULL;
    struct err err = {0};
    int rc = weights_open_memory(data, size, &weights, &err);
    fuzz_check(rc == 0 || (!weights && err.text[0]));
    if (rc == 0)
        fuzz_read_weights(weights);
    weights_close(&weights);
}

#endif
