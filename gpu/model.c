/* SPDX-License-Identifier: MIT */
#include "gpu/model.h"

#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/check.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct model {
    struct weights *weights; /* owned */
    struct weights *part;    /* owned; the generator's own in them */
    struct weights *view;    /* owned; these as the network reads them; NULL: as they are */
    struct model *like;      /* borrowed; nullable: whose all three are then, and what it packed */
    struct network *network; /* owned; borrows from these */
    const struct architecture *architecture;
    struct architecture_found found;
    const struct backend *backend;
    struct backend_options backend_options;
    void *state; /* owned; the backend's; NULL until it is needed */
    struct model_info info;
};

static const struct backend *const backends[] = {
    [MODEL_CPU] = &backend_cpu, [MODEL_CUDA] = &backend_cuda, [MODEL_REF] = &backend_ref};
static const char *const device_names[] = {
    [MODEL_CPU] = "cpu", [MODEL_CUDA] = "cuda", [MODEL_REF] = "ref"};
static const char *const precision_names[] = {
    [MODEL_F32] = "f32", [MODEL_BF16] = "bf16", [MODEL_F16] = "f16"};

const char *model_device_name(enum model_device device)
{
    return device_names[device];
}

const char *model_precision_name(enum model_precision precision)
{
    return precision_names[precision];
}

static int parse_name(const char *const *names, int count, const char *field, const char *text,
                      int *out_value, struct err *err)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) {
            *out_value = i;
            return 0;
        }
    return err_set(err, ERR_INVALID, field, "%s must be %s, %s or %s", field, names[0], names[1],
                   names[2]);
}

int model_device_parse(const char *text, enum model_device *out_device, struct err *err)
{
    int value = 0;
    int rc = parse_name(device_names, 3, "device", text, &value, err);
    if (rc == 0)
        *out_device = (enum model_device)value;
    return rc;
}

int model_precision_parse(const char *text, enum model_precision *out_precision, struct err *err)
{
    int value = 0;
    int rc = parse_name(precision_names, 3, "precision", text, &value, err);
    if (rc == 0)
        *out_precision = (enum model_precision)value;
    return rc;
}

struct model_options model_options_default(void)
{
    return (struct model_options){.device = MODEL_CPU, .precision = MODEL_F32};
}

/* The cores this process may use, not those that the machine has. */
static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static int check_options(const struct model_options *options, struct err *err)
{
    if (options->architecture && !architectures_find(options->architecture))
        return err_set(err, ERR_UNSUPPORTED, "architecture",
                       "architecture %.40s is not known; %s are", options->architecture,
                       architectures_names());
    if (options->variant && strcmp(options->variant, "pytorch") != 0 &&
        strcmp(options->variant, "tensorflow") != 0)
        return err_set(err, ERR_UNSUPPORTED, "variant",
                       "variant %.40s is not known; pytorch and tensorflow are", options->variant);
    if (options->size != 0 && (options->size < MODEL_MIN_SIZE || options->size > MODEL_MAX_SIZE))
        return err_set(err, ERR_INVALID, "size", "size must be %d to %d pixels", MODEL_MIN_SIZE,
                       MODEL_MAX_SIZE);
    if (options->threads < 0 || options->threads > 1024)
        return err_set(err, ERR_INVALID, "threads", "threads must be 0 to 1024");
    return 0;
}

static int64_t count_parameters(const struct weights *weights)
{
    struct weights_attribute said;
    int64_t count = 0;
    if (weights_attribute(weights, ARCHITECTURE_PARAMETERS, &said) == 0 && !said.text)
        return (int64_t)said.number;
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        weights_at(weights, i, &tensor);
        count += tensor_count(&tensor);
    }
    return count;
}

/* The side of the input; 0 where the network takes none. */
static int choose_size(const struct architecture *architecture,
                       const struct architecture_found *found, const struct model_options *options,
                       int *out_size, struct err *err)
{
    const int most = MODEL_MAX_SIZE / architecture->scale;
    *out_size = 0;
    if (architecture->default_size == 0 && options->size != 0)
        return err_set(err, ERR_INVALID, "size", "%s have a size of their own: leave it out",
                       found->kind);
    if (architecture->default_size == 0)
        return 0;
    *out_size = architecture->default_size;
    if (options->size || found->size)
        *out_size = options->size ? options->size : found->size;
    if (*out_size < MODEL_MIN_SIZE || *out_size > most)
        return err_set(err, ERR_INVALID, "size", "size must be %d to %d pixels", MODEL_MIN_SIZE,
                       most);
    return 0;
}

