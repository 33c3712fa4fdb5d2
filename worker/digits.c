/* SPDX-License-Identifier: MIT */
#include "worker/digits.h"

#include "common/err.h"
#include "common/job.h"
#include "common/json.h"

#include <string.h>

static int read_number(const json_t *params, struct digits *digits, struct err *err)
{
    const char *number = NULL;
    int rc = json_get_text(params, "params.number", CGAN_MAX_DIGITS, &number, err);
    if (rc < 0)
        return rc;
    size_t length = strlen(number);
    if (length == 0 || strspn(number, "0123456789") != length)
        return err_set(err, ERR_INVALID, "params.number", "params.number must be 1 to %d digits",
                       CGAN_MAX_DIGITS);
    digits->count = (int)length;
    for (size_t i = 0; i < length; i++)
        digits->digit[i] = (unsigned char)(number[i] - '0');
    return 0;
}

int digits_parse(const char *params, struct digits *out_digits, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = JOB_PARAMS_MAX, .max_depth = 8};
    struct digits digits = {0};
    json_t *object = NULL;
    int64_t seed = 0;
    int rc = json_parse(params, strlen(params), limits, &object, err);
    if (rc == 0)
        rc = read_number(object, &digits, err);
    if (rc == 0)
        rc = json_get_int(object, "params.seed", 0, UINT32_MAX, &seed, err);
    json_decref(object);
    if (rc < 0)
        return rc;
    digits.seed = (uint32_t)seed;
    *out_digits = digits;
    return 0;
}

void digits_fill(const struct digits *digits, float *inputs)
{
    for (int i = 0; i < digits->count; i++)
        cgan_input(digits->seed, (uint32_t)i, digits->digit[i], inputs + (size_t)i * CGAN_INPUTS);
}

int digits_paint(const struct digits *digits, const float *outputs, struct picture *out_picture,
                 struct err *err)
{
    struct picture picture = {0};
    int rc = picture_init(&picture, digits->count * CGAN_TILE, CGAN_TILE, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < digits->count; i++)
        cgan_paint(outputs + (size_t)i * CGAN_SIDE * CGAN_SIDE, i, digits->count, picture.pixels);
    *out_picture = picture;
    return 0;
}
