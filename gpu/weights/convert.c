/* SPDX-License-Identifier: MIT */
#include "gpu/weights/convert.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/json.h"
#include "gpu/weights/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64
#define MAX_HEADER_BYTES (16u << 20) /* what safetensors.c reads */
#define PIECE 4096

struct conversion {
    const struct weights *weights;
    enum tensor_type floats;
    size_t *order; /* owned: indices of tensors as they lie in the file */
    size_t count;
    struct file_writer writer;
};

static enum tensor_type type_of(const struct conversion *c, const struct tensor *tensor)
{
    return tensor_type_is_weight(tensor->type) ? c->floats : tensor->type;
}

static uint64_t bytes_of(const struct conversion *c, const struct tensor *tensor)
{
    return (uint64_t)tensor_count(tensor) * tensor_type_size(type_of(c, tensor));
}

/* Those of whole lines first, each group in name order. */
static int choose_order(struct conversion *c)
{
    struct tensor tensor;
    const size_t count = weights_count(c->weights);
    if (!(c->order = malloc((count ? count : 1) * sizeof *c->order)))
        return ERR_NOMEM;
    for (int rest = 0; rest < 2; rest++)
        for (size_t i = 0; i < count; i++) {
            weights_at(c->weights, i, &tensor);
            if ((bytes_of(c, &tensor) % ALIGNMENT != 0) == rest)
                c->order[c->count++] = i;
        }
    return 0;
}

static json_t *metadata_of(const struct weights *weights)
{
    json_t *metadata = json_object();
    for (size_t i = 0; i < weights_attribute_count(weights); i++) {
        struct weights_attribute a;
        char number[32];
        const char *name = weights_attribute_at(weights, i, &a);
        snprintf(number, sizeof number, "%.17g", a.number);
        json_object_set_new(metadata, name, json_string(a.text ? a.text : number));
    }
    return metadata;
}

/* {"name": {"dtype": …, "shape": […], "data_offsets": […]}} */
static json_t *header_of(const struct conversion *c)
{
    json_t *header = json_object();
    uint64_t position = 0;
    if (weights_attribute_count(c->weights) > 0)
        json_object_set_new(header, "__metadata__", metadata_of(c->weights));
    for (size_t i = 0; i < c->count; i++) {
        struct tensor tensor;
        const char *name = weights_at(c->weights, c->order[i], &tensor);
        const uint64_t begin = position;
        position += bytes_of(c, &tensor);
        json_t *shape = json_array();
        for (int d = 0; d < tensor.rank; d++)
            json_array_append_new(shape, json_integer(tensor.dim[d]));
        json_object_set_new(header, name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype",
                                      tensor_type_name(type_of(c, &tensor)), "shape", shape,
                                      "data_offsets", (json_int_t)begin, (json_int_t)position));
    }
    return header;
}

/* The length, the header, and spaces up to the next line. */
static int write_header(struct conversion *c, struct err *err)
{
    unsigned char length[8];
    struct buf text;
    buf_init(&text, MAX_HEADER_BYTES);
    json_t *header = header_of(c);
    int rc = header ? json_append(&text, header, JSON_COMPACT) : ERR_NOMEM;
    while (rc == 0 && (text.size + sizeof length) % ALIGNMENT)
        rc = buf_append(&text, " ", 1);
    if (rc == ERR_LIMIT)
        err_set(err, rc, "convert", "names and metadata need more than %u bytes", MAX_HEADER_BYTES);
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)text.size >> 8 * i);
    if (rc == 0)
        rc = file_writer_append(&c->writer, length, sizeof length, err);
    if (rc == 0)
        rc = file_writer_append(&c->writer, text.data, text.size, err);
    json_decref(header);
    buf_fini(&text);
    return rc;
}

static int write_halves(struct conversion *c, const char *name, const float *values, size_t count,
                        struct err *err)
{
    unsigned char halves[2 * PIECE];
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = tensor_f16_from_f32(values[i]);
        if (isfinite(values[i]) && (half & 0x7fff) == 0x7c00)
            return err_set(err, ERR_INVALID, name,
                           "tensor %s has the value %g, which is too large for half precision",
                           name, (double)values[i]);
        halves[2 * i] = (unsigned char)half;
        halves[2 * i + 1] = (unsigned char)(half >> 8);
    }
    return file_writer_append(&c->writer, halves, 2 * count, err);
}

static int write_tensor(struct conversion *c, const char *name, const struct tensor *tensor,
                        struct err *err)
{
    const int64_t count = tensor_count(tensor);
    float values[PIECE];
    int rc = 0;
    if (type_of(c, tensor) == tensor->type)
        return file_writer_append(&c->writer, tensor->data, tensor_bytes(tensor), err);
    for (int64_t first = 0; rc == 0 && first < count; first += PIECE) {
        const int64_t size = count - first < PIECE ? count - first : PIECE;
        tensor_part_to_f32(tensor, first, size, values);
        rc = c->floats == TENSOR_F16
                 ? write_halves(c, name, values, (size_t)size, err)
                 : file_writer_append(&c->writer, values, (size_t)size * sizeof *values, err);
    }
    return rc;
}

int convert_to_safetensors(const struct weights *weights, const char *path, enum tensor_type floats,
                           struct err *err)
{
    struct conversion c = {.weights = weights, .floats = floats};
    int rc = choose_order(&c);
    if (rc == 0) {
        rc = file_writer_open(&c.writer, path, err);
        if (rc == 0)
            rc = write_header(&c, err);
        for (size_t i = 0; rc == 0 && i < c.count; i++) {
            struct tensor tensor;
            const char *name = weights_at(weights, c.order[i], &tensor);
            rc = write_tensor(&c, name, &tensor, err);
        }
        rc = file_writer_close(&c.writer, rc, 0644, err);
    }
    free(c.order);
    return rc;
}
