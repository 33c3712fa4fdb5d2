/* SPDX-License-Identifier: MIT
 *
 * The facade: what is recognised, what is refused and in which words, and that a picture's bytes
 * depend on nothing but the picture. */
#include "gpu/model.h"

#include "common/err.h"
#include "tests/models/batches.h"
#include "tests/models/golden.h"

#include <math.h>
#include <unistd.h>

static int open_as(const char *name, enum model_device device, int size, struct model **out,
                   struct err *err)
{
    struct model_options options = model_options_default();
    options.device = device;
    options.size = size;
    options.threads = 2;
    *err = (struct err){0};
    return model_open(golden_path(name), &options, out, err);
}

static void equals_pytorch(const char *name, enum model_device device, int size, double limit)
{
    struct model *model = NULL;
    struct err err;
    CHECK_INT(open_as(name, device, size, &model, &err), 0);
    size_t count = model_info(model)->in_values;
    float *in = golden_values(name, "input", count), *want = golden_values(name, "output", count);
    float *out = malloc(count * sizeof *out);
    CHECK_INT(model_run(model, 1, in, out, &err), 0);
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)out[i] - (double)want[i]));
    printf("# %s on %s: %.2g\n", name, model_device_name(device), worst);
    free(in);
    free(want);
    free(out);
    model_close(&model);
    CHECK(worst < limit);
}

static void light_equals_the_recorded_pytorch(void)
{
    equals_pytorch("light", MODEL_REF, 20, 2e-6);
    equals_pytorch("light", MODEL_CPU, 20, 1e-3);
}

static void full_equals_the_recorded_pytorch(void)
{
    equals_pytorch("full", MODEL_REF, 0, 2e-6);
    equals_pytorch("full", MODEL_CPU, 0, 1e-3);
}

static void kind_channels_and_size_come_from_the_tensors(void)
{
    struct model *model = NULL;
    struct err err;
    CHECK_INT(open_as("light", MODEL_REF, 0, &model, &err), 0);
    const struct model_info *info = model_info(model);
    CHECK_TEXT(info->architecture, "ugatit");
    CHECK_TEXT(info->kind, "light");
    CHECK_INT(info->channels, 2);
    CHECK_INT(info->size, 256);
    CHECK_INT(info->in_values, 3 * 256 * 256);
    model_close(&model);
    CHECK_INT(open_as("full", MODEL_REF, 0, &model, &err), 0);
    CHECK_TEXT(model_info(model)->kind, "full");
    CHECK_INT(model_info(model)->size, 16);
    model_close(&model);
}

static void a_picture_has_the_same_bytes_in_any_batch_and_slot(void)
{
    static const struct {
        const char *name;
        int size;
    } rows[] = {{"light", 20}, {"full", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model *model = NULL;
        struct err err;
        CHECK_INT(open_as(rows[i].name, MODEL_CPU, rows[i].size, &model, &err), 0);
        CHECK_INT(batches_differ(model), 0);
        model_close(&model);
    }
}

/* What the model gives for two pictures, [2][out_values]; owned by the caller. */
static float *run_two(enum model_device device, enum model_precision precision, bool heat_map,
                      const float *in, size_t *out_values)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    options.device = device;
    options.precision = precision;
    options.heat_map = heat_map;
    options.size = 32;
    CHECK_INT(model_open(golden_path("light"), &options, &model, NULL), 0);
    const struct model_info *info = model_info(model);
    CHECK_INT(info->heat_side, heat_map ? 8 : 0);
    float *out = malloc(2 * info->out_values * sizeof *out);
    CHECK_INT(model_run(model, 2, in, out, NULL), 0);
    *out_values = info->out_values;
    model_close(&model);
    return out;
}

static void the_heat_map_lies_behind_each_picture_and_changes_none(void)
{
    enum { PICTURE = 3 * 32 * 32, HEAT = 8 * 8 };
    static const struct {
        enum model_precision precision;
        float limit; /* of the greatest value */
    } rows[] = {{MODEL_F32, 1e-5f}, {MODEL_BF16, 0.03f}};
    static float in[2 * PICTURE];
    size_t with, without;
    for (int i = 0; i < 2 * PICTURE; i++)
        in[i] = sinf((float)i * 0.37f);
    float *want = run_two(MODEL_REF, MODEL_F32, true, in, &with);
    CHECK_INT(with, PICTURE + HEAT);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        float worst = 0, greatest = 0;
        float *out = run_two(MODEL_CPU, rows[r].precision, true, in, &with);
        float *bare = run_two(MODEL_CPU, rows[r].precision, false, in, &without);
        CHECK_INT(without, PICTURE);
        for (size_t n = 0; n < 2; n++) {
            CHECK(memcmp(out + n * with, bare + n * without, PICTURE * sizeof *out) == 0);
            for (size_t i = n * with + PICTURE; i < (n + 1) * with; i++) {
                worst = fmaxf(worst, fabsf(out[i] - want[i]));
                greatest = fmaxf(greatest, want[i]);
            }
        }
        printf("# heat map in %s: %.2g\n", model_precision_name(rows[r].precision),
               (double)(worst / greatest));
        CHECK(worst < rows[r].limit * greatest);
        free(bare);
        free(out);
    }
    free(want);
}