static int check_found(const struct architecture *architecture,
                       const struct architecture_found *found, const struct model_options *options,
                       struct err *err)
{
    if (options->architecture && strcmp(options->architecture, architecture->name) != 0)
        return err_set(err, ERR_CORRUPT, "architecture", "the tensors are of %s, not of %.40s",
                       architecture->name, options->architecture);
    if (options->variant && strcmp(options->variant, found->variant) != 0)
        return err_set(err, ERR_CORRUPT, "variant", "the tensors are of variant %s, not of %.40s",
                       found->variant, options->variant);
    return 0;
}

static const struct weights *tensors_of(const struct model *model)
{
    return model->view ? model->view : model->part;
}

/* The layers for inputs of this size (0: they have none), and what goes by the size. */
static int build_layers(struct model *model, const struct weights *tensors, int size, bool heat_map,
                        struct err *err)
{
    struct network *net = model->network;
    int rc = model->architecture->build(tensors, &model->found, size, net, err);
    if (rc < 0)
        return rc;
    net->heat_map = heat_map;
    const struct layer *last = &net->layers[net->count - 1];
    struct model_info *info = &model->info;
    info->size = size ? size : (int)last->h;
    info->out_size = (int)last->h;
    info->heat_side = net->heat_map ? (int)net->layers[net->attention].h : 0;
    info->in_values = layer_values(&net->layers[0]);
    info->out_values = network_out_values(net);
    info->multiply_adds = net->multiply_adds;
    return 0;
}

/* The network and what may be said about it, from the tensors. */
static int build_network(struct model *model, const struct model_options *options, struct err *err)
{
    const struct architecture *architecture;
    struct architecture_found *found = &model->found;
    int size = 0;
    int rc = architectures_recognise(model->weights, options->part, &architecture, found,
                                     &model->part, err);
    found->no_smoothing = options->no_smoothing;
    if (rc == 0)
        rc = check_found(architecture, found, options, err);
    if (rc == 0)
        rc = choose_size(architecture, found, options, &size, err);
    if (rc == 0 && architecture->view)
        rc = architecture->view(model->part, found, &model->view, err);
    if (rc < 0)
        return rc;
    model->architecture = architecture;
    model->info = (struct model_info){
        .architecture = architecture->name,
        .kind = found->kind,
        .variant = found->variant,
        .input = architecture->input,
        .device = options->device,
        .precision = options->precision,
        .channels = found->channels,
        .format = architecture->format(found->variant),
        .parameters = count_parameters(tensors_of(model)),
    };
    rc = build_layers(model, tensors_of(model), size, options->heat_map, err);
    if (rc == 0 && options->heat_map && model->network->attention == 0)
        rc = err_set(err, ERR_UNSUPPORTED, "heat_map",
                     "architecture %s has no attention that could be shown", architecture->name);
    return rc;
}

static struct backend_options backend_options_of(const struct model_options *options)
{
    return (struct backend_options){
        .precision = options->precision,
        .threads = options->threads ? options->threads : usable_cores(),
        .no_winograd = options->no_winograd,
    };
}

static int choose_backend(struct model *model, const struct model_options *options, struct err *err)
{
    model->backend_options = backend_options_of(options);
    model->backend = backends[options->device];
    return model->backend->check(model->network, &model->backend_options, err);
}

static int open_backend(struct model *model, struct err *err)
{
    if (model->state)
        return 0;
    if (model->like && model->backend->open_like)
        return model->backend->open_like(model->network, model->like->state, &model->state, err);
    int rc = model->backend->open(model->network, &model->backend_options, &model->state, err);
    /* What a backend packed it does not read again. */
    if (rc == 0 && !model->like)
        weights_release_pages(model->weights);
    return rc;
}

int model_open(const char *path, const struct model_options *options, struct model **out_model,
               struct err *err)
{
    struct model *model = NULL;
    int rc = check_options(options, err);
    if (rc < 0)
        goto out;
    model = calloc(1, sizeof *model);
    if (!model || !(model->network = calloc(1, sizeof *model->network))) {
        rc = ERR_NOMEM;
        goto out;
    }
    rc = weights_open(path, &model->weights, err);
    if (rc == 0)
        rc = build_network(model, options, err);
    if (rc == 0)
        rc = choose_backend(model, options, err);
    if (rc == 0) {
        *out_model = model;
        model = NULL;
    }
out:
    if (rc == ERR_NOMEM)
        err_set(err, rc, NULL, "out of memory while opening the model");
    model_close(&model);
    return rc;
}

