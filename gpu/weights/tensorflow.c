/* SPDX-License-Identifier: MIT
 *
 * TensorFlow's checkpoints of version 2 ("tensor bundles"): PREFIX.index, a LevelDB table from
 * names to small Protocol Buffers messages, and the values in PREFIX.data-00000-of-0000N, which are
 * mapped and used where they lie. Sources: tensor_bundle.proto and tensor_bundle.h of TensorFlow.
 *
 * The index is checked with its checksums; the values' are not, as that would read a gigabyte
 * before the first picture. Everything that was saved is listed, also what only training needs;
 * texts (the object graph of TensorFlow 2) are left out. */
#include "gpu/weights/table.h"

#include "common/err.h"
#include "gpu/weights/leveldb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".index"
#define MAX_SHARDS 4096
#define MIN_CONSUMER 1 /* versions of the format that we are a reader for */

struct shard {
    const unsigned char *data; /* NULL until it is mapped, and while it is empty */
    size_t size;
    bool mapped;
};

struct bundle {
    const char *path;     /* of the index; NULL for bytes in memory */
    struct table *table;  /* borrowed */
    struct shard *shards; /* owned; NULL until the header was read */
    uint64_t shard_count;
};

/* One tensor, as the index describes it. */
struct item {
    struct tensor tensor;
    bool known, text, sliced;
    uint64_t type, shard, offset, size;
};

/* Bytes of the path before its ".index"; 0 where it has none. */
static size_t stem_of(const char *path)
{
    const size_t length = path ? strlen(path) : 0, suffix = strlen(SUFFIX);
    return length > suffix && strcmp(path + length - suffix, SUFFIX) == 0 ? length - suffix : 0;
}

/* An index that is cut off has no more than its name. */
static bool matches(const struct weights_source *source)
{
    return leveldb_matches(source->data, source->size) || stem_of(source->path) > 0;
}

/* DataType of types.proto. */
static void set_type(struct item *item, uint64_t type)
{
    static const struct {
        bool known;
        enum tensor_type type;
    } types[] = {
        [1] = {true, TENSOR_F32},  [2] = {true, TENSOR_F64},   [3] = {true, TENSOR_I32},
        [4] = {true, TENSOR_U8},   [5] = {true, TENSOR_I16},   [6] = {true, TENSOR_I8},
        [9] = {true, TENSOR_I64},  [10] = {true, TENSOR_BOOL}, [14] = {true, TENSOR_BF16},
        [19] = {true, TENSOR_F16},
    };
    enum { TEXT = 7 };
    item->type = type;
    item->text = type == TEXT;
    item->known = type < sizeof types / sizeof types[0] && types[type].known;
    if (item->known)
        item->tensor.type = types[type].type;
}

/* TensorShapeProto {repeated Dim {int64 size = 1} dim = 2}; a rank that is too great is counted on,
 * so that the table refuses it in words. */
static int read_shape(struct wire shape, struct tensor *tensor)
{
    struct wire_field dim, field;
    int rc;
    while ((rc = wire_next(&shape, &dim)) > 0) {
        int64_t size = 0; /* a field that is left out */
        if (dim.number != 2 || dim.type != WIRE_BYTES)
            continue;
        while ((rc = wire_next(&dim.bytes, &field)) > 0)
            if (field.number == 1 && field.type == WIRE_VARINT)
                size = (int64_t)field.value;
        if (rc < 0)
            return rc;
        if (tensor->rank < TENSOR_MAX_RANK)
            tensor->dim[tensor->rank] = size;
        if (tensor->rank < INT16_MAX)
            tensor->rank++;
    }
    return rc;
}

/* BundleEntryProto {dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6,
 * slices = 7} */
