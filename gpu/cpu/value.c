/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"
#include "gpu/cpu/planes.h"

struct form value_loose_form(void)
{
    return (struct form){.layout = VIEW_BLOCKED};
}

bool value_is_plain(const struct value *v)
{
    return v->kind == VALUE_PICTURE && !v->scale && !v->slope && !v->doubled && !v->cam;
}

bool value_has_form(const struct value *v, struct form form)
{
    const struct padding a = v->form.padding, b = form.padding;
    return value_is_plain(v) && !v->at.view.doubled && v->form.type == form.type &&
           v->form.layout == form.layout && a.before == b.before && a.after == b.after &&
           (a.mode == b.mode || a.before + a.after == 0);
}

struct value value_apply(struct compiler *c, const struct layer *layer, const struct value *v,
                         const struct operand *other, struct form form)
{
    const struct view *from = &v->at.view;
    struct value made = {.kind = VALUE_PICTURE, .form = form};
    made.at = compiler_picture(c, from->blocks * VIEW_BLOCK, from->h, from->w, form);
    compiler_emit(c, (struct step){.kind = STEP_APPLY,
                                   .layer = layer,
                                   .src = v->at,
                                   .dst = made.at,
                                   .other = other ? *other : compiler_nothing,
                                   .scale = v->scale,
                                   .shift = v->shift,
                                   .slope = v->slope,
                                   .padding = form.padding});
    return made;
}

struct value value_double(struct compiler *c, const struct layer *layer, const struct value *v)
{
    struct value low = *v;
    low.doubled = false;
    /* Nearest neighbour is a way of looking: both phases at distance 0. */
    if (low.at.view.doubled)
        low = value_apply(c, layer, &low, NULL, value_loose_form());
    low.at.view.doubled = true;
    low.at.view.phase_x = low.at.view.phase_y = 0;
    low.at.view.h *= 2;
    low.at.view.w *= 2;
    return low;
}

struct value value_settle(struct compiler *c, const struct layer *layer, const struct value *v)
{
    if (v->kind != VALUE_PICTURE || v->cam) {
        compiler_refuse(c, layer);
        return *v;
    }
    struct value low = *v;
    low.doubled = false;
    if (!value_is_plain(&low) || low.at.view.type != TENSOR_F32)
        low = value_apply(c, layer, &low, NULL, value_loose_form());
    return v->doubled ? value_double(c, layer, &low) : low;
}

struct operand value_planes(struct compiler *c, const struct layer *source, const struct value *v,
                            struct padding padding)
{
    const int64_t around = padding.before + padding.after;
    const int64_t wide = (source->w + around + 15) / 16 * 16 + PLANES_SLACK;
    const int64_t row = around ? wide : source->w;
    struct operand made = {
        .view = {.block = row * (source->h + around), .row = row, .pixel = 1},
        .origin = padding.before * (row + 1),
    };
    made.buffer =
        compiler_buffer(c, (made.view.block * source->c + PLANES_SLACK) * (int64_t)sizeof(float));
    compiler_emit(c, (struct step){.kind = STEP_PLANES,
                                   .layer = source,
                                   .src = v->at,
                                   .dst = made,
                                   .other = compiler_nothing,
                                   .scale = v->scale,
                                   .shift = v->shift,
                                   .slope = v->slope,
                                   .padding = padding});
    return made;
}
