/* SPDX-License-Identifier: MIT
 *
 * The GPU backend against PyTorch's recorded outputs and against itself: on a GPU, or skipped; and
 * on the emulated one. */
#include "common/err.h"
#include "gpu/model.h"
#include "tests/models/golden.h"
#ifdef EMULATED_ARCH
#include "tests/gpu/emulator/emulator.h"
#endif

#include <math.h>

static int open_as(const char *name, enum model_precision precision, int size, struct model **out,
                   struct err *err)
{
    struct model_options options = model_options_default();
    options.device = MODEL_CUDA;
    options.precision = precision;
    options.size = size;
    return model_open(golden_path(name), &options, out, err);
}

static void equals_pytorch(const char *name, int size, enum model_precision precision, double limit)
{
    struct model *model = NULL;
    struct err err = {0};
    CHECK_INT(open_as(name, precision, size, &model, &err), 0);
    size_t count = model_info(model)->in_values;
    float *in = golden_values(name, "input", count), *want = golden_values(name, "output", count);
    float *out = malloc(count * sizeof *out);
    CHECK_INT(model_run(model, 1, in, out, &err), 0);
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)out[i] - (double)want[i]));
    printf("# %s in %s: %.2g\n", name, model_precision_name(precision), worst);
    free(in);
    free(want);
    free(out);
    model_close(&model);
    CHECK(worst < limit);
}

static void light_equals_the_recorded_pytorch(void)
{
    equals_pytorch("light", 20, MODEL_F32, 1e-3);
    equals_pytorch("light", 20, MODEL_F16, 0.05);
}

static void full_equals_the_recorded_pytorch(void)
{
    equals_pytorch("full", 16, MODEL_F32, 1e-3);
    equals_pytorch("full", 16, MODEL_F16, 0.05);
}

/* An emulated GPU takes its time. */
#ifdef EMULATED_ARCH
enum { SIZE = 16, STRIDE = 7 };
#else
enum { SIZE = 64, STRIDE = 1 };
#endif
enum { PICTURES = 32, COUNT = 3 * SIZE * SIZE };

static void bytes_are_the_same(enum model_precision precision)
{
    static float in[2 * PICTURES * COUNT], out[PICTURES * COUNT], alone[PICTURES * COUNT];
    struct model *model = NULL;
    struct err err = {0};
    int different = 0;
    CHECK_INT(open_as("light", precision, SIZE, &model, &err), 0);
    for (int i = 0; i < 2 * PICTURES * COUNT; i++)
        in[i] = sinf((float)(i % (PICTURES * COUNT)) * 0.37f);
    for (int p = 0; p < PICTURES; p++)
        CHECK_INT(model_run(model, 1, in + p * COUNT, alone + p * COUNT, &err), 0);
    for (int batch = 1; batch <= PICTURES; batch += STRIDE) {
        const int first = batch * 5 % PICTURES;
        CHECK_INT(model_run(model, batch, in + first * COUNT, out, &err), 0);
        for (int slot = 0; slot < batch; slot++)
            different += memcmp(out + slot * COUNT, alone + (first + slot) % PICTURES * COUNT,
                                COUNT * sizeof *out) != 0;
    }
    model_close(&model);
    CHECK_INT(different, 0);
}

static void a_picture_has_the_same_bytes_in_any_batch_and_slot(void)
{
    bytes_are_the_same(MODEL_F16);
#ifndef EMULATED_ARCH
    bytes_are_the_same(MODEL_F32);
#endif
}

int main(void)
{
    struct model *model = NULL;
    struct err err = {0};
#ifdef EMULATED_ARCH
    emulator_reset(1);
#endif
    if (open_as("light", MODEL_F32, 20, &model, &err) == ERR_UNSUPPORTED)
        check_skip(err.text);
    model_close(&model);
    RUN(light_equals_the_recorded_pytorch);
    RUN(full_equals_the_recorded_pytorch);
    RUN(a_picture_has_the_same_bytes_in_any_batch_and_slot);
    return check_report();
}
