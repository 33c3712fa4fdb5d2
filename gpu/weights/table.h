/* SPDX-License-Identifier: MIT
 *
 * What a reader of a weights format fills: names, tensors, attributes and the memory they lie in.
 * Internal to gpu/weights and to the views that gpu/models makes.
 *
 *     static bool matches(const struct weights_source *source)        // cheap: the first bytes
 *     static int read(const struct weights_source *source, struct table *table, struct err *err)
 *     {
 *         ... source->data, source->size: the mapped file; tensors may point into it ...
 *         unsigned char *copy = table_alloc(table, bytes, err);       // else memory of the table
 *         return table_add(table, "genA2B.conv1x1.bias", &tensor, err);
 *     }
 *     const struct weights_reader weights_reader_safetensors = {"safetensors", matches, read};
 *
 * A new format is one file with such a row, and a line in the list of weights.c. After read() the
 * front sorts the names, refuses two of the same, and closes everything if any step fails: a reader
 * cleans up nothing that it gave to the table. A tensor given to table_add() must already lie in
 * memory with all its bytes (the reader has compared offset and length with the file); the table
 * checks name, rank, sizes and that the number of bytes does not overflow.
 * One thread while it is filled. */
#ifndef DARKROOM_GPU_WEIGHTS_TABLE_H
#define DARKROOM_GPU_WEIGHTS_TABLE_H

#include "gpu/weights/weights.h"

#include <stdbool.h>

/* All memory that a reader takes for one file. */
#define TABLE_MAX_BYTES (UINT64_C(16) << 30)
#define TABLE_MAX_DIM (INT64_C(1) << 40)
#define TABLE_MAX_ATTRIBUTES 65536

struct table;

struct weights_source {
    const char *path;          /* borrowed; NULL for bytes in memory */
    const unsigned char *data; /* borrowed: the table's own mapping, or the caller's memory */
    size_t size;
};

struct weights_reader {
    const char *format;
    bool (*matches)(const struct weights_source *source);
    int (*read)(const struct weights_source *source, struct table *table, struct err *err);
};

extern const struct weights_reader weights_reader_safetensors;
extern const struct weights_reader weights_reader_tensorflow;
extern const struct weights_reader weights_reader_keras;
extern const struct weights_reader weights_reader_torch_zip;
extern const struct weights_reader weights_reader_torch_legacy;
extern const struct weights_reader weights_reader_stylegan;

/* Checks and adds one tensor. `name` is copied; the tensor's data is borrowed from the source or
 * the table. ERR_CORRUPT (name, size), ERR_UNSUPPORTED (rank), ERR_LIMIT, ERR_NOMEM. */
int table_add(struct table *table, const char *name, const struct tensor *tensor, struct err *err);

/* Both are copied. A text that is too long or not clean text is left out without an error, as it is
 * for information only. ERR_LIMIT (too many), ERR_CORRUPT (name), ERR_NOMEM. */
int table_add_number(struct table *table, const char *name, double value, struct err *err);
int table_add_text(struct table *table, const char *name, const char *text, size_t size,
                   struct err *err);

/* Names go into errors, logs and JSON: ERR_CORRUPT unless this one is short, valid UTF-8 without
 * control characters. table_add() asks as well; before it, for who puts a name into an error. */
int table_check_name(const char *name, struct err *err);

/* The bytes that a tensor of this type and shape needs. As table_add() for what is no shape. */
int table_tensor_bytes(const char *name, const struct tensor *tensor, uint64_t *out_bytes,
                       struct err *err);

/* Memory for tensors, freed with the table, aligned as malloc()'s. NULL after ERR_LIMIT past
 * TABLE_MAX_BYTES, or ERR_NOMEM; the code is in *out_rc. */
void *table_alloc(struct table *table, uint64_t bytes, int *out_rc, struct err *err);

/* Maps a whole file until the table goes: another part of the same weights. *out_data is NULL for
 * an empty file. ERR_NOT_FOUND, ERR_IO, ERR_INVALID (no regular file), ERR_NOMEM. */
int table_map(struct table *table, const char *path, const unsigned char **out_data,
              size_t *out_size, struct err *err);

/* Lets the pages of all mappings go: weights_release_pages(). */
void table_release_pages(const struct table *table);

/* A derived view, filled by hand as a reader fills its table and then sealed: the network's own
 * names on another file's tensors, transposed where the layouts differ (memory of the view).
 *
 *     struct weights *view = table_view_create(base);
 *     rc = table_add(table_of(view), "FC.0.weight", &tensor, err);
 *     rc = table_view_finish(&view, rc, out_view, err);         // closes it after an error
 */
struct weights *table_view_create(const struct weights *base); /* NULL: no memory */
struct table *table_of(struct weights *view);
int table_view_finish(struct weights **view, int rc, struct weights **out_view, struct err *err);

/* `tensor` with its axes in another order, axis i of the result being order[i] of the source:
 * copied into the table's memory, unless the bytes stay in place. */
int table_transpose(struct table *table, const struct tensor *tensor, const int *order,
                    struct tensor *out_tensor, struct err *err);

#endif
