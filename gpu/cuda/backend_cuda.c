/* SPDX-License-Identifier: MIT
 *
 * The list of layers on an NVIDIA GPU: one kernel for each layer, in order. Upsampling is folded
 * into the convolution behind it; nothing else is fused yet. */
#include "gpu/backend.h"

#include "common/err.h"
#include "gpu/cuda/plain.h"
#include "gpu/network.h"

#include <stdlib.h>

/* Weights are widened and sent in pieces of this many values. */
#define PIECE (INT64_C(1) << 22)
/* What *bad holds while every layer was fine: memset() with 0x7f. */
#define NONE_BAD 0x7f7f7f7f

struct device_layer {
    void *weight;                                 /* convolution, connected: in `type` */
    float *bias, *rho, *gamma, *beta, *gap, *gmp; /* NULL where there is none */
    float *vector;                                /* [batch][C]: what a vector layer gives */
    int64_t offset;                               /* in the arena: values of one picture */
    int last_use;                                 /* the last layer that reads it */
    bool is_vector, folded;                       /* folded: the reader sees to it */
};

struct cuda_state {
    const struct network *network; /* borrowed */
    struct device_layer layers[NETWORK_MAX_LAYERS];
    enum plain_type type;
    size_t value_size;
    cudaStream_t stream;
    int batch;            /* what the memory below is made for */
    int64_t arena_values; /* of one picture */
    char *arena;
    float *staging;                        /* [batch] pictures, in and out */
    float *mean, *squares, *scale, *shift; /* [batch][greatest C] */
    int *bad;
};

static int failed(struct err *err, cudaError_t status, const char *what)
{
    if (status == cudaSuccess)
        return 0;
    if (status == cudaErrorMemoryAllocation)
        return err_set(err, ERR_NOMEM, "device", "no memory on the GPU for %s", what);
    return err_set(err, ERR_DEVICE, "device", "%s: %s", what, cudaGetErrorString(status));
}

static int allocate(void **out, size_t bytes, struct err *err)
{
    return failed(err, cudaMalloc(out, bytes), "tensors");
}

/* All values of a tensor as floats on the device, or in the activations' type. */
static int upload(const struct cuda_state *s, const struct tensor *tensor, bool as_float,
                  void **out, struct err *err)
{
    const int64_t count = tensor_count(tensor);
    const int64_t piece = count < PIECE ? count : PIECE;
    const size_t size = as_float ? sizeof(float) : s->value_size;
    float *host = malloc((size_t)piece * sizeof *host);
    void *wide = NULL;
    int rc = host ? allocate(&wide, (size_t)piece * sizeof *host, err) : ERR_NOMEM;
    if (rc == 0)
        rc = allocate(out, (size_t)count * size, err);
    for (int64_t i = 0; rc == 0 && i < count; i += piece) {
        struct tensor part = {.type = tensor->type, .rank = 1};
        part.dim[0] = count - i < piece ? count - i : piece;
        part.data = (const char *)tensor->data + (size_t)i * tensor_type_size(tensor->type);
        tensor_to_f32(&part, host);
        char *to = (char *)*out + (size_t)i * size;
        size_t bytes = (size_t)part.dim[0] * sizeof *host;
        cudaError_t status =
            cudaMemcpy(as_float ? (void *)to : wide, host, bytes, cudaMemcpyHostToDevice);
        if (status == cudaSuccess && !as_float)
            status = plain_from_float(s->type, part.dim[0], wide, to, s->stream);
        if (status == cudaSuccess)
            status = cudaStreamSynchronize(s->stream);
        rc = failed(err, status, "sending weights");
    }
    cudaFree(wide);
    free(host);
    return rc;
}

