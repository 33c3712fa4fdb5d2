/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"

static struct value new_vector(struct compiler *c, const struct layer *l)
{
    return (struct value){.kind = VALUE_VECTOR,
                          .at = compiler_nothing,
                          .vector = compiler_floats(c, view_round_up(l->c))};
}

/* A step that reads and writes vectors. */
static struct step step_of(enum step_kind kind, const struct layer *l, const struct value *v,
                           const struct value *made)
{
    return (struct step){
        .kind = kind,
        .layer = l,
        .src = compiler_nothing,
        .dst = compiler_nothing,
        .other = compiler_nothing,
        .in_vector = v->vector,
        .out_vector = made->vector,
        .count = l->c,
    };
}

struct value vectors_relu(struct compiler *c, const struct layer *l)
{
    const struct value made = new_vector(c, l);
    compiler_emit(c, step_of(STEP_RELU, l, &c->values[l->input], &made));
    return made;
}

struct value vectors_mean(struct compiler *c, const struct layer *l)
{
    const struct value v = value_settle(c, l, &c->values[l->input]), made = new_vector(c, l);
    struct step step = step_of(STEP_MEAN, l, &v, &made);
    step.src = v.at;
    compiler_reserve_moments(c, &v.at.view);
    compiler_emit(c, step);
    return made;
}

struct value vectors_connected(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    const struct value made = new_vector(c, l);
    struct step step = step_of(STEP_CONNECTED, l, &v, &made);
    if (v.kind == VALUE_PICTURE) {
        if (v.doubled || v.cam)
            v = value_settle(c, l, &v);
        step.src = value_planes(c, &c->network->layers[l->input], &v, (struct padding){0});
    }
    compiler_emit(c, step);
    return made;
}

struct value vectors_reshape(struct compiler *c, const struct layer *l)
{
    const struct value v = c->values[l->input];
    struct value made = {.kind = VALUE_PICTURE, .form = {.layout = VIEW_CHANNELS_LAST}};
    if (v.kind != VALUE_VECTOR) {
        compiler_refuse(c, l);
        return v;
    }
    made.at = compiler_picture(c, view_round_up(l->c), l->h, l->w, made.form);
    struct step step = step_of(STEP_PACK, l, &v, &made);
    step.dst = made.at;
    compiler_emit(c, step);
    return made;
}
