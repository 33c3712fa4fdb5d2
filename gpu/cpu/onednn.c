/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/onednn.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

struct onednn_conv {
    struct conv conv; /* first */
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weights, bias, dst, scratch; /* src, dst and scratch without data */
    void *weights_data;                             /* owned; NULL: another's */
    void *bias_data;                                /* owned; NULL: another's */
    int64_t values;                                 /* of dst */
    bool relu;                                      /* by us: oneDNN's makes 0 of NaN */
};

static int failed(struct err *err, dnnl_status_t status, const char *name, const char *what)
{
    if (status == dnnl_out_of_memory)
        return ERR_NOMEM;
    return err_set(err, ERR_INTERNAL, name, "oneDNN cannot %s layer %s: status %d", what, name,
                   (int)status);
}

static int allocate(size_t bytes, void **out)
{
    *out = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    return *out ? 0 : ERR_NOMEM;
}

/* The primitive's description, with the layouts of both pictures fixed. */
static dnnl_status_t describe(dnnl_engine_t engine, const struct conv_spec *s, bool bias, int out_h,
                              int out_w, dnnl_primitive_desc_t *out)
{
    const int around = s->padding.before + s->padding.after;
    const dnnl_dims_t src_dims = {1, s->inputs, s->h + around, s->w + around};
    const dnnl_dims_t dst_dims = {1, s->outputs, out_h, out_w};
    const dnnl_dims_t weight_dims = {s->outputs, s->inputs, s->kernel, s->kernel};
    const dnnl_dims_t bias_dims = {s->outputs};
    const dnnl_dims_t strides = {s->stride, s->stride}, no_padding = {0, 0};
    dnnl_memory_desc_t src, weights, bias_md, dst;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_memory_desc_init_by_tag(&src, 4, src_dims, dnnl_f32, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(&dst, 4, dst_dims, dnnl_f32, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(&weights, 4, weight_dims, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&bias_md, 1, bias_dims, dnnl_f32, dnnl_x);
    dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, &src, &weights,
        bias ? &bias_md : NULL, &dst, strides, no_padding, no_padding);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* The same weights as they lie in `to`. */
static dnnl_status_t reorder(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_memory_t from,
                             dnnl_memory_t to)
{
    const dnnl_memory_desc_t *from_md = NULL, *to_md = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_status_t status = dnnl_memory_get_memory_desc(from, &from_md);
    if (status == dnnl_success)
        status = dnnl_memory_get_memory_desc(to, &to_md);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, from_md, engine, to_md, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, desc);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(
            primitive, stream, 2,
            (const dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static dnnl_status_t make_memory(dnnl_engine_t engine, const_dnnl_primitive_desc_t desc,
                                 dnnl_query_t what, int index, void *data, dnnl_memory_t *out)
{
    return dnnl_memory_create(out, dnnl_primitive_desc_query_md(desc, what, index), engine, data);
}

static size_t bytes_of(const_dnnl_primitive_desc_t desc, dnnl_query_t what, int index)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(desc, what, index);
    return md ? dnnl_memory_desc_get_size(md) : 0;
}

static int copy_bias(struct onednn_conv *conv, const struct conv_spec *spec, const float *bias)
{
    const size_t bytes = (size_t)spec->outputs * sizeof *bias;
    if (!bias)
        return 0;
    if (allocate(bytes, &conv->bias_data) < 0)
        return ERR_NOMEM;
    memcpy(conv->bias_data, bias, bytes);
    return 0;
}

/* Room for weights as the kernel wants them, and those in `from`, however they lie. */
static dnnl_status_t pack(struct onednn_conv *conv, dnnl_engine_t engine,
                          const_dnnl_primitive_desc_t desc, dnnl_memory_t from)
{
    conv->conv.weight_bytes = bytes_of(desc, dnnl_query_weights_md, 0);
    if (allocate(conv->conv.weight_bytes, &conv->weights_data) < 0)
        return dnnl_out_of_memory;
    dnnl_status_t status =
        make_memory(engine, desc, dnnl_query_weights_md, 0, conv->weights_data, &conv->weights);
    return status == dnnl_success ? reorder(engine, conv->stream, from, conv->weights) : status;
}

/* From OIKK. */
static dnnl_status_t pack_own(struct onednn_conv *conv, dnnl_engine_t engine,
                              const_dnnl_primitive_desc_t desc, const struct conv_spec *s,
                              const float *weights)
{
    const dnnl_dims_t dims = {s->outputs, s->inputs, s->kernel, s->kernel};
    dnnl_memory_desc_t md;
    dnnl_memory_t from = NULL;
    dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_oihw);
    dnnl_status_t status = dnnl_memory_create(&from, &md, engine, (void *)(uintptr_t)weights);
    if (status == dnnl_success)
        status = pack(conv, engine, desc, from);
    dnnl_memory_destroy(from);
    return status;
}

/* For a picture of another size oneDNN may want them otherwise: then there are two of them. */
static dnnl_status_t share(struct onednn_conv *conv, dnnl_engine_t engine,
                           const_dnnl_primitive_desc_t desc, const struct onednn_conv *like)
{
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *have = NULL;
    void *data = NULL;
    dnnl_status_t status = dnnl_memory_get_memory_desc(like->weights, &have);
    if (status == dnnl_success && !dnnl_memory_desc_equal(wanted, have))
        return pack(conv, engine, desc, like->weights);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(like->weights, &data);
    if (status == dnnl_success)
        status = make_memory(engine, desc, dnnl_query_weights_md, 0, data, &conv->weights);
    return status;
}

static int fill(struct onednn_conv *conv, dnnl_engine_t engine, const struct conv_spec *spec,
                const_dnnl_primitive_desc_t desc, const float *weights, const float *bias,
                struct err *err)
{
    const struct onednn_conv *like = (const struct onednn_conv *)spec->like;
    void *bias_data = NULL;
    dnnl_status_t status = dnnl_primitive_create(&conv->primitive, desc);
    conv->conv.scratch_bytes = bytes_of(desc, dnnl_query_scratchpad_md, 0);
    if (copy_bias(conv, spec, bias) < 0)
        return ERR_NOMEM;
    bias_data = conv->bias_data;
    if (status == dnnl_success && like && like->bias)
        status = dnnl_memory_get_data_handle(like->bias, &bias_data);
    if (status == dnnl_success)
        status = make_memory(engine, desc, dnnl_query_src_md, 0, NULL, &conv->src);
    if (status == dnnl_success)
        status = make_memory(engine, desc, dnnl_query_dst_md, 0, NULL, &conv->dst);
    if (status == dnnl_success)
        status = make_memory(engine, desc, dnnl_query_scratchpad_md, 0, NULL, &conv->scratch);
    if (status == dnnl_success && bias_data)
        status = make_memory(engine, desc, dnnl_query_weights_md, 1, bias_data, &conv->bias);
    if (status == dnnl_success)
        status =
            like ? share(conv, engine, desc, like) : pack_own(conv, engine, desc, spec, weights);
    return status == dnnl_success ? 0 : failed(err, status, spec->name, "prepare");
}

static void destroy(struct conv *conv)
{
    struct onednn_conv *c = (struct onednn_conv *)conv;
    dnnl_primitive_destroy(c->primitive);
    dnnl_memory_destroy(c->src);
    dnnl_memory_destroy(c->weights);
    dnnl_memory_destroy(c->bias);
    dnnl_memory_destroy(c->dst);
    dnnl_memory_destroy(c->scratch);
    free(c->weights_data);
    free(c->bias_data);
    free(c);
}

static void cut_off(float *values, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        values[i] = values[i] < 0 ? 0 : values[i];
}

static int run(const struct conv *conv, const struct conv_task *task)
{
    const struct onednn_conv *c = (const struct onednn_conv *)conv;
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, c->src},   {DNNL_ARG_WEIGHTS, c->weights},
        {DNNL_ARG_DST, c->dst},   {DNNL_ARG_SCRATCHPAD, c->scratch},
        {DNNL_ARG_BIAS, c->bias},
    };
    dnnl_status_t status = dnnl_memory_set_data_handle(c->src, task->src->data);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(c->dst, task->dst->data);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(c->scratch, task->scratch);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(c->primitive, c->stream, c->bias ? 5 : 4, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(c->stream);
    if (status == dnnl_success && c->relu)
        cut_off(task->dst->data, c->values);
    return status == dnnl_success ? 0 : ERR_INTERNAL;
}

static const struct conv_kind onednn_kind = {.run = run, .destroy = destroy};

int onednn_create(const struct conv_machine *machine, const struct conv_spec *spec,
                  const float *weights, const float *bias, struct conv **out_conv, struct err *err)
{
    const int around = spec->padding.before + spec->padding.after - spec->kernel;
    const int out_h = (spec->h + around) / spec->stride + 1;
    const int out_w = (spec->w + around) / spec->stride + 1;
    dnnl_primitive_desc_t desc = NULL;
    const struct onednn_conv *like = (const struct onednn_conv *)spec->like;
    const bool biased = like ? like->bias != NULL : bias != NULL;
    dnnl_status_t status = describe(machine->engine, spec, biased, out_h, out_w, &desc);
    if (status != dnnl_success)
        return failed(err, status, spec->name, "plan");
    struct onednn_conv *conv = calloc(1, sizeof *conv);
    int rc = conv ? 0 : ERR_NOMEM;
    if (conv) {
        conv->stream = machine->stream;
        conv->conv.kind = &onednn_kind;
        conv->conv.form = (struct form){TENSOR_F32, VIEW_CHANNELS_LAST, spec->padding};
        conv->conv.layout = VIEW_CHANNELS_LAST;
        conv->conv.outputs = spec->outputs;
        conv->conv.out_h = out_h;
        conv->conv.out_w = out_w;
        conv->relu = spec->relu;
        conv->values = (int64_t)spec->outputs * out_h * out_w;
        rc = fill(conv, machine->engine, spec, desc, weights, bias, err);
    }
    dnnl_primitive_desc_destroy(desc);
    if (rc == 0)
        *out_conv = &conv->conv;
    else if (conv)
        destroy(&conv->conv);
    return rc;
}
