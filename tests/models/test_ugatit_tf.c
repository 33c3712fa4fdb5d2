/* SPDX-License-Identifier: MIT
 *
 * U-GAT-IT from TensorFlow's checkpoints, against the same arithmetic in PyTorch. */
#include "gpu/model.h"

#include "common/err.h"
#include "tests/models/command.h"
#include "tests/models/golden.h"

#include <math.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-ugatit-XXXXXX";
static char prefix[64], golden[64];

static void make(const char *options)
{
    int status = command_run("rm -f %s/*; %s %s/models/reference_ugatit_tf.py %s %s %s", folder,
                             command_torch(), command_tests(), prefix, golden, options);
    if (status == COMMAND_SKIPPED)
        check_skip("python3-torch is not installed");
    CHECK_INT(status, 0);
}

struct expectation {
    enum model_device device;
    const char *part, *output;
    int size;
    bool no_smoothing, heat_map;
};

static double worst(const float *a, const float *b, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]) / fmax(1, fabs((double)b[i]));
        if (!(d <= most))
            most = d;
    }
    return most;
}

static void agrees(const struct expectation *e)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.architecture = "ugatit";
    options.variant = "tensorflow";
    options.device = e->device;
    options.part = e->part;
    options.size = e->size;
    options.no_smoothing = e->no_smoothing;
    options.heat_map = e->heat_map;
    int rc = model_open(prefix, &options, &model, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    const struct model_info *info = model_info(model);
    const size_t count = info->in_values;
    const size_t more = info->out_values - count;
    CHECK_INT(more, e->heat_map ? (size_t)(e->size / 4) * (size_t)(e->size / 4) : 0);
    float *in = golden_read(golden, "input", count), *want = golden_read(golden, e->output, count);
    float *out = malloc(info->out_values * sizeof *out);
    CHECK_INT(model_run(model, 1, in, out, &err), 0);
    double distance = worst(out, want, count);
    if (more > 0) {
        float *heat = golden_read(golden, "heat_map", more);
        distance = fmax(distance, worst(out + count, heat, more));
        free(heat);
    }
    printf("# %s %s on %s: %.2g\n", info->kind, e->output, model_device_name(e->device), distance);
    free(in);
    free(want);
    free(out);
    model_close(&model);
    CHECK(distance < 1e-4);
}

static void all_of(int size)
{
    static const enum model_device devices[] = {MODEL_REF, MODEL_CPU};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        const enum model_device d = devices[i];
        agrees(&(struct expectation){d, NULL, "output", size, false, true});
        agrees(&(struct expectation){d, NULL, "plain", size, true, false});
        agrees(&(struct expectation){d, "generator_B", "output", size, false, false});
        agrees(&(struct expectation){d, "generator_A", "other", size, false, false});
    }
}

static void light_equals_the_reference(void)
{
    make("--size 32");
    all_of(32);
}

static void odd_quarters_equal_the_reference(void)
{
    make("--size 20 --channels 3 --seed 2");
    all_of(20);
}

static void full_equals_the_reference(void)
{
    make("--size 36 --full");
    all_of(36);
}

static void what_the_tensors_say_is_reported(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    make("--size 16 --channels 64 --blocks 4");
    options.device = MODEL_REF;
    CHECK_INT(model_open(prefix, &options, &model, &err), 0);
    const struct model_info *info = model_info(model);
    CHECK_TEXT(info->kind, "light");
    CHECK_TEXT(info->variant, "tensorflow");
    CHECK_INT(info->channels, 64);
    CHECK_INT(info->size, 256);
    CHECK_INT(info->parameters, 10600388); /* as the original counts them */
    CHECK_INT(info->format.rounding, PIXELS_TRUNCATE);
    /* What was turned is memory of the model's own. */
    CHECK(model_bytes(model).host > 10000000 * sizeof(float));
    CHECK(model_estimate(model, 1).host > 10000000 * sizeof(float));
    model_close(&model);
    options.part = "genB2A";
    CHECK_INT(model_open(prefix, &options, &model, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "no part genB2A");
    err = (struct err){0};
    options.part = "discriminator_A";
    CHECK_INT(model_open(prefix, &options, &model, &err), ERR_UNSUPPORTED);
    err = (struct err){0};
    options.part = NULL;
    options.variant = "pytorch";
    CHECK_INT(model_open(prefix, &options, &model, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "of variant tensorflow, not of pytorch");
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(prefix, sizeof prefix, "%s/UGATIT.model-1000", folder);
    snprintf(golden, sizeof golden, "%s/golden", folder);
    RUN(light_equals_the_reference);
    RUN(odd_quarters_equal_the_reference);
    RUN(full_equals_the_reference);
    RUN(what_the_tensors_say_is_reported);
    command_run("rm -r %s", folder);
    return check_report();
}
