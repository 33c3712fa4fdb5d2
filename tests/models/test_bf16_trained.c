/* SPDX-License-Identifier: MIT
 *
 * bf16 on the CPU as users meet it: trained networks on a portrait, beside f32, and the promise
 * that a picture's bytes depend on nothing but the picture. With DARKROOM_TEST_WEIGHTS the trained
 * networks of others as well. */
#include "common/err.h"
#include "gpu/cpu/tiles/tiles.h"
#include "gpu/model.h"
#include "tests/models/golden.h"

#include <math.h>
#include <unistd.h>

/* What the issue asks for of trained networks. */
#define LIMIT_DB 50

extern const struct tile_functions tiles_amx_emulated;

static const struct tile_functions *chosen;

/* Instead of the library's own. */
const struct tile_functions *tiles_functions(void)
{
    return chosen;
}

static void choose_fastest(void)
{
    const struct tile_functions *all[TILES_MAX_FUNCTIONS] = {0};
    chosen = all[tiles_available(all) - 1];
}

static struct model *open_model(const char *path, enum model_precision precision, int size,
                                int threads)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.precision = precision;
    options.size = size;
    options.threads = threads;
    if (model_open(path, &options, &model, &err) < 0)
        printf("# %s: %s\n", path, err.text);
    return model;
}

/* The astronaut's face, as the network takes it; owned by the caller. */
static float *portrait(const struct model_info *info)
{
    const struct picture_limits limits = {8 << 20, 1 << 22, 4096};
    const struct picture_rect face = {140, 20, 180, 180};
    struct picture photo = {0}, square = {0};
    static unsigned char bytes[1 << 20];
    char path[512];
    snprintf(path, sizeof path, "%s/../docs/images/astronaut.png", getenv("DARKROOM_TESTS"));
    FILE *file = fopen(path, "rbe");
    CHECK(file != NULL);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK_INT(picture_decode(bytes, size, &limits, &photo, NULL), 0);
    CHECK_INT(picture_crop(&photo, &face, NULL), 0);
    CHECK_INT(picture_resize(&photo, info->size, info->size, info->format.resize, &square, NULL),
              0);
    float *values = malloc(info->in_values * sizeof *values);
    pixels_to_tensor(square.pixels, info->size, info->size, &info->format, values);
    picture_fini(&photo);
    picture_fini(&square);
    return values;
}

static double psnr(const float *got, const float *want, size_t count)
{
    double least = INFINITY, most = -INFINITY, noise = 0;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)want[i], d = (double)got[i] - x;
        least = fmin(least, x);
        most = fmax(most, x);
        noise += d * d / (double)count;
    }
    return 10 * log10((most - least) * (most - least) / fmax(noise, 1e-20));
}

/* Decibels of bf16 against f32 on the portrait. */
static double compare(const char *path, int size)
{
    struct model *precise = open_model(path, MODEL_F32, size, 1);
    struct model *narrow = open_model(path, MODEL_BF16, size, 1);
    CHECK(precise && narrow);
    const size_t values = model_info(precise)->out_values;
    float *in = portrait(model_info(precise));
    float *want = malloc(values * sizeof *want), *got = malloc(values * sizeof *got);
    struct err err = {0};
    CHECK_INT(model_run(precise, 1, in, want, &err), 0);
    CHECK_INT(model_run(narrow, 1, in, got, &err), 0);
    const double db = psnr(got, want, values);
    const size_t held = model_bytes(narrow).host, estimated = model_estimate(narrow, 1).host;
    printf("# %s: %.1f dB (%s), %zu of %zu KB, f32 %zu\n", strrchr(path, '/') + 1, db, chosen->name,
           held >> 10, estimated >> 10, model_bytes(precise).host >> 10);
    CHECK(held <= estimated && held < model_bytes(precise).host);
    free(in);
    free(want);
    free(got);
    model_close(&precise);
    model_close(&narrow);
    return db;
}

static void our_portraits_stay_above_the_limit(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/../models/portrait-drawing.safetensors",
             getenv("DARKROOM_TESTS"));
    choose_fastest();
    CHECK(compare(path, 128) >= LIMIT_DB);
    chosen = &tiles_amx_emulated;
    CHECK(compare(path, 64) >= LIMIT_DB);
}

