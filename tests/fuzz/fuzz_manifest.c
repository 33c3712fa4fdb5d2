/* SPDX-License-Identifier: MIT
 *
 * A manifest, then a zero byte, then a request's parameters: whatever a manifest is taken for has
 * a schema that fills in its own defaults and takes them back. */
#include "common/err.h"
#include "common/manifest.h"

#include "tests/fuzz/target.h"

#include <string.h>

static void try_params(const struct manifest *manifest, const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {.max_bytes = 65536, .max_depth = 8};
    json_t *given = NULL, *params = NULL, *again = NULL;
    if (json_parse(data, size, limits, &given, NULL) == 0 &&
        manifest_check_params(manifest, given, &params, NULL) == 0) {
        fuzz_check(manifest_check_params(manifest, params, &again, NULL) == 0);
        fuzz_check(json_equal(params, again));
    }
    json_decref(again);
    json_decref(params);
    json_decref(given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct err err = {0};
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t length = zero ? (size_t)(zero - data) : size;
    if (manifest_parse(data, length, "models", &manifest, &err) < 0) {
        fuzz_check(err.text[0] != 0);
        return 0;
    }
    fuzz_check(manifest_name_is_valid(manifest.name));
    fuzz_check(manifest.weights_path ? !strstr(manifest.weights_path, "..")
                                     : manifest.weights_url && manifest.weights_sha256);
    if (zero)
        try_params(&manifest, zero + 1, size - length - 1);
    manifest_fini(&manifest);
    return 0;
}
