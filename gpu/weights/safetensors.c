/* SPDX-License-Identifier: MIT */
#include "gpu/weights/weights.h"

#include "common/err.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* {"name": {"dtype": …, "shape": […], "data_offsets": […]}}: arrays are the third level. */
#define HEADER_DEPTH 3
#define MAX_DIM (INT64_C(1) << 40)

struct entry {
    char *name; /* owned */
    struct tensor tensor;
    uint64_t begin, end; /* within the data part */
};

struct weights {
    const unsigned char *data; /* the whole file */
    size_t size;
    bool mapped;           /* ours to unmap; else borrowed */
    struct entry *entries; /* owned; in name order once open */
    size_t count;
};

static int read_type(const char *name, const json_t *description, struct tensor *out,
                     struct err *err)
{
    static const struct {
        const char *name;
        enum tensor_type type;
    } types[] = {{"F32", TENSOR_F32}, {"F16", TENSOR_F16}, {"BF16", TENSOR_BF16}};
    const char *text = json_string_value(json_object_get(description, "dtype"));
    if (!text)
        return err_set(err, ERR_CORRUPT, name, "tensor %s has no dtype", name);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(text, types[i].name) == 0) {
            out->type = types[i].type;
            return 0;
        }
    return err_set(err, ERR_UNSUPPORTED, name,
                   "tensor %s has type %.16s; F32, F16 and BF16 are supported", name, text);
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
    uint64_t bytes = tensor_type_size(out->type);
    for (int i = 0; i < out->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        int64_t value = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (value < 1 || value > MAX_DIM || __builtin_mul_overflow(bytes, (uint64_t)value, &bytes))
            return err_set(err, ERR_CORRUPT, name, "tensor %s: dimension %d is not a size", name,
                           i);
        out->dim[i] = value;
    }
    *out_bytes = bytes;
    return 0;
}

static int read_offsets(const char *name, const json_t *description, uint64_t need,
                        uint64_t available, struct entry *out, struct err *err)
{
    const json_t *offsets = json_object_get(description, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return err_set(err, ERR_CORRUPT, name, "tensor %s: data_offsets are not two positions",
                       name);
    out->begin = (uint64_t)json_integer_value(begin);
    out->end = (uint64_t)json_integer_value(end);
    char shape[TENSOR_SHAPE_SIZE];
    tensor_shape_text(out->tensor.rank, out->tensor.dim, shape);
    if (out->end - out->begin != need)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s has %" PRIu64 " bytes, but %s %s needs %" PRIu64, name,
                       out->end - out->begin, tensor_type_name(out->tensor.type), shape, need);
    if (out->end > available)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s (%s) ends at byte %" PRIu64
                       " of the data, but the file holds %" PRIu64 ": it is cut off",
                       name, shape, out->end, available);
    return 0;
}

static int read_entry(const char *name, const json_t *description, uint64_t available,
                      struct entry *out, struct err *err)
{
    uint64_t need = 0;
    if (name[0] == 0 || strlen(name) > WEIGHTS_MAX_NAME_BYTES ||
        !json_text_is_clean(name, strlen(name)))
        return err_set(err, ERR_CORRUPT, NULL,
                       "a tensor's name must be 1 to %d bytes without control characters",
                       WEIGHTS_MAX_NAME_BYTES);
    if (!json_is_object(description))
        return err_set(err, ERR_CORRUPT, name, "tensor %s is not described by an object", name);
    int rc = read_type(name, description, &out->tensor, err);
    if (rc == 0)
        rc = read_shape(name, description, &out->tensor, &need, err);
    if (rc == 0)
        rc = read_offsets(name, description, need, available, out, err);
    if (rc == 0 && !(out->name = strdup(name)))
        rc = ERR_NOMEM;
    return rc;
}

static int by_position(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int check_overlap(struct weights *weights, struct err *err)
{
    qsort(weights->entries, weights->count, sizeof *weights->entries, by_position);
    for (size_t i = 1; i < weights->count; i++)
        if (weights->entries[i].begin < weights->entries[i - 1].end)
            return err_set(err, ERR_CORRUPT, weights->entries[i].name,
                           "tensors %s and %s overlap in the file", weights->entries[i - 1].name,
                           weights->entries[i].name);
    return 0;
}

static int read_entries(struct weights *weights, json_t *header, const unsigned char *data,
                        uint64_t available, struct err *err)
{
    const char *name;
    json_t *description;
    size_t members = json_object_size(header);
    if (members > WEIGHTS_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "weights", "%zu tensors, more than %d", members,
                       WEIGHTS_MAX_TENSORS);
    weights->entries = calloc(members ? members : 1, sizeof *weights->entries);
    if (!weights->entries)
        return ERR_NOMEM;
    json_object_foreach(header, name, description)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        struct entry *entry = &weights->entries[weights->count];
        int rc = read_entry(name, description, available, entry, err);
        if (rc < 0)
            return rc;
        entry->tensor.data = data + entry->begin;
        weights->count++;
    }
    return 0;
}

