/* SPDX-License-Identifier: MIT */
#include "gpu/weights/weights.h"

#include "common/err.h"
#include "gpu/weights/table_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct weights {
    struct table table;
    const char *format; /* static storage */
};

/* In the order in which they are asked. */
static const struct weights_reader *const readers[] = {
    &weights_reader_safetensors,  &weights_reader_tensorflow, &weights_reader_torch_zip,
    &weights_reader_torch_legacy, &weights_reader_stylegan,   &weights_reader_keras,
};

/* The reader whose format this is, or NULL. */
static const struct weights_reader *recognise(const struct weights_source *source)
{
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (readers[i]->matches(source))
            return readers[i];
    return NULL;
}

static int read_source(struct weights *weights, const struct weights_source *source,
                       struct err *err)
{
    const struct weights_reader *reader = recognise(source);
    if (!reader)
        return err_set(err, ERR_CORRUPT, "weights",
                       "%zu bytes that are no weights file of a known format", source->size);
    weights->format = reader->format;
    int rc = reader->read(source, &weights->table, err);
    return rc < 0 ? rc : table_seal(&weights->table, err);
}

int weights_open_memory(const void *data, size_t size, struct weights **out_weights,
                        struct err *err)
{
    struct weights *weights = calloc(1, sizeof *weights);
    int rc = weights
                 ? read_source(weights, &(struct weights_source){.data = data, .size = size}, err)
                 : ERR_NOMEM;
    if (rc == 0) {
        *out_weights = weights;
        weights = NULL;
    }
    weights_close(&weights);
    return rc;
}

/* What is opened for `path`: itself, or the index of the checkpoint that it is the prefix of. */
static int find_file(const char *path, char *out, size_t size)
{
    int length = snprintf(out, size, "%s.index", path);
    if (length < 0 || (size_t)length >= size || access(path, F_OK) == 0 || access(out, F_OK) < 0)
        length = snprintf(out, size, "%s", path);
    return length >= 0 && (size_t)length < size ? 0 : ERR_LIMIT;
}

int weights_open(const char *path, struct weights **out_weights, struct err *err)
{
    char file[4096];
    struct weights_source source = {.path = file};
    if (find_file(path, file, sizeof file) < 0)
        return err_set(err, ERR_LIMIT, "weights", "the path is longer than %zu bytes", sizeof file);
    struct weights *weights = calloc(1, sizeof *weights);
    int rc =
        weights ? table_map(&weights->table, file, &source.data, &source.size, err) : ERR_NOMEM;
    if (rc == 0)
        rc = read_source(weights, &source, err);
    if (rc == 0) {
        *out_weights = weights;
        weights = NULL;
    }
    weights_close(&weights);
    return rc;
}

void weights_close(struct weights **weights)
{
    if (!*weights)
        return;
    table_fini(&(*weights)->table);
    free(*weights);
    *weights = NULL;
}

struct weights *table_view_create(const struct weights *base)
{
    struct weights *view = calloc(1, sizeof *view);
    if (view)
        view->format = base->format;
    return view;
}

struct table *table_of(struct weights *view)
{
    return &view->table;
}

int table_view_finish(struct weights **view, int rc, struct weights **out_view, struct err *err)
{
    if (rc == 0)
        rc = table_seal(&(*view)->table, err);
    if (rc == 0) {
        *out_view = *view;
        *view = NULL;
    }
    weights_close(view);
    return rc;
}

int weights_view(const struct weights *weights, const char *prefix, struct weights **out_view,
                 struct err *err)
{
    const struct table *from = &weights->table;
    const size_t length = strlen(prefix);
    struct weights *view = table_view_create(weights);
    int rc = view ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < from->count; i++)
        if (strncmp(from->entries[i].name, prefix, length) == 0 && from->entries[i].name[length])
            rc = table_add(&view->table, from->entries[i].name + length, &from->entries[i].tensor,
                           err);
    for (size_t i = 0; rc == 0 && i < from->attribute_count; i++) {
        const struct table_attribute *a = &from->attributes[i];
        if (strncmp(a->name, prefix, length) != 0 || !a->name[length])
            continue;
        rc = a->text ? table_add_text(&view->table, a->name + length, a->text, strlen(a->text), err)
                     : table_add_number(&view->table, a->name + length, a->number, err);
    }
    if (rc == 0 && view->table.count == 0 && length > 0)
        rc = err_set(err, ERR_NOT_FOUND, "weights", "no tensor's name begins with %s", prefix);
    return table_view_finish(&view, rc, out_view, err);
}

void weights_release_pages(const struct weights *weights)
{
    table_release_pages(&weights->table);
}

const char *weights_format(const struct weights *weights)
{
    return weights->format;
}

uint64_t weights_bytes(const struct weights *weights)
{
    return weights->table.bytes;
}

size_t weights_count(const struct weights *weights)
{
    return weights->table.count;
}

const char *weights_at(const struct weights *weights, size_t index, struct tensor *out_tensor)
{
    assert(index < weights->table.count);
    *out_tensor = weights->table.entries[index].tensor;
    return weights->table.entries[index].name;
}

int weights_find(const struct weights *weights, const char *name, struct tensor *out_tensor)
{
    const struct table_entry *entry = table_find(&weights->table, name);
    if (!entry)
        return ERR_NOT_FOUND;
    *out_tensor = entry->tensor;
    return 0;
}

int weights_require(const struct weights *weights, const char *name, int rank, const int64_t *dim,
                    struct tensor *out_tensor, struct err *err)
{
    char want[TENSOR_SHAPE_SIZE], have[TENSOR_SHAPE_SIZE];
    struct tensor tensor;
    tensor_shape_text(rank, dim, want);
    if (weights_find(weights, name, &tensor) < 0)
        return err_set(err, ERR_CORRUPT, name, "tensor %s (%s) is missing", name, want);
    tensor_shape_text(tensor.rank, tensor.dim, have);
    if (!tensor_has_shape(&tensor, rank, dim))
        return err_set(err, ERR_CORRUPT, name, "tensor %s is %s, but this network needs %s", name,
                       have, want);
    if (!tensor_type_is_weight(tensor.type))
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s has type %s; networks run on F32, F16, BF16 and F64", name,
                       tensor_type_name(tensor.type));
    *out_tensor = tensor;
    return 0;
}

static struct weights_attribute value_of(const struct table_attribute *attribute)
{
    return (struct weights_attribute){.text = attribute->text, .number = attribute->number};
}

int weights_attribute(const struct weights *weights, const char *name,
                      struct weights_attribute *out_attribute)
{
    const struct table_attribute *attribute = table_find_attribute(&weights->table, name);
    if (!attribute)
        return ERR_NOT_FOUND;
    *out_attribute = value_of(attribute);
    return 0;
}

size_t weights_attribute_count(const struct weights *weights)
{
    return weights->table.attribute_count;
}

const char *weights_attribute_at(const struct weights *weights, size_t index,
                                 struct weights_attribute *out_attribute)
{
    assert(index < weights->table.attribute_count);
    *out_attribute = value_of(&weights->table.attributes[index]);
    return weights->table.attributes[index].name;
}