static int read_item(struct wire message, struct item *item)
{
    struct wire_field field;
    int rc;
    while ((rc = wire_next(&message, &field)) > 0) {
        const bool number = field.type == WIRE_VARINT;
        if (field.number == 1 && number)
            set_type(item, field.value);
        else if (field.number == 2 && field.type == WIRE_BYTES)
            rc = read_shape(field.bytes, &item->tensor);
        else if (field.number == 3 && number)
            item->shard = field.value;
        else if (field.number == 4 && number)
            item->offset = field.value;
        else if (field.number == 5 && number)
            item->size = field.value;
        else if (field.number == 7)
            item->sliced = true;
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* BundleHeaderProto {num_shards = 1, endianness = 2, version = 3 {producer = 1, min_consumer = 2}}
 */
static int read_header(struct bundle *bundle, struct wire message, struct err *err)
{
    struct wire_field field, part;
    uint64_t big_endian = 0, min_consumer = 0;
    int rc;
    while ((rc = wire_next(&message, &field)) > 0) {
        if (field.number == 1 && field.type == WIRE_VARINT)
            bundle->shard_count = field.value;
        else if (field.number == 2 && field.type == WIRE_VARINT)
            big_endian = field.value;
        else if (field.number == 3 && field.type == WIRE_BYTES)
            while ((rc = wire_next(&field.bytes, &part)) > 0)
                if (part.number == 2 && part.type == WIRE_VARINT)
                    min_consumer = part.value;
        if (rc < 0)
            break;
    }
    if (rc < 0 || bundle->shard_count == 0 || bundle->shard_count > MAX_SHARDS)
        return err_set(err, ERR_CORRUPT, "weights",
                       "the checkpoint's index does not begin with 1 to %d data files", MAX_SHARDS);
    if (big_endian || min_consumer > MIN_CONSUMER)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "the checkpoint is %s, which is not supported",
                       big_endian ? "big-endian" : "of a newer version");
    bundle->shards = calloc((size_t)bundle->shard_count, sizeof *bundle->shards);
    return bundle->shards ? 0 : ERR_NOMEM;
}

static int open_shard(struct bundle *bundle, const char *name, uint64_t index,
                      const struct shard **out_shard, struct err *err)
{
    char path[4096];
    if (index >= bundle->shard_count)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s lies in data file %" PRIu64 " of %" PRIu64, name, index,
                       bundle->shard_count);
    struct shard *shard = &bundle->shards[index];
    if (!shard->mapped) {
        int stem = (int)stem_of(bundle->path);
        if (stem == 0)
            return err_set(err, ERR_UNSUPPORTED, "weights",
                           "a TensorFlow checkpoint is several files: it is opened by the path of "
                           "its .index");
        int length = snprintf(path, sizeof path, "%.*s.data-%05u-of-%05u", stem, bundle->path,
                              (unsigned)index, (unsigned)bundle->shard_count);
        if (length < 0 || (size_t)length >= sizeof path)
            return err_set(err, ERR_LIMIT, "weights", "the path is too long");
        int rc = table_map(bundle->table, path, &shard->data, &shard->size, err);
        if (rc < 0)
            return rc;
        shard->mapped = true;
    }
    *out_shard = shard;
    return 0;
}

static int add_item(struct bundle *bundle, const char *name, struct item *item, struct err *err)
{
    const struct shard *shard = NULL;
    uint64_t need;
    if (item->sliced)
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s was saved in slices, which is not supported", name);
    if (!item->known)
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s has TensorFlow's type %" PRIu64 ", which is not supported", name,
                       item->type);
    int rc = table_tensor_bytes(name, &item->tensor, &need, err);
    if (rc == 0)
        rc = open_shard(bundle, name, item->shard, &shard, err);
    if (rc < 0)
        return rc;
    char shape[TENSOR_SHAPE_SIZE];
    tensor_shape_text(item->tensor.rank, item->tensor.dim, shape);
    if (item->size != need)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s has %" PRIu64 " bytes, but %s %s needs %" PRIu64, name,
                       item->size, tensor_type_name(item->tensor.type), shape, need);
    if (item->offset > shard->size || need > shard->size - item->offset)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s (%s) ends at byte %" PRIu64 " of data file %" PRIu64
                       ", which holds %zu: it is cut off",
                       name, shape, item->offset + need, item->shard, shard->size);
    item->tensor.data = shard->data + item->offset;
    return table_add(bundle->table, name, &item->tensor, err);
}

/* The header has the empty name, and so comes first. */
static int read_entry(void *context, const char *key, size_t key_size, struct wire value,
                      struct err *err)
{
    struct bundle *bundle = context;
    struct item item = {0};
    if (key_size == 0 && !bundle->shards)
        return read_header(bundle, value, err);
    if (!bundle->shards)
        return err_set(err, ERR_CORRUPT, "weights", "the checkpoint's index has no header");
    if (key_size == 0 || memchr(key, 0, key_size))
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "the checkpoint has tensors that were saved in slices");
    if (read_item(value, &item) < 0)
        return err_set(err, ERR_CORRUPT, key, "tensor %.100s: its description is damaged", key);
    return item.text ? 0 : add_item(bundle, key, &item, err);
}

static int read_bundle(const struct weights_source *source, struct table *table, struct err *err)
{
    struct bundle bundle = {.path = source->path, .table = table};
    int rc = leveldb_each(source->data, source->size, read_entry, &bundle, err);
    if (rc == 0 && !bundle.shards)
        rc = err_set(err, ERR_CORRUPT, "weights", "the checkpoint's index is empty");
    free(bundle.shards);
    return rc;
}

const struct weights_reader weights_reader_tensorflow = {"tensorflow-bundle", matches, read_bundle};