int model_open_sized(struct model *model, int size, struct model **out_sized, struct err *err)
{
    const struct architecture *architecture = model->architecture;
    struct model_options options = model_options_default();
    struct model *sized = NULL;
    int rc = 0;
    options.size = size;
    if (architecture->default_size == 0 || model->found.size != 0)
        return err_set(err, ERR_UNSUPPORTED, "size", "%s has a size of its own", model->found.kind);
    rc = choose_size(architecture, &model->found, &options, &size, err);
    if (rc == 0)
        rc = open_backend(model, err);
    if (rc == 0 && (!(sized = calloc(1, sizeof *sized)) ||
                    !(sized->network = calloc(1, sizeof *sized->network))))
        rc = err_set(err, ERR_NOMEM, NULL, "out of memory while opening the model");
    if (rc == 0) {
        sized->like = model;
        sized->architecture = architecture;
        sized->found = model->found;
        sized->backend = model->backend;
        sized->backend_options = model->backend_options;
        sized->info = model->info;
        rc = build_layers(sized, tensors_of(model), size, model->network->heat_map, err);
    }
    if (rc == 0)
        rc = open_backend(sized, err);
    if (rc == 0)
        *out_sized = sized;
    else
        model_close(&sized);
    return rc;
}

void model_close(struct model **model)
{
    struct model *m = *model;
    if (!m)
        return;
    if (m->state)
        m->backend->close(m->state);
    free(m->network);
    weights_close(&m->view);
    weights_close(&m->part);
    weights_close(&m->weights);
    free(m);
    *model = NULL;
}

const struct model_info *model_info(const struct model *model)
{
    return &model->info;
}

static int check_batch(int batch, struct err *err)
{
    if (batch < 1 || batch > MODEL_MAX_BATCH)
        return err_set(err, ERR_INVALID, "batch", "a batch has 1 to %d pictures, not %d",
                       MODEL_MAX_BATCH, batch);
    return 0;
}

int model_prepare(struct model *model, int batch, struct err *err)
{
    int rc = check_batch(batch, err);
    if (rc == 0)
        rc = open_backend(model, err);
    return rc < 0 ? rc : model->backend->prepare(model->state, batch, err);
}

int model_run(struct model *model, int batch, const float *input, float *output, struct err *err)
{
    int rc = check_batch(batch, err);
    if (rc == 0)
        rc = open_backend(model, err);
    return rc < 0 ? rc : model->backend->run(model->state, batch, input, output, err);
}

/* Whatever the backend holds. */
static size_t own_bytes(const struct model *model)
{
    uint64_t bytes = model->weights ? weights_bytes(model->weights) : 0;
    if (model->view)
        bytes += weights_bytes(model->view);
    return (size_t)bytes + sizeof *model + sizeof *model->network;
}

struct model_bytes model_bytes(const struct model *model)
{
    struct model_bytes bytes = {0};
    if (model->state)
        bytes = model->backend->bytes(model->state);
    bytes.host += own_bytes(model);
    return bytes;
}

struct model_bytes model_estimate(const struct model *model, int batch)
{
    struct model_bytes bytes =
        model->backend->estimate(model->network, &model->backend_options, batch);
    bytes.host += own_bytes(model);
    return bytes;
}

static int absent_device(enum model_device device, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "device", "this build has no device %s",
                   device_names[device]);
}

int model_device_peak(const struct model_options *options, double *out_flops, struct err *err)
{
    const struct backend *backend = backends[options->device];
    const struct backend_options backend_options = backend_options_of(options);
    if (!backend->peak)
        return absent_device(options->device, err);
    return backend->peak(&backend_options, out_flops, err);
}

int model_check_device(const struct model_options *options, struct err *err)
{
    const struct backend_options backend_options = backend_options_of(options);
    return check_device(backends[options->device], &backend_options, err);
}

int model_device_memory(enum model_device device, uint64_t *out_total, uint64_t *out_free,
                        struct err *err)
{
    const struct backend *backend = backends[device];
    if (!backend->memory)
        return absent_device(device, err);
    return backend->memory(out_total, out_free, err);
}
