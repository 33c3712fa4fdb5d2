/* SPDX-License-Identifier: MIT
 *
 * One tensor of a PyTorch file: a storage, an offset, sizes and strides (torch/_utils.py). */
#include "gpu/weights/torch.h"

#include "common/err.h"

#include <inttypes.h>
#include <string.h>

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]), and _v3 with
 * the dtype as the seventh, the storage then being bytes. */
enum { ARG_STORAGE, ARG_OFFSET, ARG_SIZE, ARG_STRIDE, ARG_DTYPE = 6 };

struct strided {
    struct tensor tensor;
    uint64_t offset, stride[TENSOR_MAX_RANK];
    bool empty;
};

bool torch_is_storage(const struct pickle_node *node)
{
    return pickle_is_kind(node, PICKLE_PERSISTENT) &&
           pickle_is_text(pickle_at(node->persistent.id, 0), "storage");
}

int torch_read_id(const char *name, const struct pickle_node *node, struct torch_id *out_id,
                  struct err *err)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    if (!torch_is_storage(node))
        return err_set(err, ERR_UNSUPPORTED, name, "tensor %s lies in %s, which is no storage",
                       name, pickle_describe(node, what));
    const struct pickle_node *id = node->persistent.id, *type = pickle_at(id, 1);
    const struct pickle_node *key = pickle_at(id, 2), *view = pickle_at(id, 5);
    int64_t count = -1;
    if (!pickle_is_kind(type, PICKLE_GLOBAL) ||
        (type->global.id != PICKLE_STORAGE && type->global.id != PICKLE_UNTYPED_STORAGE))
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s has a storage of type %s, which is not read here", name,
                       pickle_describe(type, what));
    if (!pickle_is_kind(key, PICKLE_TEXT) || key->bytes.size > TORCH_MAX_KEY_BYTES ||
        !pickle_to_int(pickle_at(id, 4), &count) || count < 0)
        return err_set(err, ERR_CORRUPT, name, "tensor %s: its storage has no key or no size",
                       name);
    *out_id = (struct torch_id){.type = (enum tensor_type)type->global.type,
                                .key = key->bytes,
                                .count = (uint64_t)count,
                                .view = pickle_is_kind(view, PICKLE_TUPLE) ? view : NULL};
    return 0;
}

static bool read_size(const struct pickle_node *node, uint64_t *out_value)
{
    int64_t value;
    if (!pickle_to_int(node, &value) || value < 0)
        return false;
    *out_value = (uint64_t)value;
    return true;
}

static int read_shape(const char *name, const struct pickle_node *call, struct strided *out,
                      struct err *err)
{
    const struct pickle_node *arguments = call->object.arguments;
    const struct pickle_list *size = pickle_items(pickle_at(arguments, ARG_SIZE));
    const struct pickle_list *stride = pickle_items(pickle_at(arguments, ARG_STRIDE));
    if (!size || !stride || size->count != stride->count ||
        !read_size(pickle_at(arguments, ARG_OFFSET), &out->offset))
        return err_set(err, ERR_CORRUPT, name, "tensor %s has no sizes, strides or offset", name);
    if (size->count > TENSOR_MAX_RANK)
        return err_set(err, ERR_UNSUPPORTED, name, "tensor %s has %zu dimensions, more than %d",
                       name, size->count, TENSOR_MAX_RANK);
    out->tensor.rank = (int)size->count;
    for (int i = 0; i < out->tensor.rank; i++) {
        uint64_t dim;
        if (!read_size(size->item[i], &dim) || dim > TABLE_MAX_DIM ||
            !read_size(stride->item[i], &out->stride[i]))
            return err_set(err, ERR_CORRUPT, name, "tensor %s: dimension %d is not a size", name,
                           i);
        out->tensor.dim[i] = (int64_t)dim;
        out->empty = out->empty || dim == 0;
    }
    return 0;
}

/* _rebuild_tensor_v3 reads a storage of bytes as another type. */
static int apply_dtype(const char *name, const struct pickle_node *dtype,
                       struct torch_storage *storage, struct err *err)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    if (!pickle_is_kind(dtype, PICKLE_GLOBAL))
        return 0;
    if (dtype->global.id != PICKLE_STORAGE)
        return err_set(err, ERR_UNSUPPORTED, name, "tensor %s has type %s, which is not read here",
                       name, pickle_describe(dtype, what));
    uint64_t bytes = storage->count * tensor_type_size(storage->type);
    storage->type = (enum tensor_type)dtype->global.type;
    storage->count = bytes / tensor_type_size(storage->type);
    return 0;
}

