/* SPDX-License-Identifier: MIT
 *
 * Devices that compute and devices that don't, told apart by gpu/check.h. */
#include "gpu/check.h"

#include "common/err.h"
#include "gpu/backend.h"
#include "tests/unit/check.h"

#include <math.h>

static const struct backend_options plain = {.threads = 1};
static int at;
static float by;

/* The oracle, but for one value. */
static int run_spoilt(void *state, int batch, const float *input, float *output, struct err *err)
{
    int rc = backend_ref.run(state, batch, input, output, err);
    output[at] += by;
    return rc;
}

static int run_broken(void *state, int batch, const float *input, float *output, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "check", "layer check gave NaN or infinity");
}

static void a_sound_device_passes_in_each_precision_that_it_has(void)
{
    struct err err = {0};
    CHECK_INT(check_device(&backend_ref, &plain, &err), 0);
    for (int precision = MODEL_F32; precision <= MODEL_BF16; precision++) {
        const struct backend_options options = {.precision = (enum model_precision)precision,
                                                .threads = 1};
        int rc = check_device(&backend_cpu, &options, &err);
        if (rc < 0)
            printf("# %s\n", err.text);
        CHECK(rc == 0 || rc == ERR_UNSUPPORTED);
    }
}

static void one_wrong_value_is_a_broken_device(void)
{
    const float amounts[] = {0.01f, -2, INFINITY, NAN};
    struct backend spoilt = backend_ref;
    spoilt.run = run_spoilt;
    for (int i = 0; i < 4; i++) {
        struct err err = {0};
        char place[32];
        at = 37 + 200 * i;
        by = amounts[i];
        CHECK_INT(check_device(&spoilt, &plain, &err), ERR_DEVICE);
        snprintf(place, sizeof place, "at value %d", at);
        CHECK_HAS(err.text, place);
    }
}

static void what_is_no_number_is_a_broken_device(void)
{
    struct err err = {0};
    struct backend broken = backend_ref;
    broken.run = run_broken;
    CHECK_INT(check_device(&broken, &plain, &err), ERR_DEVICE);
}

int main(void)
{
    RUN(a_sound_device_passes_in_each_precision_that_it_has);
    RUN(one_wrong_value_is_a_broken_device);
    RUN(what_is_no_number_is_a_broken_device);
    return check_report();
}
