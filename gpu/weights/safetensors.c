/* SPDX-License-Identifier: MIT
 *
 * safetensors: 8 bytes little-endian length, a header of JSON, the tensors' bytes. They are used
 * where they lie. That no two tensors overlap is checked as well. */
#include "gpu/weights/table.h"

#include "common/err.h"
#include "common/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER_BYTES (16u << 20)
/* {"name": {"dtype": …, "shape": […], "data_offsets": […]}}: arrays are the third level. */
#define HEADER_DEPTH 3

/* Where a tensor lies within the data part. */
struct extent {
    const char *name; /* borrowed from the header */
    uint64_t begin, end;
};

struct reading {
    struct table *table;
    const unsigned char *data; /* the data part */
    uint64_t available;
    struct extent *extents; /* owned */
    size_t count;
};

static int read_type(const char *name, const json_t *description, struct tensor *out,
                     struct err *err)
{
    const char *text = json_string_value(json_object_get(description, "dtype"));
    if (!text)
        return err_set(err, ERR_CORRUPT, name, "tensor %s has no dtype", name);
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++)
        if (strcmp(text, tensor_type_name((enum tensor_type)type)) == 0) {
            out->type = (enum tensor_type)type;
            return 0;
        }
    return err_set(err, ERR_UNSUPPORTED, name,
                   "tensor %s has type %.16s; floats of 16 to 64 bits, signed integers, U8 and "
                   "BOOL are supported",
                   name, text);
}

/* Fills rank and dim, and says how many bytes the data must have. */
static int read_shape(const char *name, const json_t *description, struct tensor *out,
                      uint64_t *out_bytes, struct err *err)
{
    const json_t *shape = json_object_get(description, "shape");
    if (!json_is_array(shape))
        return err_set(err, ERR_CORRUPT, name, "tensor %s has no shape", name);
    if (json_array_size(shape) > TENSOR_MAX_RANK)
        return err_set(err, ERR_UNSUPPORTED, name, "tensor %s has %zu dimensions, more than %d",
                       name, json_array_size(shape), TENSOR_MAX_RANK);
    out->rank = (int)json_array_size(shape);
    for (int i = 0; i < out->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        out->dim[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
    }
    return table_tensor_bytes(name, out, out_bytes, err);
}

static int read_offsets(const char *name, const json_t *description, const struct tensor *tensor,
                        uint64_t need, struct reading *r, struct err *err)
{
    const json_t *offsets = json_object_get(description, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return err_set(err, ERR_CORRUPT, name, "tensor %s: data_offsets are not two positions",
                       name);
    struct extent extent = {name, (uint64_t)json_integer_value(begin),
                            (uint64_t)json_integer_value(end)};
    char shape[TENSOR_SHAPE_SIZE];
    tensor_shape_text(tensor->rank, tensor->dim, shape);
    if (extent.end - extent.begin != need)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s has %" PRIu64 " bytes, but %s %s needs %" PRIu64, name,
                       extent.end - extent.begin, tensor_type_name(tensor->type), shape, need);
    if (extent.end > r->available)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s (%s) ends at byte %" PRIu64
                       " of the data, but the file holds %" PRIu64 ": it is cut off",
                       name, shape, extent.end, r->available);
    r->extents[r->count++] = extent;
    return 0;
}

static int read_entry(const char *name, const json_t *description, struct reading *r,
                      struct err *err)
{
    struct tensor tensor = {0};
    uint64_t need = 0;
    if (!json_is_object(description))
        return err_set(err, ERR_CORRUPT, name, "tensor %s is not described by an object", name);
    int rc = read_type(name, description, &tensor, err);
    if (rc == 0)
        rc = read_shape(name, description, &tensor, &need, err);
    if (rc == 0)
        rc = read_offsets(name, description, &tensor, need, r, err);
    if (rc < 0)
        return rc;
    tensor.data = r->data + r->extents[r->count - 1].begin;
    return table_add(r->table, name, &tensor, err);
}

static int by_position(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int check_overlap(struct reading *r, struct err *err)
{
    qsort(r->extents, r->count, sizeof *r->extents, by_position);
    for (size_t i = 1; i < r->count; i++)
        if (r->extents[i].begin < r->extents[i - 1].end)
            return err_set(err, ERR_CORRUPT, r->extents[i].name,
                           "tensors %s and %s overlap in the file", r->extents[i - 1].name,
                           r->extents[i].name);
    return 0;
}

/* What the writer says of the file: "format", "license" … All are texts there, so one that is
 * a number and nothing else is taken for one, as another format may have had it. */
static int read_attribute(const char *name, const json_t *value, struct table *table,
                          struct err *err)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    const double number = text ? strtod(text, &end) : 0;
    if (!text)
        return 0;
    if (end > text && *end == 0 && (isdigit((unsigned char)*text) || *text == '-'))
        return table_add_number(table, name, number, err);
    return table_add_text(table, name, text, json_string_length(value), err);
}

static int read_metadata(json_t *metadata, struct table *table, struct err *err)
{
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach(metadata, name, value)
    {
        if (rc == 0)
            rc = read_attribute(name, value, table, err);
    }
    return rc;
}

static int read_entries(json_t *header, struct reading *r, struct err *err)
{
    const char *name;
    json_t *description;
    size_t members = json_object_size(header);
    if (members > WEIGHTS_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "weights", "%zu tensors, more than %d", members,
                       WEIGHTS_MAX_TENSORS);
    r->extents = calloc(members ? members : 1, sizeof *r->extents);
    int rc = r->extents ? 0 : ERR_NOMEM;
    json_object_foreach(header, name, description)
    {
        if (rc == 0)
            rc = strcmp(name, "__metadata__") == 0 ? read_metadata(description, r->table, err)
                                                   : read_entry(name, description, r, err);
    }
    if (rc == 0)
        rc = check_overlap(r, err);
    free(r->extents);
    return rc;
}

static uint64_t header_length(const struct weights_source *source)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | source->data[i];
    return length;
}

static bool matches(const struct weights_source *source)
{
    return source->size > 8 && source->data[8] == '{' && header_length(source) <= MAX_HEADER_BYTES;
}

static int read_file(const struct weights_source *source, struct table *table, struct err *err)
{
    json_t *header = NULL;
    const uint64_t length = header_length(source), rest = source->size - 8;
    struct err cause = {0};
    if (length > rest)
        return err_set(err, ERR_CORRUPT, "weights",
                       "the header has %" PRIu64 " bytes, but the file ends after %" PRIu64, length,
                       rest);
    int rc = json_parse(source->data + 8, (size_t)length,
                        (struct json_limits){MAX_HEADER_BYTES, HEADER_DEPTH}, &header, &cause);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc < 0 || !json_is_object(header))
        rc = err_set(err, ERR_CORRUPT, "weights", "the header is not an object of JSON: %.150s",
                     cause.text);
    else
        rc = read_entries(header,
                          &(struct reading){.table = table,
                                            .data = source->data + 8 + length,
                                            .available = rest - length},
                          err);
    json_decref(header);
    return rc;
}

const struct weights_reader weights_reader_safetensors = {"safetensors", matches, read_file};
