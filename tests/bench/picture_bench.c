/* SPDX-License-Identifier: MIT
 *
 * Milliseconds for each step of a picture's way through the worker, inference aside:
 *
 *     picture_bench [FILE]
 *
 * Without FILE the input is made here: a smooth scene with noise, once as a JPEG of 256 x 256, once
 * of 4000 x 3000 as a phone makes it. Each step is repeated for about a second; the median counts.
 */
#include "common/buf.h"
#include "common/err.h"
#include "common/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_RUNS = 400, SIDE = 256 };

static const struct picture_limits limits = {
    .max_bytes = 64 << 20, .max_pixels = PICTURE_MAX_PIXELS, .max_side = PICTURE_MAX_SIDE};

struct bench {
    struct buf file;       /* the JPEG */
    struct picture photo;  /* decoded */
    struct picture square; /* cropped and resized */
    struct buf png;
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "picture_bench: %s\n", err->text);
    exit(EXIT_FAILURE);
}

static void decode(struct bench *bench)
{
    struct err err = {0};
    picture_fini(&bench->photo);
    must(picture_decode(bench->file.data, bench->file.size, &limits, &bench->photo, &err), &err);
}

static void probe(struct bench *bench)
{
    struct err err = {0};
    struct picture_info info;
    must(picture_probe(bench->file.data, bench->file.size, &limits, &info, &err), &err);
}

static void resize(struct bench *bench)
{
    struct err err = {0};
    picture_fini(&bench->square);
    must(picture_resize(&bench->photo, SIDE, SIDE, PICTURE_ANTIALIAS, &bench->square, &err), &err);
}

static void encode(struct bench *bench)
{
    struct err err = {0};
    buf_clear(&bench->png);
    must(picture_encode(&bench->square, PICTURE_PNG, 0, NULL, &bench->png, &err), &err);
}

static double measure(void (*step)(struct bench *), struct bench *bench)
{
    double times[MAX_RUNS], begin = now_ms();
    int runs = 0;
    while (runs < 3 || (runs < MAX_RUNS && now_ms() - begin < 1000)) {
        double before = now_ms();
        step(bench);
        times[runs++] = now_ms() - before;
    }
    qsort(times, (size_t)runs, sizeof times[0], compare);
    return times[runs / 2];
}

/* Noise on waves: neither as easy as a gradient nor as hopeless as static. */
static void make_scene(struct bench *bench, int width, int height)
{
    struct picture scene = {0};
    struct err err = {0};
    uint32_t state = 1;
    must(picture_init(&scene, width, height, &err), &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                state = state * 1664525 + 1013904223;
                double wave = sin(x * (20.0 + c) / width) + cos(y * (17.0 - c) / height);
                scene.pixels[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)(120 + 45 * wave + (state >> 28));
            }
    must(picture_encode(&scene, PICTURE_JPEG, 90, NULL, &bench->file, &err), &err);
    picture_fini(&scene);
}

static void run(const char *name, struct bench *bench)
{
    double probe_ms = measure(probe, bench), decode_ms = measure(decode, bench);
    double resize_ms = measure(resize, bench), encode_ms = measure(encode, bench);
    printf("%-12s %5d x %-5d %8zu bytes  probe %.3f  decode %.2f  resize %.2f  encode %.2f "
           "(%zu bytes)  sum %.2f ms\n",
           name, bench->photo.width, bench->photo.height, bench->file.size, probe_ms, decode_ms,
           resize_ms, encode_ms, bench->png.size, probe_ms + decode_ms + resize_ms + encode_ms);
    picture_fini(&bench->photo);
    picture_fini(&bench->square);
    buf_fini(&bench->file);
    buf_fini(&bench->png);
}

static void bench_init(struct bench *bench)
{
    *bench = (struct bench){0};
    buf_init(&bench->file, limits.max_bytes);
    buf_init(&bench->png, limits.max_bytes);
}

int main(int argc, char **argv)
{
    struct bench bench;
    struct err err = {0};
    bench_init(&bench);
    if (argc > 1) {
        must(buf_read_file(&bench.file, argv[1], &err), &err);
        run("file", &bench);
        return EXIT_SUCCESS;
    }
    make_scene(&bench, SIDE, SIDE);
    run("256", &bench);
    bench_init(&bench);
    make_scene(&bench, 4000, 3000);
    run("phone", &bench);
    return EXIT_SUCCESS;
}
