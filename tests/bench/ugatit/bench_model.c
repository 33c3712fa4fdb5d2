/* SPDX-License-Identifier: MIT
 *
 *     bench-model WEIGHTS [--device cpu] [--precision f32] [--threads 2] [--size 256] [--runs 10]
 *                 [--input IN.bin] [--output OUT.bin]
 *
 * Opens a model as a worker does and times it: one line of JSON. IN and OUT are raw float32 NCHW.
 */
#include "common/clock.h"
#include "common/err.h"
#include "gpu/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct arguments {
    const char *weights, *device, *precision, *input, *output;
    int threads, size, runs;
    bool no_winograd;
};

static int parse(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){.device = "cpu", .precision = "f32", .threads = 2, .runs = 10};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (argv[i][0] != '-') {
            a->weights = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--no-winograd") == 0) {
            a->no_winograd = true;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--device") == 0)
            a->device = next;
        else if (strcmp(argv[i - 1], "--precision") == 0)
            a->precision = next;
        else if (strcmp(argv[i - 1], "--threads") == 0)
            a->threads = (int)strtol(next, NULL, 10);
        else if (strcmp(argv[i - 1], "--size") == 0)
            a->size = (int)strtol(next, NULL, 10);
        else if (strcmp(argv[i - 1], "--runs") == 0)
            a->runs = (int)strtol(next, NULL, 10);
        else if (strcmp(argv[i - 1], "--input") == 0)
            a->input = next;
        else if (strcmp(argv[i - 1], "--output") == 0)
            a->output = next;
        else
            return -1;
    }
    return a->weights && a->runs >= 0 ? 0 : -1;
}

static int move_floats(const char *path, const char *mode, float *values, size_t count)
{
    if (!path)
        return 0;
    FILE *file = fopen(path, mode);
    size_t moved = 0;
    if (file && mode[0] == 'r')
        moved = fread(values, sizeof *values, count, file);
    else if (file)
        moved = fwrite(values, sizeof *values, count, file);
    if (file && fclose(file) != 0)
        moved = 0;
    if (moved != count)
        fprintf(stderr, "%s: not %zu floats\n", path, count);
    return moved == count ? 0 : -1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(const struct arguments *a, struct model *model, double open_ms)
{
    const struct model_info *info = model_info(model);
    struct err err = {0};
    float *in = malloc(info->in_values * sizeof *in);
    float *out = malloc(info->out_values * sizeof *out);
    double *ms = calloc((size_t)a->runs + 1, sizeof *ms); /* one more: there may be no runs */
    for (size_t i = 0; i < info->in_values; i++)
        in[i] = (float)((i * 2654435761u >> 8) % 2001) / 1000.0f - 1.0f;
    int rc = move_floats(a->input, "rb", in, info->in_values);
    double first_ms = 0;
    for (int i = -1; rc == 0 && i < a->runs; i++) {
        int64_t start = clock_us();
        rc = model_run(model, 1, in, out, &err);
        double took = (double)(clock_us() - start) / 1000.0;
        if (i < 0)
            first_ms = took;
        else
            ms[i] = took;
    }
    if (rc == 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        qsort(ms, (size_t)a->runs, sizeof *ms, by_value);
        printf("{\"best_ms\": %.1f, \"median_ms\": %.1f, \"first_ms\": %.1f, \"open_ms\": %.1f, "
               "\"rss_mb\": %ld, \"gmac\": %.2f}\n",
               ms[0], ms[a->runs / 2], first_ms, open_ms, usage.ru_maxrss / 1024,
               (double)info->multiply_adds / 1e9);
        rc = move_floats(a->output, "wb", out, info->out_values);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    free(in);
    free(out);
    free(ms);
    return rc;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    int64_t start = clock_us();
    if (parse(argc, argv, &a) < 0) {
        fprintf(stderr, "usage: bench-model WEIGHTS [--device cpu] [--precision f32] [--threads 2] "
                        "[--size 256] [--runs 10] [--no-winograd] [--input IN] [--output OUT]\n");
        return 64;
    }
    options.threads = a.threads;
    options.size = a.size;
    options.no_winograd = a.no_winograd;
    int rc = model_device_parse(a.device, &options.device, &err);
    if (rc == 0)
        rc = model_precision_parse(a.precision, &options.precision, &err);
    if (rc == 0)
        rc = model_open(a.weights, &options, &model, &err);
    if (rc == 0)
        rc = model_prepare(model, 1, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    else
        rc = measure(&a, model, (double)(clock_us() - start) / 1000.0);
    model_close(&model);
    return rc < 0 ? 1 : 0;
}