/* weights->data and ->size are set; everything else is made here. */
static int parse(struct weights *weights, struct err *err)
{
    json_t *header = NULL;
    uint64_t length = 0;
    if (weights->size < 8)
        return err_set(err, ERR_CORRUPT, "weights", "%zu bytes is no safetensors file",
                       weights->size);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | weights->data[i];
    if (length > WEIGHTS_MAX_HEADER_BYTES)
        return err_set(err, ERR_CORRUPT, "weights",
                       "not a safetensors file: its header would have %" PRIu64
                       " bytes, more than %u",
                       length, WEIGHTS_MAX_HEADER_BYTES);
    if (length > weights->size - 8)
        return err_set(err, ERR_CORRUPT, "weights",
                       "the header has %" PRIu64 " bytes, but the file ends after %zu", length,
                       weights->size - 8);
    struct err cause = {0};
    int rc =
        json_parse(weights->data + 8, (size_t)length,
                   (struct json_limits){WEIGHTS_MAX_HEADER_BYTES, HEADER_DEPTH}, &header, &cause);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc < 0 || !json_is_object(header))
        rc = err_set(err, ERR_CORRUPT, "weights", "the header is not an object of JSON: %.150s",
                     cause.text);
    else
        rc = read_entries(weights, header, weights->data + 8 + length, weights->size - 8 - length,
                          err);
    json_decref(header);
    if (rc == 0)
        rc = check_overlap(weights, err);
    if (rc == 0)
        qsort(weights->entries, weights->count, sizeof *weights->entries, by_name);
    return rc;
}

/* Takes the mapping: it is gone if this fails. */
static int open_bytes(const void *data, size_t size, bool mapped, struct weights **out_weights,
                      struct err *err)
{
    struct weights *weights = calloc(1, sizeof *weights);
    if (!weights) {
        if (mapped)
            munmap((void *)(uintptr_t)data, size);
        return ERR_NOMEM;
    }
    *weights = (struct weights){.data = data, .size = size, .mapped = mapped};
    int rc = parse(weights, err);
    if (rc < 0)
        weights_close(&weights);
    else
        *out_weights = weights;
    return rc;
}

int weights_open_memory(const void *data, size_t size, struct weights **out_weights,
                        struct err *err)
{
    return open_bytes(data, size, false, out_weights, err);
}

int weights_open(const char *path, struct weights **out_weights, struct err *err)
{
    struct stat status;
    void *data = MAP_FAILED;
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bool missing = errno == ENOENT;
        err_set_errno(err, "weights", "%s", path);
        return missing ? ERR_NOT_FOUND : ERR_IO;
    }
    if (fstat(fd, &status) < 0)
        rc = err_set_errno(err, "weights", "%s", path);
    else if (!S_ISREG(status.st_mode))
        rc = err_set(err, ERR_INVALID, "weights", "%s is not a file", path);
    else if (status.st_size < 8)
        rc = err_set(err, ERR_CORRUPT, "weights", "%jd bytes is no safetensors file",
                     (intmax_t)status.st_size);
    else if ((data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) ==
             MAP_FAILED)
        rc = err_set_errno(err, "weights", "%s", path);
    close(fd);
    return rc < 0 ? rc : open_bytes(data, (size_t)status.st_size, true, out_weights, err);
}

void weights_close(struct weights **weights)
{
    struct weights *w = *weights;
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++)
        free(w->entries[i].name);
    free(w->entries);
    if (w->mapped)
        munmap((void *)(uintptr_t)w->data, w->size);
    free(w);
    *weights = NULL;
}

size_t weights_count(const struct weights *weights)
{
    return weights->count;
}

const char *weights_at(const struct weights *weights, size_t index, struct tensor *out_tensor)
{
    *out_tensor = weights->entries[index].tensor;
    return weights->entries[index].name;
}

int weights_find(const struct weights *weights, const char *name, struct tensor *out_tensor)
{
    struct entry key = {.name = (char *)(uintptr_t)name};
    const struct entry *entry =
        bsearch(&key, weights->entries, weights->count, sizeof key, by_name);
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
    *out_tensor = tensor;
    return 0;
}
