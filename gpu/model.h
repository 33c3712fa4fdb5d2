/* SPDX-License-Identifier: MIT
 *
 * A generator, ready to run: the one header that a worker needs.
 *
 *     struct model_options options = model_options_default();
 *     struct model *model;
 *     if (model_open("portrait-drawing.safetensors", &options, &model, &err) < 0) ...
 *     const struct model_info *info = model_info(model);          // pictures are info->size square
 *     // where info->input is MODEL_FROM_DIGITS: gpu/models/cgan.h makes inputs and paints outputs
 *     model_prepare(model, 1, &err);                              // optional: pay the plan now
 *     pixels_to_tensor(rgb, info->size, info->size, &info->format, input);   // gpu/pixels.h
 *     model_run(model, 1, input, output, &err);
 *     pixels_from_tensor(output, info->out_size, info->out_size, &info->format, rgb);
 *     model_close(&model);
 *
 * The architectures are listed in gpu/models/architectures.h. Architecture, variant, kind, channels
 * and a size that alone fits are read from the tensors; else the size comes from the options.
 * The same input gives the same bytes at any batch size and in any slot of the batch.
 * A model belongs to one thread at a time, and may be handed over: opened and prepared in one
 * thread, then run in another. It uses `threads` cores while it runs and none between runs. */
#ifndef DARKROOM_GPU_MODEL_H
#define DARKROOM_GPU_MODEL_H

#include "gpu/pixels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct model;

enum model_device {
    MODEL_CPU,  /* oneDNN */
    MODEL_CUDA, /* our kernels */
    MODEL_REF   /* plain C: slow, the oracle of the tests */
};

/* What a job has to bring. */
enum model_input { MODEL_FROM_PICTURE, MODEL_FROM_DIGITS };

enum model_precision { MODEL_F32, MODEL_BF16, MODEL_F16 };

struct model_options {
    const char *architecture; /* borrowed; "ugatit" …; NULL: whatever the tensors say */
    const char *variant;      /* borrowed; "pytorch", "tensorflow"; NULL: the same */
    const char *part;         /* borrowed; of a file with several networks: "genB2A",
                                 "generator_A"; NULL: the one that its makers meant */
    enum model_device device;
    enum model_precision precision;
    int threads;      /* 0: every core this process may use */
    int size;         /* side of the input in pixels; 0: what the weights or the architecture say */
    bool heat_map;    /* give where the attention lies as well */
    bool no_winograd; /* on a CPU: slower convolutions, in a quarter of their weights' memory */
    bool no_smoothing; /* U-GAT-IT that TensorFlow trained without its smoothing */
};

/* Everything a caller may ask about an open model. */
struct model_info {
    const char *architecture; /* "ugatit" …; static storage */
    const char *kind;         /* "light", "full", "digits" …; static storage */
    const char *variant;      /* "pytorch" or "tensorflow"; static storage */
    enum model_input input;
    enum model_device device;
    enum model_precision precision;
    int channels;                /* of the first layer: 64 in the paper */
    int size;                    /* side of the picture that the network takes, or else gives */
    int out_size;                /* side of the picture that it gives */
    struct pixels_format format; /* between pictures and tensors, as the original has it */
    int heat_side;               /* of the heat map behind the picture; 0: none was asked for */
    size_t in_values;            /* floats of one input; a picture is [3][size][size] */
    size_t out_values;     /* and of one output: [3][out_size][out_size], [heat_side][heat_side] */
    int64_t parameters;    /* trained values in the file */
    int64_t multiply_adds; /* of one picture, counted as the paper's layers have them */
};

/* Memory of a model's own. The mapped file of its weights is not counted: the system takes that
 * back when it likes. */
struct model_bytes {
    size_t host, device;
};

#define MODEL_MAX_BATCH 64
#define MODEL_MIN_SIZE 16
#define MODEL_MAX_SIZE 2048

struct model_options model_options_default(void); /* CPU, f32, all cores, sizes from the weights */

/* Names as on the command line: "cpu", "cuda", "ref"; "f32", "bf16", "f16". ERR_INVALID. */
int model_device_parse(const char *text, enum model_device *out_device, struct err *err);
int model_precision_parse(const char *text, enum model_precision *out_precision, struct err *err);
const char *model_device_name(enum model_device device);
const char *model_precision_name(enum model_precision precision);

/* On success *out_model is owned by the caller. ERR_NOT_FOUND, ERR_CORRUPT (the text names the
 * tensor and both shapes), ERR_UNSUPPORTED (architecture, device or precision that this build or
 * machine does not have), ERR_INVALID (size), ERR_NOMEM, ERR_DEVICE. */
int model_open(const char *path, const struct model_options *options, struct model **out_model,
               struct err *err);

/* The same model for pictures of another size, prepared. `model` is borrowed until this one is
 * closed, and both belong to one thread; on a CPU they share the packed weights, so that it takes
 * some milliseconds. *out_sized is owned by the caller. ERR_UNSUPPORTED where the network fits one
 * size only, ERR_INVALID for one that it does not take, else as model_prepare(). */
int model_open_sized(struct model *model, int size, struct model **out_sized, struct err *err);

/* Accepts NULL inside; sets it to NULL. */
void model_close(struct model **model);

/* Borrowed until model_close(). */
const struct model_info *model_info(const struct model *model);

/* Builds and keeps the plan for this batch size, so that the first run is as fast as the next.
 * Opening a model only maps and checks its weights; what costs time happens here, or in the first
 * run. */
int model_prepare(struct model *model, int batch, struct err *err);

/* What the model holds now, and before it is prepared what it is going to hold with batches of up
 * to `batch`: rather too much than too little. */
struct model_bytes model_bytes(const struct model *model);
struct model_bytes model_estimate(const struct model *model, int batch);

/* `input` and `output`: [batch, in_values] and [batch, out_values], both borrowed, no overlap.
 * Pictures are [3, size, size] as `format` says, and [3, out_size, out_size], with heat_map
 * followed by the sums over the attention's channels; cgan's are in cgan.h. ERR_INVALID for a batch
 * outside 1..MODEL_MAX_BATCH, ERR_CORRUPT where a layer gave NaN or infinity (the text names it).
 * After an error `output` is unspecified. */
int model_run(struct model *model, int batch, const float *input, float *output, struct err *err);

/* What the machine multiplies and adds at most with these options (of which device, precision and
 * threads count), in FLOP/s, measured for some tenths of a second. ERR_UNSUPPORTED where nobody can
 * tell. */
int model_device_peak(const struct model_options *options, double *out_flops, struct err *err);

/* Whether the device computes as it should, with a small network of its own: for who doubts it. 0:
 * it does. ERR_DEVICE says what came instead of what. */
int model_check_device(const struct model_options *options, struct err *err);

/* The memory of a device that model_bytes() counts, of the host (or what its container may have)
 * for the CPU: all of it, and what is free now. ERR_UNSUPPORTED where there is no such device. */
int model_device_memory(enum model_device device, uint64_t *out_total, uint64_t *out_free,
                        struct err *err);

#endif
