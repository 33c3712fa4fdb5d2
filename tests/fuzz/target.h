/* SPDX-License-Identifier: MIT
 *
 * What libFuzzer and replay.c call. A target takes any bytes, returns 0, keeps nothing and checks
 * what must hold with assert-like aborts (fuzz_check), which hold in every build. */
#ifndef DARKROOM_TESTS_FUZZ_TARGET_H
#define DARKROOM_TESTS_FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

#endif
