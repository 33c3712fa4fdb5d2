/* SPDX-License-Identifier: MIT
 *
 * How long a weights file takes to open, and to be read to its last byte, from the page cache:
 *
 *     weights_bench FILE...
 *
 * One line for each: median of eleven openings, and of five with every tensor added up. */
#include "common/clock.h"
#include "common/err.h"
#include "gpu/weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPENINGS = 11, READINGS = 5 };

static volatile uint64_t total; /* keeps the compiler from dropping the reads */

static void read_all(const struct weights *weights)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        weights_at(weights, i, &tensor);
        const unsigned char *bytes = tensor.data;
        size_t size = tensor_bytes(&tensor);
        for (size_t at = 0; at + 8 <= size; at += 8) {
            uint64_t word;
            memcpy(&word, bytes + at, sizeof word);
            sum += word;
        }
    }
    total = sum;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Median in milliseconds; negative after an error, which has been printed. */
static double measure(const char *path, int runs, bool read, size_t *out_tensors)
{
    double ms[OPENINGS];
    for (int i = 0; i < runs; i++) {
        struct weights *weights = NULL;
        struct err err = {0};
        int64_t start_us = clock_us();
        if (weights_open(path, &weights, &err) < 0) {
            fprintf(stderr, "%s: %s\n", path, err.text);
            return -1;
        }
        if (read)
            read_all(weights);
        *out_tensors = weights_count(weights);
        weights_close(&weights);
        ms[i] = (double)(clock_us() - start_us) / 1e3;
    }
    qsort(ms, (size_t)runs, sizeof *ms, compare);
    return ms[runs / 2];
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t tensors = 0;
        double read_ms = measure(argv[i], READINGS, true, &tensors);
        double open_ms = measure(argv[i], OPENINGS, false, &tensors);
        if (open_ms < 0 || read_ms < 0)
            return EXIT_FAILURE;
        const char *name = strrchr(argv[i], '/');
        printf("%-24s darkroom  open %8.2f ms   open and read %8.2f ms   %zu tensors\n",
               name ? name + 1 : argv[i], open_ms, read_ms, tensors);
    }
    return EXIT_SUCCESS;
}