static void networks_of_others_stay_above_the_limit(void)
{
    static const char *const names[] = {
        "cartoongan_hosoda.f16.safetensors", "cartoongan_paprika.f16.safetensors",
        "fst_wave.safetensors", "fst_udnie.safetensors", "fast_srgan_x4.pt"};
    const char *folder = getenv("DARKROOM_TEST_WEIGHTS");
    if (!folder) {
        printf("# skipped: DARKROOM_TEST_WEIGHTS names no folder\n");
        return;
    }
    double least = INFINITY;
    choose_fastest();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        least = fmin(least, compare(path, 64));
    }
    CHECK(least >= LIMIT_DB);
}

/* Each of 32 pictures alone, then all 32 at once, in a turned order, with other threads. */
static void bytes_do_not_depend_on_batch_slot_or_threads(void)
{
    enum { BATCH = 32, SIZE = 36 };
    choose_fastest();
    struct model *one = open_model(golden_path("light"), MODEL_BF16, SIZE, 1);
    struct model *many = open_model(golden_path("light"), MODEL_BF16, SIZE, 2);
    CHECK(one && many);
    const size_t in_values = model_info(one)->in_values, out_values = model_info(one)->out_values;
    float *in = malloc(BATCH * in_values * sizeof *in);
    float *turned = malloc(BATCH * in_values * sizeof *turned);
    float *want = malloc(BATCH * out_values * sizeof *want);
    float *got = malloc(BATCH * out_values * sizeof *got);
    for (size_t i = 0; i < BATCH * in_values; i++)
        in[i] = sinf((float)i * 0.37f + (float)(i % 11));
    for (size_t n = 0; n < BATCH; n++) {
        memcpy(turned + n * in_values, in + (n * 5 + 3) % BATCH * in_values,
               in_values * sizeof *in);
        CHECK_INT(model_run(one, 1, in + n * in_values, want + n * out_values, NULL), 0);
    }
    for (int batch = 1; batch <= BATCH; batch = batch < 4 ? batch + 1 : batch * 2) {
        CHECK_INT(model_run(many, batch, turned, got, NULL), 0);
        for (size_t n = 0; n < (size_t)batch; n++)
            CHECK(memcmp(got + n * out_values, want + (n * 5 + 3) % BATCH * out_values,
                         out_values * sizeof *got) == 0);
    }
    free(in);
    free(turned);
    free(want);
    free(got);
    model_close(&one);
    model_close(&many);
}

/* The attention's first weight, in front of a convolution whose ReLU must not swallow it. */
static void nan_in_the_weights_names_a_layer(void)
{
    static unsigned char bytes[1 << 20];
    char path[] = "/tmp/darkroom-bf16-XXXXXX";
    struct err err = {0};
    FILE *file = fopen(golden_path("light"), "rbe");
    CHECK(file != NULL);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const size_t header = (size_t)(bytes[0] | bytes[1] << 8);
    bytes[8 + header] = 0x00;
    bytes[8 + header + 1] = 0x7e; /* NaN */
    const int fd = mkstemp(path);
    CHECK_INT(write(fd, bytes, size), size);
    close(fd);
    choose_fastest();
    struct model *model = open_model(path, MODEL_BF16, 16, 1);
    unlink(path);
    CHECK(model != NULL);
    float in[3 * 16 * 16] = {0.5f}, out[3 * 16 * 16];
    const int rc = model_run(model, 1, in, out, &err);
    model_close(&model);
    CHECK_INT(rc, ERR_CORRUPT);
    CHECK_HAS(err.text, "NaN or infinity");
}

static void f16_is_refused_in_words(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/../models/digits.safetensors", getenv("DARKROOM_TESTS"));
    options.precision = MODEL_F16;
    CHECK_INT(model_open(path, &options, &model, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "f16");
}

int main(void)
{
    RUN(our_portraits_stay_above_the_limit);
    RUN(networks_of_others_stay_above_the_limit);
    RUN(bytes_do_not_depend_on_batch_slot_or_threads);
    RUN(nan_in_the_weights_names_a_layer);
    RUN(f16_is_refused_in_words);
    return check_report();
}