static int upload_layer(struct cuda_state *s, int i, struct err *err)
{
    const struct layer *l = &s->network->layers[i];
    struct device_layer *d = &s->layers[i];
    const struct {
        const struct tensor *tensor;
        float **to;
    } small[] = {{&l->bias, &d->bias},
                 {&l->rho, &d->rho},
                 {&l->gamma, &d->gamma},
                 {&l->beta, &d->beta},
                 {&l->second, &d->gmp}};
    int rc = 0;
    if (l->weight.data && l->kind == LAYER_CAM)
        rc = upload(s, &l->weight, true, (void **)&d->gap, err);
    else if (l->weight.data)
        rc = upload(s, &l->weight, false, &d->weight, err);
    for (size_t k = 0; rc == 0 && k < sizeof small / sizeof small[0]; k++)
        if (small[k].tensor->data)
            rc = upload(s, small[k].tensor, true, (void **)small[k].to, err);
    return rc;
}

static void use(struct cuda_state *s, int source, int reader)
{
    if (source < 0)
        return;
    s->layers[source].last_use = reader;
    if (s->layers[source].folded)
        use(s, s->network->layers[source].input, reader);
}

static bool only_convolutions_read(const struct network *net, int i)
{
    bool any = false;
    for (int j = i + 1; j < net->count; j++) {
        if (net->layers[j].other == i ||
            (net->layers[j].input == i && net->layers[j].kind != LAYER_CONV))
            return false;
        any = any || net->layers[j].input == i;
    }
    return any;
}

/* Which layers are vectors, which are folded, and where each picture lies in the arena: at the
 * lowest place where it overlaps nobody who lives at the same time. */
static void lay_out(struct cuda_state *s)
{
    const struct network *net = s->network;
    for (int i = 0; i < net->count; i++) {
        const struct layer *l = &net->layers[i];
        struct device_layer *d = &s->layers[i];
        d->last_use = i;
        d->is_vector = l->kind == LAYER_MEAN || l->kind == LAYER_CONNECTED ||
                       (l->kind == LAYER_RELU && s->layers[l->input].is_vector);
        d->folded = (l->kind == LAYER_UPSAMPLE && only_convolutions_read(net, i)) ||
                    (l->kind == LAYER_TANH && i == net->count - 1);
        use(s, l->input, i);
        use(s, l->other, i);
    }
    use(s, net->count - 1, net->count);
    for (int i = 0; i < net->count; i++) {
        struct device_layer *d = &s->layers[i];
        if (d->is_vector || d->folded)
            continue;
        const int64_t size = (int64_t)layer_values(&net->layers[i]);
        for (int j = 0; j < i; j++) {
            const struct device_layer *other = &s->layers[j];
            const int64_t other_size = (int64_t)layer_values(&net->layers[j]);
            if (!other->is_vector && !other->folded && other->last_use >= i &&
                other->offset < d->offset + size && d->offset < other->offset + other_size) {
                d->offset = other->offset + other_size;
                j = -1; /* the new place has to be checked against all again */
            }
        }
        if (d->offset + size > s->arena_values)
            s->arena_values = d->offset + size;
    }
}

static void free_batch(struct cuda_state *s)
{
    cudaFree(s->arena);
    cudaFree(s->staging);
    cudaFree(s->mean);
    cudaFree(s->squares);
    cudaFree(s->scale);
    cudaFree(s->shift);
    s->arena = NULL;
    s->staging = s->mean = s->squares = s->scale = s->shift = NULL;
    for (int i = 0; i < s->network->count; i++) {
        cudaFree(s->layers[i].vector);
        s->layers[i].vector = NULL;
    }
    s->batch = 0;
}

static void close_cuda(void *state)
{
    struct cuda_state *s = state;
    if (!s)
        return;
    free_batch(s);
    for (int i = 0; i < s->network->count; i++) {
        struct device_layer *d = &s->layers[i];
        void *const all[] = {d->weight, d->bias, d->rho, d->gamma, d->beta, d->gap, d->gmp};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            cudaFree(all[k]);
    }
    cudaFree(s->bad);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    free(s);
}

