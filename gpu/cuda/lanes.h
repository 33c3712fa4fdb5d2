/* SPDX-License-Identifier: MIT
 *
 * Pictures through the device: memory for a piece of a batch at a time, a graph for each size of
 * piece, and copies beside the computing.
 *
 *     rc = lanes_open(&lanes, &steps, weights, &err);
 *     rc = lanes_prepare(&lanes, batch, &err);            // memory and graphs that this batch
 * needs rc = lanes_run(&lanes, batch, input, output, &err); lanes_close(&lanes);
 *
 * A batch runs in pieces of up to LANES_PIECE pictures. There are two lanes, each with pinned and
 * device memory for a piece's input and output; pieces take them in turn. While one is computed the
 * next is copied into pinned memory and to the device, and the one before back, on streams of their
 * own. A piece of another size than 1, 2, 4 … runs as the next that fits, filled up with its last
 * picture: what a picture comes to does not depend on its neighbours.
 * Belongs to one thread at a time. */
#ifndef DARKROOM_GPU_CUDA_LANES_H
#define DARKROOM_GPU_CUDA_LANES_H

#include "gpu/cuda/steps.h"

struct err;
struct model_bytes;

/* From 4 pictures on every convolution fills the largest chip; more in a piece only leaves less to
 * copy beside the computing, and needs more memory. */
#define LANES_SIZES 4 /* 1, 2, 4, 8 */
#define LANES_PIECE (1 << (LANES_SIZES - 1))

struct lane {
    float *host_in, *host_out; /* owned; pinned: what `in` and `out` point to, for the host */
    char *in, *out;            /* owned; device. out: the bad layer's number, then output and heat
                                  maps of as many pictures as the piece has */
    cudaEvent_t arrived, computed, left; /* owned; the piece's copies and its graph */
    cudaGraphExec_t graph[LANES_SIZES];  /* owned; NULL: not recorded */
};

struct lanes {
    const struct steps *steps; /* borrowed */
    const char *weights;       /* borrowed; device */
    cudaStream_t inward, compute, outward;
    struct lane lane[2];
    int capacity;     /* pictures that memory is made for: a size, or 0 */
    char *arena;      /* owned */
    float *workspace; /* owned; NULL where no step needs it */
    bool warm;        /* every kernel has been loaded */
    bool plain;       /* launches without graphs: tests compare the two */
};

/* Zeroes and fills *lanes; what failed half-way lanes_close() takes. */
int lanes_open(struct lanes *lanes, const struct steps *steps, const char *weights,
               struct err *err);
/* After ERR_NOMEM a smaller batch may still fit. */
int lanes_prepare(struct lanes *lanes, int batch, struct err *err);
/* Prepared or not. ERR_CORRUPT names the layer that gave NaN or infinity. */
int lanes_run(struct lanes *lanes, int batch, const float *input, float *output, struct err *err);
void lanes_close(struct lanes *lanes);

/* What is held for a capacity of `batch`; the lanes' own: for what there is. */
struct model_bytes lanes_bytes(const struct steps *steps, int batch);

#endif