/* Every value that the strides reach must lie in the storage. */
static int check_bounds(const char *name, const struct strided *s, uint64_t count, struct err *err)
{
    uint64_t last = s->offset;
    bool over = false;
    for (int i = 0; i < s->tensor.rank; i++) {
        uint64_t reach;
        over = over ||
               __builtin_mul_overflow((uint64_t)s->tensor.dim[i] - 1, s->stride[i], &reach) ||
               __builtin_add_overflow(last, reach, &last);
    }
    if (over || last >= count)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s reaches beyond its storage of %" PRIu64 " values", name, count);
    return 0;
}

static bool is_packed(const struct strided *s)
{
    uint64_t expected = 1;
    for (int i = s->tensor.rank - 1; i >= 0; i--) {
        if (s->tensor.dim[i] != 1 && s->stride[i] != expected)
            return false;
        expected *= (uint64_t)s->tensor.dim[i];
    }
    return true;
}

/* The values in the order of their indices; `s` has been checked against the storage. */
static void copy_strided(const struct strided *s, const unsigned char *from, unsigned char *to)
{
    const size_t size = tensor_type_size(s->tensor.type);
    const int last = s->tensor.rank - 1;
    int64_t index[TENSOR_MAX_RANK] = {0};
    uint64_t at = 0;
    for (;;) {
        for (int64_t i = 0; i < s->tensor.dim[last]; i++, to += size)
            memcpy(to, from + (at + (uint64_t)i * s->stride[last]) * size, size);
        int axis = last - 1;
        for (; axis >= 0 && ++index[axis] == s->tensor.dim[axis]; axis--) {
            at -= (uint64_t)(index[axis] - 1) * s->stride[axis];
            index[axis] = 0;
        }
        if (axis < 0)
            return;
        at += s->stride[axis];
    }
}

static int pack(struct torch_reading *r, const char *name, struct strided *s, struct err *err)
{
    uint64_t bytes = 0;
    int rc = table_tensor_bytes(name, &s->tensor, &bytes, err);
    if (rc < 0)
        return rc;
    if (bytes > r->copy_left)
        return err_set(err, ERR_LIMIT, name,
                       "tensor %s needs %" PRIu64
                       " bytes once its strides are packed, too many for a file of this size",
                       name, bytes);
    unsigned char *packed = table_alloc(r->table, bytes, &rc, err);
    if (!packed)
        return rc;
    r->copy_left -= bytes;
    copy_strided(s, s->tensor.data, packed);
    s->tensor.data = packed;
    return 0;
}

static const struct pickle_node *find_call(const struct pickle_node *node)
{
    const struct pickle_node *data = pickle_argument(node, PICKLE_REBUILD_PARAMETER, 0);
    return data ? data : node;
}

int torch_add_tensor(struct torch_reading *r, const char *name, const struct pickle_node *node,
                     struct err *err)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    const struct pickle_node *call = find_call(node);
    const struct pickle_node *holder = pickle_argument(call, PICKLE_REBUILD_TENSOR, ARG_STORAGE);
    struct torch_storage storage = {0};
    struct strided s = {0};
    if (!holder)
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s is made by %s, which is not read here", name,
                       pickle_describe(call, what));
    int rc = read_shape(name, call, &s, err);
    if (rc < 0 || s.empty)
        return rc;
    rc = r->find(r->state, name, holder, &storage, err);
    if (rc == 0)
        rc = apply_dtype(name, pickle_argument(call, PICKLE_REBUILD_TENSOR, ARG_DTYPE), &storage,
                         err);
    if (rc == 0)
        rc = check_bounds(name, &s, storage.count, err);
    if (rc < 0)
        return rc;
    s.tensor.type = storage.type;
    s.tensor.data = storage.data + s.offset * tensor_type_size(storage.type);
    if (!is_packed(&s) && (rc = pack(r, name, &s, err)) < 0)
        return rc;
    r->tensors++;
    return table_add(r->table, name, &s.tensor, err);
}
