/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"
#include "gpu/cpu/fold.h"
#include "gpu/cpu/planes.h"

#include "common/err.h"

int ahead_reader(const struct network *net, int i)
{
    for (int j = i + 1; j < net->count; j++) {
        const struct layer *l = &net->layers[j];
        if (l->input != i)
            continue;
        if (l->kind == LAYER_CONV)
            return j;
        if (l->kind == LAYER_UPSAMPLE || l->kind == LAYER_CAM)
            return ahead_reader(net, j);
    }
    return -1;
}

bool ahead_is_planes_conv(const struct network *net, int i)
{
    const struct layer *l = &net->layers[i];
    const bool last =
        i == net->count - 1 || (i == net->count - 2 && net->layers[i + 1].kind == LAYER_TANH);
    return last && l->c <= PLANES_MAX_OUTPUTS && l->stride == 1 && !l->bias.data &&
           net->layers[l->input].kind != LAYER_INPUT;
}

bool ahead_only_relu(const struct network *net, int i)
{
    for (int j = i + 1; j < net->count; j++) {
        const struct layer *l = &net->layers[j];
        bool reads = l->input == i || l->other == i || l->gamma_from == i || l->beta_from == i;
        if (reads && l->kind != LAYER_RELU)
            return false;
    }
    return i + 1 < net->count && net->layers[i + 1].input == i;
}

static bool reads_doubled(const struct network *net, const struct layer *conv)
{
    return net->layers[conv->input].kind == LAYER_UPSAMPLE;
}

struct padding ahead_padding(const struct network *net, int i)
{
    const struct layer *l = &net->layers[i];
    const bool folded = reads_doubled(net, l) && !ahead_is_planes_conv(net, i);
    return (struct padding){folded ? PADDING_REPLICATE : PADDING_REFLECT, l->pad, l->pad};
}

struct form ahead_form(const struct compiler *c, int i)
{
    if (ahead_is_planes_conv(c->network, i))
        return (struct form){TENSOR_F32, VIEW_PLANAR, ahead_padding(c->network, i)};
    return c->plan->convs[i]->form;
}

void ahead_make_conv(struct compiler *c, int i)
{
    const struct network *net = c->network;
    struct plan *plan = c->plan;
    const struct layer *l = &net->layers[i], *from = &net->layers[l->input];
    const bool doubled = reads_doubled(net, l);
    const struct layer *cam = from->kind == LAYER_CAM ? from : NULL;
    const struct layer *src = doubled || cam ? &net->layers[from->input] : from;
    const int inputs = src->kind == LAYER_INPUT ? (int)src->c : view_round_up(src->c);
    const bool nearest = doubled && l->kernel == 3 &&
                         conv_winograd_pays(&plan->machine, inputs, view_round_up(l->c));
    const struct fold fold = {
        /* The picture that comes in from outside is not in blocks. */
        .inputs = inputs,
        .outputs = view_round_up(l->c),
        .doubled = doubled && !nearest,
    };
    struct folded folded;
    int rc = fold_conv(l, cam, &fold, &folded);
    if (rc == 0) {
        struct conv_spec spec = {
            .name = l->name,
            .inputs = fold.inputs,
            .outputs = folded.outputs,
            .h = (int)(nearest ? from->h : src->h),
            .w = (int)(nearest ? from->w : src->w),
            .kernel = folded.kernel,
            .stride = l->stride,
            .padding = ahead_padding(net, i),
            .nearest = nearest,
            .relu = ahead_only_relu(net, i),
            .doubled = fold.doubled,
        };
        if (nearest)
            spec.padding.mode = PADDING_REFLECT;
        rc = conv_create(&plan->machine, &spec, folded.weights, folded.bias, &plan->convs[i],
                         c->err);
        fold_fini(&folded);
    }
    if (rc == 0 && plan->convs[i]->scratch_bytes > plan->scratch_bytes)
        plan->scratch_bytes = plan->convs[i]->scratch_bytes;
    if (rc < 0)
        compiler_fail(c, rc);
}