static int check_list(const struct network *net, struct err *err)
{
    if (net->heat_map)
        return err_set(err, ERR_UNSUPPORTED, "device",
                       "the heat map is not computed on the GPU yet: use device cpu");
    for (int i = 0; i < net->count; i++) {
        const struct layer *l = &net->layers[i];
        if (l->kind == LAYER_TANH && i < net->count - 1)
            return err_set(err, ERR_UNSUPPORTED, l->name,
                           "tanh is supported as the last layer only");
        if (l->kind >= LAYER_RESHAPE || (l->kind == LAYER_NORM && l->norm == NORM_BATCH) ||
            (l->kind == LAYER_NORM && l->norm == NORM_INSTANCE && l->gamma.data) ||
            (l->kind == LAYER_CONV && (l->zeros || l->pad_end != l->pad)) ||
            (l->kind == LAYER_CONNECTED && l->bias.data))
            return err_set(err, ERR_UNSUPPORTED, "device",
                           "layer %s (%s) is not computed on the GPU yet: use device cpu", l->name,
                           layer_kind_name(l->kind));
    }
    return 0;
}

static int check_cuda(const struct network *network, const struct backend_options *options,
                      struct err *err)
{
    int devices = 0;
    int rc = check_list(network, err);
    if (rc < 0)
        return rc;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status != cudaSuccess || devices == 0)
        return err_set(err, ERR_UNSUPPORTED, "device", "no usable GPU here: %s",
                       status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    return 0;
}

static int open_cuda(const struct network *network, const struct backend_options *options,
                     void **out_state, struct err *err)
{
    static const enum plain_type types[] = {
        [MODEL_F32] = PLAIN_F32, [MODEL_F16] = PLAIN_F16, [MODEL_BF16] = PLAIN_BF16};
    struct cuda_state *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->network = network;
    s->type = types[options->precision];
    s->value_size = s->type == PLAIN_F32 ? 4 : 2;
    lay_out(s);
    int rc = failed(err, cudaStreamCreate(&s->stream), "starting the GPU");
    if (rc == 0)
        rc = allocate((void **)&s->bad, sizeof *s->bad, err);
    for (int i = 0; rc == 0 && i < network->count; i++)
        rc = upload_layer(s, i, err);
    if (rc < 0)
        close_cuda(s);
    else
        *out_state = s;
    return rc;
}

static int prepare(void *state, int batch, struct err *err)
{
    struct cuda_state *s = state;
    const struct network *net = s->network;
    const size_t n = (size_t)batch;
    size_t values = layer_values(&net->layers[0]);
    size_t channels = 1;
    if (batch <= s->batch)
        return 0;
    free_batch(s);
    if (layer_values(&net->layers[net->count - 1]) > values)
        values = layer_values(&net->layers[net->count - 1]);
    for (int i = 0; i < net->count; i++)
        if ((size_t)net->layers[i].c > channels)
            channels = (size_t)net->layers[i].c;
    float **const rows[] = {&s->mean, &s->squares, &s->scale, &s->shift};
    int rc = allocate((void **)&s->arena, n * (size_t)s->arena_values * s->value_size, err);
    if (rc == 0)
        rc = allocate((void **)&s->staging, n * values * sizeof(float), err);
    for (int i = 0; rc == 0 && i < 4; i++)
        rc = allocate((void **)rows[i], n * channels * sizeof(float), err);
    for (int i = 0; rc == 0 && i < net->count; i++)
        if (s->layers[i].is_vector)
            rc = allocate((void **)&s->layers[i].vector,
                          n * (size_t)net->layers[i].c * sizeof(float), err);
    if (rc < 0)
        free_batch(s);
    else
        s->batch = batch;
    return rc;
}

/* Where layer `i` lies for this batch. A batch may be smaller than what memory was made for. */
static void *at(const struct cuda_state *s, int i, int batch)
{
    while (s->layers[i].folded)
        i = s->network->layers[i].input;
    if (s->layers[i].is_vector)
        return s->layers[i].vector;
    return s->arena + (size_t)s->layers[i].offset * (size_t)batch * s->value_size;
}

