/* SPDX-License-Identifier: MIT
 *
 * A file of named tensors, mapped into memory and checked as hostile input.
 *
 *     struct weights *weights, *generator;
 *     struct tensor t;
 *     if (weights_open("selfie2anime_params_latest.pt", &weights, &err) < 0) ...
 *     if (weights_view(weights, "genA2B.", &generator, &err) < 0) ...
 *     weights_find(generator, "conv1x1.weight", &t);
 *     weights_close(&generator);                            // before what it looks at
 *     weights_close(&weights);
 *
 * The format is recognised by content: see weights_format(). Whatever the format, tensors have
 * names, F32 to BOOL as types, positive sizes, and are packed row by row, little endian. Names of
 * folders, scopes and dictionaries inside a file are joined by the file's own sign: PyTorch's with
 * a dot ("genA2B.conv1x1.weight"), TensorFlow's and Keras' with a slash.
 *
 * Checked on opening: every length, offset and count, names, types, shapes, and that every tensor
 * lies inside the file with the bytes that its shape needs. Nothing in a file is ever executed.
 * Immutable once open: any number of threads may read. */
#ifndef DARKROOM_GPU_WEIGHTS_H
#define DARKROOM_GPU_WEIGHTS_H

#include "gpu/tensor.h"

struct err;
struct weights;

#define WEIGHTS_MAX_TENSORS 65536
#define WEIGHTS_MAX_NAME_BYTES 256
#define WEIGHTS_MAX_TEXT_BYTES 65536 /* of an attribute */

/* `path` is a file, or the prefix or the .index of a TensorFlow checkpoint. On success
 * *out_weights is owned by the caller. ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT (of no format that is
 * known here, cut off, or contradicting itself), ERR_UNSUPPORTED (a type or rank we do not handle,
 * or a format that this build cannot read), ERR_LIMIT, ERR_NOMEM. */
int weights_open(const char *path, struct weights **out_weights, struct err *err);

/* The same for bytes in memory, of formats that are one file; `data` is borrowed until
 * weights_close(). */
int weights_open_memory(const void *data, size_t size, struct weights **out_weights,
                        struct err *err);

/* The tensors and attributes whose names begin with `prefix`, under the rest of their names; ""
 * gives all. It borrows their bytes from `weights`, which must outlive it. *out_view is owned by
 * the caller (weights_close). ERR_NOT_FOUND, in words, where no tensor's name begins so. */
int weights_view(const struct weights *weights, const char *prefix, struct weights **out_view,
                 struct err *err);

/* Accepts NULL inside; sets it to NULL. Tensors handed out before are dead then. */
void weights_close(struct weights **weights);

/* Whoever needed the tensors has read them: pages of mapped files no longer count as this process's
 * memory. They stay in the system's cache, and come back when somebody reads them. Of a view
 * nothing: say it to what it looks at. */
void weights_release_pages(const struct weights *weights);

/* "safetensors", "torch-zip", "torch-legacy", "stylegan2-ada", "tensorflow-bundle", "keras-h5";
 * of a view what it looks at. Static storage. */
const char *weights_format(const struct weights *weights);

/* Memory of its own for tensors: copies and transposed ones, not what is mapped. */
uint64_t weights_bytes(const struct weights *weights);

size_t weights_count(const struct weights *weights);

/* Entry `index` in name order; the name is borrowed. */
const char *weights_at(const struct weights *weights, size_t index, struct tensor *out_tensor);

/* ERR_NOT_FOUND without a text: whether that is an error is the caller's to say. */
int weights_find(const struct weights *weights, const char *name, struct tensor *out_tensor);

/* Finds `name` with exactly this shape, or says which tensor and both shapes: ERR_CORRUPT.
 * ERR_UNSUPPORTED for a type that no network runs on (tensor_type_is_weight). */
int weights_require(const struct weights *weights, const char *name, int rank, const int64_t *dim,
                    struct tensor *out_tensor, struct err *err);

/* What a file says beside its tensors: safetensors' metadata, the scalars of a pickle, Keras'
 * attributes. */
struct weights_attribute {
    const char *text; /* borrowed; NULL: it is a number */
    double number;
};

/* ERR_NOT_FOUND without a text. */
int weights_attribute(const struct weights *weights, const char *name,
                      struct weights_attribute *out_attribute);
size_t weights_attribute_count(const struct weights *weights);
/* Attribute `index` in name order; the name is borrowed. */
const char *weights_attribute_at(const struct weights *weights, size_t index,
                                 struct weights_attribute *out_attribute);

#endif