static void the_number_of_threads_changes_no_byte(void)
{
    struct model_options options = model_options_default();
    uint64_t want = 0;
    options.size = 64;
    for (int threads = 1; threads <= 3; threads++) {
        struct model *model = NULL;
        options.threads = threads;
        CHECK_INT(model_open(golden_path("light"), &options, &model, NULL), 0);
        size_t count = model_info(model)->in_values;
        float *in = malloc(count * sizeof *in), *out = malloc(count * sizeof *out);
        for (size_t i = 0; i < count; i++)
            in[i] = sinf((float)i * 0.37f);
        CHECK_INT(model_run(model, 1, in, out, NULL), 0);
        uint64_t got = batches_hash(out, count);
        want = threads == 1 ? got : want;
        free(in);
        free(out);
        model_close(&model);
        CHECK(got == want);
    }
}

static void sizes_that_do_not_fit_are_refused_in_words(void)
{
    struct model *model = NULL;
    struct err err;
    CHECK_INT(open_as("light", MODEL_CPU, 30, &model, &err), ERR_INVALID);
    CHECK_HAS(err.text, "multiple of 4");
    CHECK_INT(open_as("light", MODEL_CPU, 8, &model, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "size");
    CHECK_HAS(err.text, "16 to 2048");
    CHECK_INT(open_as("full", MODEL_CPU, 32, &model, &err), ERR_INVALID);
    CHECK_HAS(err.text, "fit 16 pixels only");
    CHECK(model == NULL);
}

static void what_fits_one_size_only_is_not_opened_for_another(void)
{
    struct model *model = NULL, *sized = NULL;
    struct err err;
    CHECK_INT(open_as("full", MODEL_CPU, 0, &model, &err), 0);
    CHECK_INT(model_open_sized(model, 32, &sized, &err), ERR_UNSUPPORTED);
    CHECK_TEXT(err.field, "size");
    CHECK(!sized);
    model_close(&model);
}

static void a_device_that_shares_nothing_opens_another_size_all_the_same(void)
{
    struct model *model = NULL, *sized = NULL;
    struct err err;
    CHECK_INT(open_as("light", MODEL_REF, 32, &model, &err), 0);
    CHECK_INT(model_open_sized(model, 20, &sized, &err), 0);
    size_t count = model_info(sized)->in_values;
    CHECK_INT(count, 3 * 20 * 20);
    float *in = golden_values("light", "input", count), *out = malloc(count * sizeof *out);
    float *want = golden_values("light", "output", count);
    CHECK_INT(model_run(sized, 1, in, out, &err), 0);
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)out[i] - (double)want[i]));
    free(in);
    free(want);
    free(out);
    model_close(&sized);
    model_close(&model);
    CHECK(worst < 2e-6);
}

