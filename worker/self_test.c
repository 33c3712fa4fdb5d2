/* SPDX-License-Identifier: MIT */
#include "worker/self_test.h"

#include "common/base64.h"
#include "common/clock.h"
#include "common/err.h"
#include "gpu/model.h"
#include "gpu/models/cgan.h"
#include "gpu/pixels.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 4096.0f /* of a mean in a manifest */
#define DIGIT_SEED 2026
#define DIGIT 8

static_assert(SELF_TEST_TEXT > BASE64_LENGTH(2 * SELF_TEST_PLANES * SELF_TEST_CELLS), "a grid");

/* What is run on, and what came: the first run's rows are in front of the second's. */
struct bench {
    struct model *model;
    const struct model_info *info;
    float *input;  /* owned: [batch][in_values], all rows alike */
    float *output; /* owned: [1 + batch][out_values] */
    int batch;
};

/* ---- the input ------------------------------------------------------------------------------ */

/* Slopes in two directions, a chequered disc, and noise over all: something for each layer. */
static unsigned char pixel(int side, int x, int y, int plane, uint32_t *random)
{
    const int dx = 2 * x - side, dy = 2 * y - side;
    int value = plane == 0   ? 255 * x / side
                : plane == 1 ? 255 * y / side
                             : 255 - 128 * (x + y) / side;
    if (dx * dx + dy * dy < side * side / 2)
        value = ((16 * x / side) ^ (16 * y / side)) & 1 ? value / 2 : 255 - value / 2;
    *random = *random * 1664525 + 1013904223;
    value += (int)(*random >> 27) - 16;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static int draw(const struct model_info *info, float *input, struct err *err)
{
    struct picture picture = {0};
    uint32_t random = 1;
    if (info->input == MODEL_FROM_DIGITS) {
        cgan_input(DIGIT_SEED, 0, DIGIT, input);
        return 0;
    }
    int rc = picture_init(&picture, info->size, info->size, err);
    if (rc < 0)
        return rc;
    unsigned char *at = picture.pixels;
    for (int y = 0; y < info->size; y++)
        for (int x = 0; x < info->size; x++)
            for (int plane = 0; plane < 3; plane++)
                *at++ = pixel(info->size, x, y, plane, &random);
    pixels_to_tensor(picture.pixels, info->size, info->size, &info->format, input);
    picture_fini(&picture);
    return 0;
}

static int prepare(struct bench *bench, struct err *err)
{
    const struct model_info *info = bench->info;
    const size_t batch = (size_t)bench->batch;
    bench->input = malloc(batch * info->in_values * sizeof *bench->input);
    bench->output = calloc((1 + batch) * info->out_values, sizeof *bench->output);
    if (!bench->input || !bench->output)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a self-test");
    int rc = draw(info, bench->input, err);
    for (size_t i = 1; rc == 0 && i < batch; i++)
        memcpy(bench->input + i * info->in_values, bench->input,
               info->in_values * sizeof *bench->input);
    return rc;
}

/* ---- what came ------------------------------------------------------------------------------ */

/* The first run's values against each row of the second's. */
static int compare_runs(const struct bench *bench, struct err *err)
{
    const size_t count = bench->info->out_values;
    for (int row = 0; row < bench->batch; row++) {
        const float *one = bench->output, *other = one + (size_t)(row + 1) * count;
        if (memcmp(one, other, count * sizeof *one) == 0)
            continue;
        size_t at = 0;
        while (memcmp(&one[at], &other[at], sizeof *one) == 0)
            at++;
        return err_set(err, ERR_DEVICE, "device",
                       "the same picture gives %g once and %g in place %d of %d (value %zu)",
                       (double)one[at], (double)other[at], row + 1, bench->batch, at);
    }
    return 0;
}

static int check_finite(const struct bench *bench, struct err *err)
{
    for (size_t i = 0; i < bench->info->out_values; i++)
        if (!isfinite(bench->output[i]))
            return err_set(err, ERR_SELF_TEST, "self_test", "value %zu is %g", i,
                           (double)bench->output[i]);
    return 0;
}

/* Twice; where a layer gives what is no number, it must do so both times. */
static int run_twice(const struct bench *bench, struct err *err)
{
    struct err first_err = {0}, second_err = {0};
    int first = model_run(bench->model, 1, bench->input, bench->output, &first_err);
    if (first < 0 && first != ERR_CORRUPT)
        return err_set(err, first, first_err.field, "%s", first_err.text);
    int second = model_run(bench->model, bench->batch, bench->input,
                           bench->output + bench->info->out_values, &second_err);
    if (second < 0 && second != ERR_CORRUPT)
        return err_set(err, second, second_err.field, "%s", second_err.text);
    if (first != second)
        return err_set(err, ERR_DEVICE, "device", "of two equal runs one fails: %s",
                       first < 0 ? first_err.text : second_err.text);
    if (first < 0)
        return err_set(err, ERR_SELF_TEST, "self_test", "%s", first_err.text);
    int rc = compare_runs(bench, err);
    return rc == 0 ? check_finite(bench, err) : rc;
}

static float mean_of(const float *plane, int side, int row, int column)
{
    const int top = row * side / MANIFEST_GRID, bottom = (row + 1) * side / MANIFEST_GRID;
    const int left = column * side / MANIFEST_GRID, right = (column + 1) * side / MANIFEST_GRID;
    double sum = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            sum += (double)plane[y * side + x];
    return (float)(sum / ((bottom - top) * (right - left)));
}

static void read_grid(const struct bench *bench, struct self_test_grid *out_grid)
{
    const int side = bench->info->out_size;
    float *mean = out_grid->means;
    out_grid->planes = bench->info->input == MODEL_FROM_DIGITS ? 1 : SELF_TEST_PLANES;
    for (int plane = 0; plane < out_grid->planes; plane++)
        for (int row = 0; row < MANIFEST_GRID; row++)
            for (int column = 0; column < MANIFEST_GRID; column++)
                *mean++ = mean_of(bench->output + plane * side * side, side, row, column);
}

int self_test_measure(struct model *model, int batch, struct self_test_grid *out_grid,
                      struct err *err)
{
    struct bench bench = {.model = model, .info = model_info(model), .batch = batch};
    int rc = prepare(&bench, err);
    if (rc == 0)
        rc = run_twice(&bench, err);
    if (rc == 0)
        read_grid(&bench, out_grid);
    free(bench.input);
    free(bench.output);
    return rc;
}

static int open_small(struct model *model, struct model **out_small, struct err *err)
{
    if (model_info(model)->size < 2 * SELF_TEST_SMALL_SIZE)
        return err_set(err, ERR_UNSUPPORTED, "size", "the model's pictures are small as they are");
    return model_open_sized(model, SELF_TEST_SMALL_SIZE, out_small, err);
}

int self_test_measure_small(struct model *model, struct self_test_grid *out_grid, struct err *err)
{
    struct model *small = NULL;
    int rc = open_small(model, &small, err);
    if (rc == 0)
        rc = self_test_measure(small, 1, out_grid, err);
    model_close(&small);
    return rc;
}

/* ---- a manifest's grid ---------------------------------------------------------------------- */

void self_test_write(const struct self_test_grid *grid, char out_text[SELF_TEST_TEXT])
{
    unsigned char bytes[2 * SELF_TEST_PLANES * SELF_TEST_CELLS];
    const size_t count = (size_t)grid->planes * SELF_TEST_CELLS;
    for (size_t i = 0; i < count; i++) {
        const float scaled = fminf(fmaxf(grid->means[i] * STEPS, INT16_MIN), INT16_MAX);
        const unsigned steps = (unsigned)lrintf(scaled) & 0xffff;
        bytes[2 * i] = (unsigned char)(steps & 0xff);
        bytes[2 * i + 1] = (unsigned char)(steps >> 8);
    }
    base64_encode(BASE64_STANDARD, bytes, 2 * count, out_text);
}

/* As the manifest was checked, it can be read. */
static void parse_grid(const char *text, struct self_test_grid *out_grid)
{
    unsigned char bytes[2 * SELF_TEST_PLANES * SELF_TEST_CELLS] = {0};
    size_t size = 0;
    base64_decode(BASE64_STANDARD, text, strlen(text), bytes, sizeof bytes, &size);
    out_grid->planes = (int)(size / (2 * SELF_TEST_CELLS));
    for (size_t i = 0; i < size / 2; i++)
        out_grid->means[i] = (float)(int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8) / STEPS;
}

static int compare_grids(const struct self_test_grid *wanted, const struct self_test_grid *got,
                         double tolerance, double *out_worst, struct err *err)
{
    int worst = 0;
    double most = 0;
    for (int i = 0; i < got->planes * SELF_TEST_CELLS; i++) {
        const double off = fabs((double)got->means[i] - (double)wanted->means[i]);
        if (off > most) {
            most = off;
            worst = i;
        }
    }
    *out_worst = most;
    if (most <= tolerance)
        return 0;
    return err_set(
        err, ERR_SELF_TEST, "self_test",
        "the mean of plane %d, row %d, column %d is %.4f instead of %.4f (%g is allowed)",
        worst / SELF_TEST_CELLS, worst % SELF_TEST_CELLS / MANIFEST_GRID, worst % MANIFEST_GRID,
        (double)got->means[worst], (double)wanted->means[worst], tolerance);
}

/* ---- all of it ------------------------------------------------------------------------------ */

struct trial {
    const struct model_options *options;
    const struct manifest *manifest; /* nullable */
    const char *grid;                /* of the manifest; NULL: none is known */
    int batch;                       /* of the second run */
};

static int blame(const struct trial *trial, int size, int rc, const struct err *why,
                 struct err *err)
{
    const struct model_options *options = trial->options;
    struct err device = {0};
    char what[128];
    snprintf(what, sizeof what, "%s on %s-%s at %d pixels",
             trial->manifest ? trial->manifest->name : "the model",
             model_device_name(options->device), model_precision_name(options->precision), size);
    if (rc == ERR_SELF_TEST && model_check_device(options, &device) == ERR_DEVICE)
        return err_set(err, ERR_DEVICE, "device", "self-test of %s: %.90s; the device: %.90s", what,
                       why->text, device.text);
    if (rc == ERR_SELF_TEST && !trial->grid)
        return 0;
    return err_set(err, rc, why->field, "self-test of %s: %s%s", what, why->text,
                   rc == ERR_SELF_TEST ? "; for a changed model: darkroom-worker self-test --write"
                                       : "");
}

static int judge(struct model *model, const struct trial *trial,
                 struct self_test_report *out_report, struct err *err)
{
    struct self_test_report report = {.compared = trial->grid != NULL};
    struct self_test_grid got = {0}, wanted = {0};
    struct err why = {0};
    int rc = self_test_measure(model, trial->batch, &got, &why);
    report.finite = rc == 0;
    if (rc == 0 && report.compared) {
        parse_grid(trial->grid, &wanted);
        rc = wanted.planes == got.planes
                 ? compare_grids(&wanted, &got, trial->manifest->self_test_tolerance, &report.worst,
                                 &why)
                 : err_set(&why, ERR_SELF_TEST, "self_test", "the grid is of another network");
    }
    if (rc < 0)
        rc = blame(trial, model_info(model)->size, rc, &why, err);
    if (rc == 0)
        *out_report = report;
    return rc;
}

int self_test_run(struct model *model, const struct model_options *options,
                  const struct manifest *manifest, int batch, struct self_test_report *out_report,
                  struct err *err)
{
    const int64_t before_us = clock_us();
    const struct trial trial = {
        .options = options,
        .manifest = manifest,
        .grid = manifest ? manifest->self_test : NULL,
        .batch = batch,
    };
    int rc = judge(model, &trial, out_report, err);
    if (rc == 0)
        out_report->us = clock_us() - before_us;
    return rc;
}

int self_test_run_small(struct model *model, const struct model_options *options,
                        const struct manifest *manifest, struct self_test_report *out_report,
                        struct err *err)
{
    const int64_t before_us = clock_us();
    const struct trial trial = {
        .options = options,
        .manifest = manifest,
        .grid = manifest ? manifest->self_test_small : NULL,
        .batch = 1,
    };
    struct model *small = NULL;
    if (manifest && manifest->self_test && !trial.grid)
        return err_set(err, ERR_UNSUPPORTED, "self_test.small",
                       "the manifest has no grid of a small picture");
    int rc = open_small(model, &small, err);
    if (rc == 0)
        rc = judge(small, &trial, out_report, err);
    model_close(&small);
    if (rc == 0)
        out_report->us = clock_us() - before_us;
    return rc;
}
