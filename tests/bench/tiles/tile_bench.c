/* SPDX-License-Identifier: MIT
 *
 * The bf16 convolutions of gpu/cpu/tiles alone, layer by layer, with each of the block kernels that
 * this machine has:
 *
 *     tile-bench [--seconds 0.3] [--kernel NAME] [--cpu-time]
 *
 * with OMP_NUM_THREADS threads; CPU time is of the whole process, and for one thread.
 * One line per kernel and layer, the last one per kernel the sum over one U-GAT-IT light at
 * 256x256. */
#include "common/clock.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/tiles/tile_conv.h"
#include "gpu/tensor.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shape {
    const char *name;
    int inputs, outputs, size, kernel, stride;
    bool phases;
    int times;  /* in U-GAT-IT light */
    int useful; /* outputs that the layer really has; 0: all */
};

static const struct shape shapes[] = {
    {"7x7 3->64 @256", 3, 64, 256, 7, 1, false, 1, 0},
    {"3x3 64->128 @256 stride 2", 64, 128, 256, 3, 2, false, 1, 0},
    {"3x3 128->256 @128 stride 2", 128, 256, 128, 3, 2, false, 1, 0},
    {"3x3 256->256 @64", 256, 256, 64, 3, 1, false, 16, 0},
    {"1x1 256->256 @64", 256, 256, 64, 1, 1, false, 1, 0},
    {"doubled 256->128 @64", 256, 512, 64, 2, 1, true, 1, 0},
    {"doubled 128->64 @128", 128, 256, 128, 2, 1, true, 1, 0},
    {"7x7 64->3 @256", 64, 16, 256, 7, 1, false, 1, 3},
    {"3x3 128->128 @128", 128, 128, 128, 3, 1, false, 0, 0},
    {"3x3 64->64 @256", 64, 64, 256, 3, 1, false, 0, 0},
    {"9x9 3->32 @256", 3, 32, 256, 9, 1, false, 0, 0},
};

#define COUNT (sizeof shapes / sizeof *shapes)

/* On a machine that others use as well, the time of one thread tells more. */
static bool cpu_time;

static int64_t now_us(void)
{
    return cpu_time ? (int64_t)clock() * 1000000 / CLOCKS_PER_SEC : clock_us();
}

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory)
        exit(1);
    memset(memory, 0, bytes);
    return memory;
}

/* Best seconds of one convolution. */
static double measure(const struct tile_conv *conv, double seconds)
{
    const struct tile_conv_spec *s = &conv->spec;
    const size_t values = (size_t)s->h * (size_t)s->w * (size_t)s->inputs;
    uint16_t *src = allocate((values + TILE_CONV_SLACK) * sizeof *src);
    float *dst =
        allocate((size_t)conv->out_h * (size_t)conv->out_w * (size_t)s->outputs * sizeof *dst);
    struct tile_part *parts = allocate(tile_conv_parts(conv) * sizeof *parts);
    for (size_t i = 0; i < values; i++)
        src[i] = tensor_f32_to_bf16((float)(i % 251) / 125 - 1);
    double best = 1e9;
    const int64_t end_us = now_us() + (int64_t)(seconds * 1e6);
    for (int runs = 0; runs < 3 || now_us() < end_us; runs++) {
        const int64_t begin_us = now_us();
        tile_conv_run(conv, src, dst, parts);
        const double took = (double)(now_us() - begin_us) / 1e6;
        best = took < best ? took : best;
    }
    free(src);
    free(dst);
    free(parts);
    return best;
}

static double run(const struct tile_functions *f, const struct shape *shape, double seconds)
{
    struct tile_conv *conv;
    const int pad = shape->phases ? 2 : shape->kernel - shape->stride;
    const struct tile_conv_spec spec = {
        .inputs = shape->inputs,
        .outputs = shape->outputs,
        .h = shape->size + pad,
        .w = shape->size + pad,
        .kernel = shape->kernel,
        .stride = shape->stride,
        .phases = shape->phases,
    };
    const size_t weights = (size_t)shape->outputs * (size_t)shape->inputs * (size_t)shape->kernel *
                           (size_t)shape->kernel;
    float *values = allocate(weights * sizeof *values);
    for (size_t i = 0; i < weights; i++)
        values[i] = (float)(i % 127) / 640 - 0.1f;
    if (tile_conv_create(&spec, f, values, NULL, &conv) < 0)
        exit(1);
    free(values);
    const double took = measure(conv, seconds);
    const double outputs = shape->useful ? shape->useful : shape->outputs;
    const double flops =
        2.0 * outputs * shape->inputs * shape->kernel * shape->kernel * conv->out_h * conv->out_w;
    printf("%-7s %-28s %8.3f ms %8.1f GFLOP/s\n", f->name, shape->name, took * 1e3,
           flops / took / 1e9);
    fflush(stdout);
    tile_conv_destroy(&conv);
    return took;
}

int main(int argc, char **argv)
{
    double seconds = 0.3;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(next, NULL);
        else if (strcmp(argv[i], "--kernel") == 0)
            only = next;
        else if (strcmp(argv[i], "--cpu-time") == 0)
            cpu_time = true;
    }
    const struct tile_functions *functions[TILES_MAX_FUNCTIONS];
    const int count = tiles_available(functions);
    printf("%d threads\n", omp_get_max_threads());
    for (int k = 0; k < count; k++) {
        double sum = 0;
        if (only && strcmp(only, functions[k]->name) != 0)
            continue;
        for (size_t i = 0; i < COUNT; i++)
            sum += shapes[i].times * run(functions[k], &shapes[i], seconds);
        printf("%-7s %-28s %8.3f ms\n", functions[k]->name, "convolutions of light", sum * 1e3);
    }
    return 0;
}
