/* SPDX-License-Identifier: MIT
 *
 * A network as a row of steps over one piece of memory; compile.c makes it, plan.c runs it.
 *
 * Between two convolutions the layers norm, ReLU, add, upsample and the next one's padding are one
 * pass over the picture: compile.c keeps a norm as "scale and shift still to be applied" until
 * somebody needs the values. Pictures of a batch run one after another: that is why a picture's
 * bytes cannot depend on its batch, and two cores are busy with one picture already.
 * A plan belongs to one thread at a time. */
#ifndef DARKROOM_GPU_CPU_PLAN_H
#define DARKROOM_GPU_CPU_PLAN_H

#include "gpu/cpu/arena.h"
#include "gpu/cpu/conv.h"
#include "gpu/cpu/sweep.h"
#include "gpu/network.h"

/* Activations live in numbered buffers until their places in the arena are known. */
struct operand {
    struct view view; /* data is set when the arena is laid out */
    int buffer;       /* -1: none */
    int64_t origin;   /* values from the buffer's start to the view's first pixel */
};

enum activation { ACTIVATION_NONE, ACTIVATION_TANH, ACTIVATION_SIGMOID };

enum step_kind {
    STEP_PACK,        /* input or vector, as planes -> padded channels-last */
    STEP_CONV,        /* src -> dst, perhaps with its moments */
    STEP_NORM,        /* moments of src -> scale and shift */
    STEP_APPLY,       /* scale, shift, slope, add, padding: src -> dst */
    STEP_PLANES,      /* the same -> planes */
    STEP_PLANES_CONV, /* few outputs: planes -> planes */
    STEP_MEAN,        /* src -> vector */
    STEP_CONNECTED,   /* vector, planes or input -> vector */
    STEP_RELU,        /* vector -> vector */
    STEP_OUTPUT,      /* planes or vector -> the caller's output, perhaps through an activation */
    STEP_HEAT_MAP     /* planes -> the sums over them, `count` values behind the output's begin */
};

struct step {
    enum step_kind kind;
    const struct layer *layer; /* borrowed: what an error names */
    struct operand src, dst, other;
    const struct conv *conv;         /* CONV, NORM: that took src's moments; borrowed */
    const float *weight;             /* PLANES_CONV; borrowed */
    float *scale, *shift;            /* NORM writes, the others read; nullable there */
    const float *slope;              /* CONV, APPLY, PLANES; nullable */
    const float *bias;               /* PLANES_CONV; nullable */
    const float *gamma, *beta, *rho; /* NORM: [C rounded up]; NULL for an instance norm */
    const float *in_vector;          /* PACK, CONNECTED, RELU, OUTPUT; nullable */
    float *out_vector;               /* MEAN, CONNECTED, RELU */
    int64_t count;                   /* values of in_vector or planes; OUTPUT: of the output */
    enum activation activation;      /* OUTPUT */
    struct padding padding;
};

#define PLAN_MAX_STEPS 512
#define PLAN_MAX_OWNED 1024

struct plan {
    struct step steps[PLAN_MAX_STEPS];
    int step_count;
    struct arena arena;                     /* without memory until the first run */
    struct conv *convs[NETWORK_MAX_LAYERS]; /* owned; by layer */
    void *owned[PLAN_MAX_OWNED];            /* weights and vectors; freed with the plan */
    int owned_count;
    size_t owned_bytes;
    void *scratch;           /* owned; for oneDNN */
    double *sums;            /* owned; for sweep_moments() */
    struct moments *moments; /* owned; [greatest channel count] */
    size_t scratch_bytes, sums_count, moments_count;
    struct conv_machine machine;
    int threads;
    /* Borrowed; nullable: of the same network for pictures of another size. Its packed weights are
     * used, and it stays for as long. */
    const struct plan *like;
};

/* Fills *plan, which is all zero but for machine, threads and like. On failure the caller still
 * calls plan_fini(). The network stays until then. */
int plan_compile(struct plan *plan, const struct network *network, struct err *err);

/* Makes the memory that a run needs; harmless twice. */
int plan_prepare(struct plan *plan, struct err *err);

/* One picture. ERR_CORRUPT names the layer that gave NaN or infinity. */
int plan_run(struct plan *plan, const float *input, float *output, struct err *err);

void plan_fini(struct plan *plan);

/* What it holds now. */
size_t plan_bytes(const struct plan *plan);

/* Zeroed, aligned memory that the plan frees; NULL without memory. */
float *plan_floats(struct plan *plan, int64_t count);

#endif
