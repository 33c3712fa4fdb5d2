/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"
#include "gpu/cpu/fold.h"
#include "gpu/cpu/planes.h"
#include "gpu/cpu/tiles/tiles.h"

#include "common/err.h"

static bool reads(const struct layer *l, int i)
{
    return l->input == i || l->other == i || l->gamma_from == i || l->beta_from == i;
}

int ahead_reader(const struct network *net, int i)
{
    for (int j = i + 1; j < net->count; j++) {
        const struct layer *l = &net->layers[j];
        if (l->input != i)
            continue;
        if (l->kind == LAYER_CONV || l->kind == LAYER_DECONV)
            return j;
        if (l->kind == LAYER_UPSAMPLE || l->kind == LAYER_CAM)
            return ahead_reader(net, j);
    }
    return -1;
}

bool ahead_is_planes_conv(const struct compiler *c, int i)
{
    const struct network *net = c->network;
    const struct tile_functions *tiles = c->plan->machine.tiles;
    const struct layer *l = &net->layers[i];
    const bool last =
        i == net->count - 1 || (i == net->count - 2 && (net->layers[i + 1].kind == LAYER_TANH ||
                                                        net->layers[i + 1].kind == LAYER_SIGMOID));
    /* Matrix units are faster though they compute 16 outputs where 3 are asked for. */
    return !(tiles && tiles->matrix) && l->kind == LAYER_CONV && last &&
           l->c <= PLANES_MAX_OUTPUTS && l->stride == 1 && l->kernel <= PLANES_MAX_KERNEL &&
           net->layers[l->input].kind != LAYER_INPUT;
}

/* Whether nothing but layers of this kind read layer `i`, and there is one. */
static bool only_read_by(const struct network *net, int i, enum layer_kind kind)
{
    for (int j = i + 1; j < net->count; j++)
        if (reads(&net->layers[j], i) && net->layers[j].kind != kind)
            return false;
    return i + 1 < net->count && net->layers[i + 1].input == i;
}

bool ahead_only_relu(const struct network *net, int i)
{
    return only_read_by(net, i, LAYER_RELU);
}

bool ahead_is_shuffled(const struct network *net, int i)
{
    return net->layers[i].kind == LAYER_CONV && only_read_by(net, i, LAYER_SHUFFLE);
}

/* Whether the upsampling before this convolution can be folded into it: see fold.h. */
static bool folds_doubling(const struct network *net, int i)
{
    const struct layer *l = &net->layers[i];
    return net->layers[l->input].kind == LAYER_UPSAMPLE && l->kernel == 3 && l->stride == 1 &&
           l->pad == 1 && l->pad_end == 1 && !ahead_is_shuffled(net, i);
}

static struct padding padding_of(const struct layer *l)
{
    return (struct padding){l->zeros ? PADDING_ZERO : PADDING_REFLECT, l->pad, l->pad_end};
}

struct form ahead_form(const struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    if (ahead_is_planes_conv(c, i))
        return (struct form){TENSOR_F32, VIEW_PLANAR, padding_of(l)};
    return c->plan->convs[i]->form;
}

/* What is behind upsampling and attention. */
static const struct layer *source_of(const struct network *net, const struct layer *l)
{
    const struct layer *from = &net->layers[l->input];
    return from->kind == LAYER_UPSAMPLE || from->kind == LAYER_CAM ? &net->layers[from->input]
                                                                   : from;
}

int ahead_channels(const struct layer *source)
{
    return source->kind == LAYER_INPUT && source->c < VIEW_BLOCK ? (int)source->c
                                                                 : view_round_up(source->c);
}

static void create(struct compiler *c, int i, struct conv_spec spec, struct folded *folded)
{
    struct plan *plan = c->plan;
    spec.like = plan->like ? plan->like->convs[i] : NULL;
    int rc =
        conv_create(&plan->machine, &spec, folded->weights, folded->bias, &plan->convs[i], c->err);
    fold_fini(folded);
    if (rc == 0 && plan->convs[i]->scratch_bytes > plan->scratch_bytes)
        plan->scratch_bytes = plan->convs[i]->scratch_bytes;
    if (rc < 0)
        compiler_fail(c, rc);
}

static void make_conv(struct compiler *c, int i)
{
    const struct network *net = c->network;
    const struct layer *l = &net->layers[i], *from = &net->layers[l->input];
    const struct layer *src = source_of(net, l);
    const bool shuffled = ahead_is_shuffled(net, i);
    struct fold fold = {
        .inputs = ahead_channels(src),
        .outputs = view_round_up(shuffled ? l->c / 4 : l->c),
        .doubled = folds_doubling(net, i),
        .shape_only = c->plan->like != NULL,
        .shuffled = shuffled,
    };
    struct conv_spec spec = {
        .name = l->name,
        .inputs = fold.inputs,
        .h = (int)from->h,
        .w = (int)from->w,
        .stride = l->stride,
        .padding = padding_of(l),
        .relu = ahead_only_relu(net, i),
    };
    if (fold.doubled && conv_winograd_pays(&c->plan->machine, fold.inputs, fold.outputs)) {
        spec.nearest = true; /* it reads the doubled picture as it is, and saves more */
        fold.doubled = false;
    } else if (fold.doubled) {
        spec.h = (int)src->h;
        spec.w = (int)src->w;
        if (spec.padding.mode == PADDING_REFLECT)
            spec.padding.mode = PADDING_REPLICATE;
    }
    spec.doubled = fold.doubled;
    struct folded folded;
    int rc = fold_conv(l, from->kind == LAYER_CAM ? from : NULL, &fold, &folded);
    if (rc < 0) {
        compiler_fail(c, rc);
        return;
    }
    spec.outputs = folded.outputs;
    spec.kernel = folded.kernel;
    create(c, i, spec, &folded);
}

/* Zeros behind the picture: as many as the last of `kept` rows or columns of all phases needs. */
static int zeros_after(const struct layer *l, const struct folded *folded, int64_t kept, int64_t n)
{
    int64_t rows = (kept + l->stride - 1) / l->stride;
    int64_t after = rows - 1 + folded->kernel - 1 - folded->before - (n - 1);
    return after > 0 ? (int)after : 0;
}

static void make_deconv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i], *from = &c->network->layers[l->input];
    const struct fold fold = {
        .inputs = view_round_up(from->c),
        .outputs = view_round_up(l->c),
        .shape_only = c->plan->like != NULL,
    };
    struct folded folded;
    int rc = fold_deconv(l, &fold, &folded);
    if (rc < 0) {
        compiler_fail(c, rc);
        return;
    }
    const int below = zeros_after(l, &folded, l->h, from->h);
    const int right = zeros_after(l, &folded, l->w, from->w);
    const struct conv_spec spec = {
        .name = l->name,
        .inputs = fold.inputs,
        .outputs = folded.outputs,
        .h = (int)from->h,
        .w = (int)from->w,
        .kernel = folded.kernel,
        .stride = 1,
        .padding = {PADDING_ZERO, folded.before, below > right ? below : right},
        .relu = ahead_only_relu(c->network, i),
    };
    create(c, i, spec, &folded);
}

void ahead_make_conv(struct compiler *c, int i)
{
    if (c->network->layers[i].kind == LAYER_DECONV)
        make_deconv(c, i);
    else if (!ahead_is_planes_conv(c, i))
        make_conv(c, i);
}
