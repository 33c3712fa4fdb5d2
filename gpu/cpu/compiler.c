/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"

#include "common/err.h"

const struct operand compiler_nothing = {.buffer = -1};

void compiler_fail(struct compiler *c, int rc)
{
    if (c->rc == 0)
        c->rc = rc;
}

void compiler_refuse(struct compiler *c, const struct layer *layer)
{
    const char *before = layer->input >= 0 ? c->network->layers[layer->input].name : "nothing";
    compiler_fail(c, err_set(c->err, ERR_UNSUPPORTED, layer->name,
                             "layer %s (%s) cannot follow layer %s on the CPU", layer->name,
                             layer_kind_name(layer->kind), before));
}

float *compiler_floats(struct compiler *c, int64_t count)
{
    float *made = plan_floats(c->plan, count);
    if (!made)
        compiler_fail(c, ERR_NOMEM);
    return made;
}

float *compiler_widen(struct compiler *c, const struct tensor *tensor)
{
    float *values = compiler_floats(c, view_round_up(tensor_count(tensor)));
    if (values)
        tensor_to_f32(tensor, values);
    return values;
}

int compiler_buffer(struct compiler *c, int64_t bytes)
{
    int buffer = arena_reserve(&c->plan->arena, bytes);
    if (buffer < 0)
        compiler_fail(c, buffer);
    return buffer;
}

static void use(struct plan *plan, const struct operand *operand)
{
    if (operand->buffer >= 0)
        arena_use(&plan->arena, operand->buffer, plan->step_count);
}

void compiler_emit(struct compiler *c, struct step step)
{
    struct plan *plan = c->plan;
    if (c->rc < 0)
        return;
    if (plan->step_count == PLAN_MAX_STEPS) {
        compiler_fail(c, ERR_LIMIT);
        return;
    }
    use(plan, &step.src);
    use(plan, &step.dst);
    use(plan, &step.other);
    plan->steps[plan->step_count++] = step;
}

struct operand compiler_picture(struct compiler *c, int channels, int64_t h, int64_t w,
                                struct form form)
{
    const int64_t around = form.padding.before + form.padding.after;
    const int64_t tall = h + around, wide = w + around;
    struct view view = {
        .type = form.type, .blocks = channels / VIEW_BLOCK, .h = (int)h, .w = (int)w};
    if (form.layout == VIEW_BLOCKED) {
        view.pixel = VIEW_BLOCK;
        view.row = wide * VIEW_BLOCK;
        view.block = tall * view.row;
    } else {
        view.pixel = channels;
        view.row = wide * channels;
        view.block = VIEW_BLOCK;
    }
    const int64_t bytes = tall * wide * channels * (int64_t)tensor_type_size(form.type);
    return (struct operand){
        .view = view,
        .buffer = compiler_buffer(c, bytes + (form.type == TENSOR_BF16 ? CONV_SLACK_BYTES : 0)),
        .origin = form.padding.before * (view.row + view.pixel),
    };
}

void compiler_reserve_moments(struct compiler *c, const struct view *view)
{
    const size_t sums = (size_t)sweep_scratch(view);
    const size_t channels = (size_t)view->blocks * VIEW_BLOCK;
    if (sums > c->plan->sums_count)
        c->plan->sums_count = sums;
    if (channels > c->plan->moments_count)
        c->plan->moments_count = channels;
}