static cudaError_t run_conv(const struct cuda_state *s, int i, int batch)
{
    const struct layer *l = &s->network->layers[i];
    const bool doubled = s->layers[l->input].folded;
    const struct layer *from = &s->network->layers[l->input];
    if (doubled)
        from = &s->network->layers[from->input];
    const struct plain_conv shape = {
        .pictures = batch,
        .inputs = (int)from->c,
        .in_h = (int)from->h,
        .in_w = (int)from->w,
        .outputs = (int)l->c,
        .out_h = (int)l->h,
        .out_w = (int)l->w,
        .kernel = l->kernel,
        .stride = l->stride,
        .pad = l->pad,
        .doubled = doubled,
    };
    return plain_conv(s->type, &shape, at(s, l->input, batch), s->layers[i].weight,
                      s->layers[i].bias, at(s, i, batch), s->stream);
}

static cudaError_t run_norm(const struct cuda_state *s, int i, int batch)
{
    const struct layer *l = &s->network->layers[i];
    const struct device_layer *d = &s->layers[i];
    const int plane = (int)(l->h * l->w), planes = batch * (int)l->c;
    const struct plain_norm shape = {
        .pictures = batch,
        .channels = (int)l->c,
        .plane = plane,
        .unbiased = l->unbiased,
        .epsilon = l->epsilon,
        .per_picture = l->norm == NORM_ADAPTIVE,
        .layer = i,
    };
    const float *gamma = d->gamma, *beta = d->beta;
    if (l->norm == NORM_ADAPTIVE) {
        gamma = s->layers[l->gamma_from].vector;
        beta = s->layers[l->beta_from].vector;
    }
    cudaError_t status = plain_moments(s->type, planes, plane, at(s, l->input, batch), s->mean,
                                       s->squares, s->stream);
    if (status == cudaSuccess)
        status = plain_norm_factors(&shape, s->mean, s->squares, d->rho, gamma, beta, s->scale,
                                    s->shift, s->bad, s->stream);
    if (status == cudaSuccess)
        status = plain_scale_shift(s->type, planes, plane, at(s, l->input, batch), s->scale,
                                   s->shift, at(s, i, batch), s->stream);
    return status;
}

static cudaError_t run_layer(const struct cuda_state *s, int i, int batch)
{
    const struct layer *l = &s->network->layers[i];
    const struct layer *from = l->input >= 0 ? &s->network->layers[l->input] : l;
    const int64_t count = batch * (int64_t)layer_values(l);
    const void *in = l->input >= 0 ? at(s, l->input, batch) : NULL;
    const int plane = (int)(from->h * from->w);
    if (s->layers[i].folded)
        return cudaSuccess;
    switch (l->kind) {
    case LAYER_INPUT:
        return plain_from_float(s->type, count, s->staging, at(s, i, batch), s->stream);
    case LAYER_CONV: return run_conv(s, i, batch);
    case LAYER_NORM: return run_norm(s, i, batch);
    case LAYER_RELU:
        return plain_relu(s->layers[i].is_vector ? PLAIN_F32 : s->type, count, in, at(s, i, batch),
                          s->stream);
    case LAYER_ADD:
        return plain_add(s->type, count, in, at(s, l->other, batch), at(s, i, batch), s->stream);
    case LAYER_UPSAMPLE:
        return plain_upsample(s->type, batch * (int)from->c, (int)from->h, (int)from->w, in,
                              at(s, i, batch), s->stream);
    case LAYER_CAM:
        return plain_cam(s->type, batch, (int)from->c, plane, in, s->layers[i].gap,
                         s->layers[i].gmp, at(s, i, batch), s->stream);
    case LAYER_MEAN:
        return plain_moments(s->type, batch * (int)from->c, plane, in, s->layers[i].vector,
                             s->squares, s->stream);
    case LAYER_CONNECTED:
        return plain_connected(s->type, batch, (int)l->c, (int64_t)layer_values(from), in,
                               s->layers[l->input].is_vector, s->layers[i].weight,
                               s->layers[i].vector, s->stream);
    case LAYER_RESHAPE: /* refused by check_list() */
    case LAYER_DECONV:
    case LAYER_SIGMOID:
    case LAYER_PRELU:
    case LAYER_SHUFFLE:
    case LAYER_TANH:
    case LAYER_KIND_COUNT: break;
    }
    return cudaErrorInvalidValue;
}

