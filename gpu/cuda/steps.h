/* SPDX-License-Identifier: MIT
 *
 * A network as a row of launches: lower.c makes it, arena.c lays its buffers out, upload.c brings
 * its weights to the device, execute.c launches it.
 *
 * A step works on *buffers* (activations, partial sums, factors, vectors), which live from the step
 * that writes them to the last that reads them and share one arena, and on *blobs* (packed
 * weights), which lie one behind the other in one allocation. Sizes of buffers are of one picture:
 * a batch has as many, one behind the other.
 * Plain data: of shapes alone, it needs no GPU. */
#ifndef DARKROOM_GPU_CUDA_STEPS_H
#define DARKROOM_GPU_CUDA_STEPS_H

#include "gpu/cuda/kernels.h"
#include "gpu/network.h"

enum step_kind {
    STEP_FROM_PLANES, /* floats as the caller, or a connected layer, gives them -> activations */
    STEP_CONV,        /* also transposed ones; with bias, activation, upsampling before it, pixel
                         shuffle behind it, and sums for a norm or a mean */
    STEP_FACTORS,     /* those sums -> scale and shift */
    STEP_APPLY,       /* scale, shift, activation, then plus another picture */
    STEP_MEAN,        /* sums -> vector */
    STEP_CONNECTED,   /* vector -> vector */
    STEP_CONNECTED_PICTURE, /* activations -> vector */
    STEP_TO_PLANES,         /* activations -> the output */
    STEP_TO_VECTOR,         /* vector -> the output */
    STEP_HEAT_MAP           /* activations -> the output's second part */
};

/* Buffers that are not in the arena. */
#define BUFFER_NONE (-1)
#define BUFFER_INPUT (-2) /* floats [C,H,W] as the caller gives them */

#define STEPS_MAX (3 * NETWORK_MAX_LAYERS)
#define BLOBS_MAX (4 * NETWORK_MAX_LAYERS)

struct buffer {
    size_t bytes;    /* of one picture, whole units of BUFFER_ALIGNMENT */
    int first, last; /* steps that use it */
    size_t offset;   /* in the arena, of one picture */
};

#define BUFFER_ALIGNMENT 256

enum blob_kind {
    BLOB_CONV,   /* kernel_conv_pack() */
    BLOB_ROWS,   /* kernel_connected_pack(), row by row */
    BLOB_MATRIX, /* floats [outputs][inputs] */
    BLOB_VECTOR, /* floats of one tensor, zeros up to `count` */
    BLOB_SLOPE,  /* the same, a single value repeated */
    BLOB_BIAS,   /* of a connected layer with a folded batch norm */
    BLOB_SCALE,  /* a batch norm that nothing could take in, as factors */
    BLOB_SHIFT
};

struct blob {
    enum blob_kind kind;
    int step;                    /* CONV, ROWS: the one that it belongs to */
    int layer;                   /* whose weights they are */
    int cam, batch, slope;       /* layers that are folded in; -1: none */
    const struct tensor *tensor; /* VECTOR, SLOPE; borrowed from the network */
    int64_t count;               /* floats, but for CONV and ROWS */
    size_t bytes, offset;        /* in the allocation of all of them */
};

struct step {
    enum step_kind kind;
    int layer;                              /* what an error names */
    int in, other, out;                     /* buffers */
    int partials, scale, shift;             /* buffers; FACTORS writes the last two */
    int gamma, beta;                        /* buffers: adaptive norms */
    int weight, bias, rho;                  /* blobs; -1: none */
    int gamma_blob, beta_blob;              /* trained norms */
    int scale_blob, shift_blob, slope_blob; /* APPLY */
    int channels, pixels;                   /* of a picture that is read or written */
    int inputs, outputs, tiles;
    enum kernel_act act;
    struct kernel_conv conv;           /* CONV */
    struct kernel_norm norm;           /* FACTORS: without pictures */
    struct kernel_connected connected; /* CONNECTED_PICTURE */
};

struct steps {
    const struct network *network; /* borrowed */
    enum kernel_type type;
    int arch; /* 10 * major + minor */
    struct step step[STEPS_MAX];
    int count;
    struct buffer buffer[STEPS_MAX];
    int buffer_count;
    struct blob blob[BLOBS_MAX];
    int blob_count;
    size_t arena_bytes;      /* of one picture */
    size_t workspace_floats; /* of one picture */
    size_t weight_bytes;
    size_t in_values, out_values, heat_values; /* floats of one picture */
};

/* Fills *out_steps. ERR_UNSUPPORTED names the layer that the kernels cannot do. */
int steps_lower(const struct network *network, enum kernel_type type, int arch,
                struct steps *out_steps, struct err *err);

/* Gives every buffer its place, so that no two that live at once overlap. */
void steps_lay_out(struct steps *steps);

#endif