static void what_the_build_or_machine_lacks_is_said(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.precision = MODEL_F16;
    CHECK_INT(model_open(golden_path("light"), &options, &model, &err), ERR_UNSUPPORTED);
    CHECK_TEXT(err.field, "precision");
    CHECK_HAS(err.text, "f16");
    options = model_options_default();
    options.architecture = "biggan";
    err = (struct err){0};
    CHECK_INT(model_open(golden_path("light"), &options, &model, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "biggan");
    CHECK_INT(open_as("light-golden", MODEL_CPU, 0, &model, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "no architecture");
}

static void names_of_devices_and_precisions_are_those_of_the_command_line(void)
{
    enum model_device device;
    enum model_precision precision;
    struct err err = {0};
    CHECK_INT(model_device_parse("cuda", &device, &err), 0);
    CHECK_INT(device, MODEL_CUDA);
    CHECK_INT(model_precision_parse("bf16", &precision, &err), 0);
    CHECK_INT(precision, MODEL_BF16);
    CHECK_INT(model_device_parse("tpu", &device, &err), ERR_INVALID);
    CHECK_HAS(err.text, "cpu, cuda or ref");
}

static void batches_out_of_range_are_refused(void)
{
    struct model *model = NULL;
    struct err err;
    float value = 0;
    CHECK_INT(open_as("light", MODEL_CPU, 16, &model, &err), 0);
    CHECK_INT(model_run(model, 0, &value, &value, &err), ERR_INVALID);
    CHECK_HAS(err.text, "1 to 64");
    CHECK_INT(model_prepare(model, 65, NULL), ERR_INVALID);
    model_close(&model);
}

/* Bytes of the light file, with room to be changed; written to a temporary file by use_copy(). */
static unsigned char copy[65536];
static size_t copy_size;

static void read_copy(const char *name)
{
    FILE *file = fopen(golden_path(name), "rb");
    CHECK(file != NULL);
    copy_size = fread(copy, 1, sizeof copy, file);
    fclose(file);
    CHECK(copy_size < sizeof copy);
}

static int open_copy(enum model_device device, struct model **out, struct err *err)
{
    char path[] = "/tmp/darkroom-model-XXXXXX";
    struct model_options options = model_options_default();
    int fd = mkstemp(path);
    CHECK_INT(write(fd, copy, copy_size), copy_size);
    close(fd);
    options.device = device;
    options.size = 16;
    *err = (struct err){0};
    int rc = model_open(path, &options, out, err);
    unlink(path);
    return rc;
}

static unsigned char *find(const char *text)
{
    unsigned char *found = memmem(copy, copy_size, text, strlen(text));
    CHECK(found != NULL);
    return found;
}

static void weights_cut_off_at_any_byte_are_refused(void)
{
    read_copy("light");
    const size_t whole = copy_size;
    for (copy_size = 0; copy_size < whole; copy_size += copy_size < 16 ? 1 : 997) {
        struct model *model = NULL;
        struct err err;
        CHECK_INT(open_copy(MODEL_CPU, &model, &err), ERR_CORRUPT);
        CHECK(err.text[0] != 0);
    }
}

static void a_wrong_shape_names_the_tensor_and_both_shapes(void)
{
    struct model *model = NULL;
    struct err err;
    read_copy("light");
    /* [8,16,1,1] becomes [16,8,1,1]: as many bytes, another matrix. */
    memcpy(find("[8,16,1,1]"), "[16,8,1,1]", 10);
    CHECK_INT(open_copy(MODEL_CPU, &model, &err), ERR_CORRUPT);
    CHECK_TEXT(err.field, "conv1x1.weight");
    CHECK_HAS(err.text, "16x8x1x1");
    CHECK_HAS(err.text, "8x16x1x1");
}

static void a_missing_tensor_is_named(void)
{
    struct model *model = NULL;
    struct err err;
    read_copy("light");
    memcpy(find("beta.weight"), "beta_weight", 11);
    CHECK_INT(open_copy(MODEL_CPU, &model, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "beta.weight (8x8) is missing");
}

/* Also NaN, of which a ReLU must not make 0. */
static void infinity_in_the_weights_names_the_layer(void)
{
    static const enum model_device devices[] = {MODEL_CPU, MODEL_REF};
    for (int i = 0; i < 4; i++) {
        struct model *model = NULL;
        struct err err;
        float in[3 * 16 * 16] = {0.5f}, out[3 * 16 * 16];
        read_copy("light");
        /* gap_fc.weight is the file's first tensor: its first half is replaced. */
        size_t header = (size_t)(copy[0] | copy[1] << 8);
        copy[8 + header] = 0x00;
        copy[8 + header + 1] = i < 2 ? 0x7c : 0x7e;
        CHECK_INT(open_copy(devices[i % 2], &model, &err), 0);
        int rc = model_run(model, 1, in, out, &err);
        model_close(&model);
        CHECK_INT(rc, ERR_CORRUPT);
        CHECK_HAS(err.text, "NaN or infinity");
    }
}

int main(void)
{
    RUN(light_equals_the_recorded_pytorch);
    RUN(full_equals_the_recorded_pytorch);
    RUN(kind_channels_and_size_come_from_the_tensors);
    RUN(a_picture_has_the_same_bytes_in_any_batch_and_slot);
    RUN(the_heat_map_lies_behind_each_picture_and_changes_none);
    RUN(the_number_of_threads_changes_no_byte);
    RUN(sizes_that_do_not_fit_are_refused_in_words);
    RUN(what_fits_one_size_only_is_not_opened_for_another);
    RUN(a_device_that_shares_nothing_opens_another_size_all_the_same);
    RUN(what_the_build_or_machine_lacks_is_said);
    RUN(names_of_devices_and_precisions_are_those_of_the_command_line);
    RUN(batches_out_of_range_are_refused);
    RUN(weights_cut_off_at_any_byte_are_refused);
    RUN(a_wrong_shape_names_the_tensor_and_both_shapes);
    RUN(a_missing_tensor_is_named);
    RUN(infinity_in_the_weights_names_the_layer);
    return check_report();
}