static int run(void *state, int batch, const float *input, float *output, struct err *err)
{
    struct cuda_state *s = state;
    const struct network *net = s->network;
    const int last = net->count - 1;
    const size_t in_bytes = (size_t)batch * layer_values(&net->layers[0]) * sizeof *input;
    const size_t out_values = (size_t)batch * layer_values(&net->layers[last]);
    const enum plain_type out_type = s->layers[last].is_vector ? PLAIN_F32 : s->type;
    int bad = NONE_BAD;
    int rc = prepare(state, batch, err);
    if (rc < 0)
        return rc;
    cudaError_t status = cudaMemsetAsync(s->bad, 0x7f, sizeof *s->bad, s->stream);
    if (status == cudaSuccess)
        status = cudaMemcpyAsync(s->staging, input, in_bytes, cudaMemcpyHostToDevice, s->stream);
    for (int i = 0; status == cudaSuccess && i < net->count; i++)
        status = run_layer(s, i, batch);
    if (status == cudaSuccess)
        status = plain_to_float(out_type, (int64_t)out_values, at(s, last, batch),
                                net->layers[last].kind == LAYER_TANH, s->staging, last, s->bad,
                                s->stream);
    if (status == cudaSuccess)
        status = cudaMemcpyAsync(output, s->staging, out_values * sizeof *output,
                                 cudaMemcpyDeviceToHost, s->stream);
    if (status == cudaSuccess)
        status = cudaMemcpyAsync(&bad, s->bad, sizeof bad, cudaMemcpyDeviceToHost, s->stream);
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(s->stream);
    if (status == cudaSuccess && bad != NONE_BAD)
        return err_set(err, ERR_CORRUPT, net->layers[bad].name,
                       "layer %s (%s) gave NaN or infinity", net->layers[bad].name,
                       layer_kind_name(net->layers[bad].kind));
    return failed(err, status, "running the network");
}

/* Values of one picture, weights and all, in the network's own type. */
static struct model_bytes estimate(const struct network *network,
                                   const struct backend_options *options, int batch)
{
    const size_t value_size = options->precision == MODEL_F32 ? 4 : 2;
    struct model_bytes bytes = {.host = sizeof(struct cuda_state)};
    size_t most = 0;
    for (int i = 0; i < network->count; i++) {
        const struct layer *l = &network->layers[i];
        size_t values = layer_values(l);
        if (l->weight.data)
            bytes.device += (size_t)tensor_count(&l->weight) * value_size;
        most = values > most ? values : most;
    }
    bytes.device += 4 * most * (size_t)batch * value_size;
    return bytes;
}

static struct model_bytes bytes_held(const void *state)
{
    const struct cuda_state *s = state;
    const struct backend_options options = {.precision =
                                                s->type == PLAIN_F32 ? MODEL_F32 : MODEL_F16};
    return estimate(s->network, &options, s->batch);
}

static int peak(const struct backend_options *options, double *out_flops, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "device", "the GPU's peak is not measured yet");
}

static int memory(uint64_t *out_total, uint64_t *out_free, struct err *err)
{
    size_t total = 0, unused = 0;
    int rc = failed(err, cudaMemGetInfo(&unused, &total), "asking for its memory");
    if (rc == 0) {
        *out_total = total;
        *out_free = unused;
    }
    return rc;
}

const struct backend backend_cuda = {
    .check = check_cuda,
    .open = open_cuda,
    .prepare = prepare,
    .run = run,
    .close = close_cuda,
    .bytes = bytes_held,
    .estimate = estimate,
    .peak = peak,
    .memory = memory,
};
