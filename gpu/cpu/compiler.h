/* SPDX-License-Identifier: MIT
 *
 * What the files that compile a network into a plan share; nobody else includes it.
 *
 *     compile.c   layer by layer: what each makes of its input
 *     vectors.c   the same for layers that read or give vectors
 *     ahead.c     what will read a layer's result, and the convolutions with their weights
 *     value.c     a result that is not finished yet, and how to finish it
 *     compiler.c  steps, buffers, the sticky error
 *
 * A norm is kept as "scale and shift still to be applied", an upsampling as "to be looked at
 * twice", until somebody needs the values: so whatever lies between two convolutions is one pass.
 */
#ifndef DARKROOM_GPU_CPU_COMPILER_H
#define DARKROOM_GPU_CPU_COMPILER_H

#include "gpu/cpu/plan.h"

enum value_kind { VALUE_INPUT, VALUE_PICTURE, VALUE_PLANES, VALUE_VECTOR };

/* What is known of a layer's output while compiling. A picture's true values are
 * at * scale + shift, times slope where negative, perhaps doubled, perhaps times the attention's
 * weights. */
struct value {
    enum value_kind kind;
    struct operand at;
    float *scale, *shift;       /* NULL: nothing to apply */
    float *slope;               /* of what is negative then; NULL: 1 */
    enum activation activation; /* the network's last layer */
    bool doubled;               /* by an upsample layer, not by the view */
    const struct layer *cam;    /* the attention layer on top, or NULL */
    struct form form;           /* PICTURE: how `at` is padded */
    float *vector;
};

struct compiler {
    struct plan *plan;             /* borrowed */
    const struct network *network; /* borrowed */
    struct value values[NETWORK_MAX_LAYERS];
    struct err *err; /* borrowed; nullable */
    int rc;          /* sticky: 0, or the first error */
};

/* ---- compiler.c ---- */
extern const struct operand compiler_nothing;

void compiler_fail(struct compiler *c, int rc);
/* ERR_UNSUPPORTED: `layer` cannot follow its input. */
void compiler_refuse(struct compiler *c, const struct layer *layer);
/* Zeroed, kept by the plan; NULL after an error. */
float *compiler_floats(struct compiler *c, int64_t count);
/* A tensor's values, with zeros up to whole blocks. */
float *compiler_widen(struct compiler *c, const struct tensor *tensor);
/* Reserves what sweep_moments() needs for this view. */
void compiler_reserve_moments(struct compiler *c, const struct view *view);
int compiler_buffer(struct compiler *c, int64_t bytes);
void compiler_emit(struct compiler *c, struct step step);
/* A new picture of `channels` in this form, whole blocks unless they are last; its view shows the
 * inside. */
struct operand compiler_picture(struct compiler *c, int channels, int64_t h, int64_t w,
                                struct form form);

/* ---- value.c ---- */
/* Not padded, in blocks: where nothing else is asked for. */
struct form value_loose_form(void);
/* Whether a picture has nothing left to apply. */
bool value_is_plain(const struct value *v);
bool value_has_form(const struct value *v, struct form form);
/* Computes `v`, plus `other` if there is one, in `form`; what it makes is plain. */
struct value value_apply(struct compiler *c, const struct layer *layer, const struct value *v,
                         const struct operand *other, struct form form);
/* An unfinished picture seen doubled by nearest neighbour. */
struct value value_double(struct compiler *c, const struct layer *layer, const struct value *v);
/* A plain picture of f32, doubled if it was to be. */
struct value value_settle(struct compiler *c, const struct layer *layer, const struct value *v);
/* The values of `source` as padded planes; rows keep the slack that planes.h reads. */
struct operand value_planes(struct compiler *c, const struct layer *source, const struct value *v,
                            struct padding padding);

/* ---- vectors.c ---- */
struct value vectors_relu(struct compiler *c, const struct layer *l);
struct value vectors_mean(struct compiler *c, const struct layer *l);
struct value vectors_connected(struct compiler *c, const struct layer *l);
/* A vector as a picture. */
struct value vectors_reshape(struct compiler *c, const struct layer *l);

/* ---- ahead.c ---- */
/* The first convolution that reads layer `i`, through upsampling and attention; -1: none. */
int ahead_reader(const struct network *net, int i);
/* The network's last convolution, where it has few outputs and at most an activation behind it, and
 * vectors over pixels are the fastest for that. */
bool ahead_is_planes_conv(const struct compiler *c, int i);
/* Whether nothing but a ReLU reads layer `i`. */
bool ahead_only_relu(const struct network *net, int i);
/* Whether nothing but a pixel shuffle reads convolution `i`: it then gives the shuffle's result. */
bool ahead_is_shuffled(const struct network *net, int i);
/* The form that convolution `i`, transposed or not, wants its input in, once it is made. */
struct form ahead_form(const struct compiler *c, int i);
/* Channels of `source` as they lie in memory: whole blocks, but for a picture from outside that has
 * less than one; its zeros would be most of the work. */
int ahead_channels(const struct layer *source);
/* Makes convolution `i`, transposed or not, weights and all. */
void ahead_make_conv(struct compiler *c, int i);

#endif
