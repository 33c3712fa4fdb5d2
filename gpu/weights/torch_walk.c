/* SPDX-License-Identifier: MIT
 *
 * From the nodes of a PyTorch file to names: dicts and lists joined by dots, the modules of
 * StyleGAN2-ADA as their state_dict() would name them. */
#include "gpu/weights/torch.h"

#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int walk(struct torch_reading *r, size_t length, const struct pickle_node *node, int depth,
                struct err *err);

/* Numbers and texts are for information: what the table does not take is left out. */
static int add_number(struct torch_reading *r, double value)
{
    return table_add_number(r->table, r->name, value, NULL) == ERR_NOMEM ? ERR_NOMEM : 0;
}

static int add_text(struct torch_reading *r, struct pickle_span text)
{
    if (text.size > r->text_left)
        return 0;
    r->text_left -= text.size;
    int rc = table_add_text(r->table, r->name, (const char *)text.data, text.size, NULL);
    return rc == ERR_NOMEM ? rc : 0;
}

/* numpy.core.multiarray.scalar(dtype("f8", …), bytes): one little-endian value. */
static bool numpy_value(const struct pickle_node *node, double *out_value)
{
    const struct pickle_node *dtype = pickle_argument(node, PICKLE_NUMPY_SCALAR, 0);
    const struct pickle_node *bytes = pickle_argument(node, PICKLE_NUMPY_SCALAR, 1);
    const struct pickle_node *code = pickle_argument(dtype, PICKLE_NUMPY_DTYPE, 0);
    static const struct {
        const char *code;
        enum tensor_type type;
    } types[] = {{"f8", TENSOR_F64}, {"f4", TENSOR_F32}, {"f2", TENSOR_F16},
                 {"i8", TENSOR_I64}, {"i4", TENSOR_I32}, {"i2", TENSOR_I16},
                 {"i1", TENSOR_I8},  {"u1", TENSOR_U8},  {"b1", TENSOR_BOOL}};
    if (!code || !pickle_is_kind(bytes, PICKLE_BYTES) ||
        pickle_is_text(pickle_at(dtype->object.state, 1), ">"))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct tensor tensor = {.type = types[i].type, .data = bytes->bytes.data};
        float value;
        if (!pickle_is_text(code, types[i].code) ||
            bytes->bytes.size != tensor_type_size(tensor.type))
            continue;
        tensor_to_f32(&tensor, &value);
        *out_value = (double)value;
        if (tensor.type == TENSOR_F64) /* without losing what a float has not */
            memcpy(out_value, tensor.data, sizeof *out_value);
        return true;
    }
    return false;
}

/* Appends ".part" to the name; *out_length is its new length. */
static int extend(struct torch_reading *r, size_t length, const char *part, size_t size,
                  size_t *out_length, struct err *err)
{
    size_t dot = length > 0;
    if (size > WEIGHTS_MAX_NAME_BYTES || length + dot + size > WEIGHTS_MAX_NAME_BYTES)
        return err_set(err, ERR_LIMIT, "weights", "a tensor's name has more than %d bytes",
                       WEIGHTS_MAX_NAME_BYTES);
    if (dot)
        r->name[length] = '.';
    memcpy(r->name + length + dot, part, size);
    *out_length = length + dot + size;
    r->name[*out_length] = 0;
    return 0;
}

static bool is_plain(const struct pickle_node *node)
{
    return node->kind <= PICKLE_BYTES;
}

static int walk_part(struct torch_reading *r, size_t length, const char *part, size_t size,
                     const struct pickle_node *node, int depth, struct err *err)
{
    size_t longer = 0;
    /* A long or zero-ridden key matters only where a tensor hangs on it. */
    bool fits = size <= WEIGHTS_MAX_NAME_BYTES - 1 && !memchr(part, 0, size);
    if (!fits && is_plain(node))
        return 0;
    if (memchr(part, 0, size))
        return err_set(err, ERR_CORRUPT, "weights", "a tensor's name holds a zero byte");
    int rc = extend(r, length, part, size, &longer, err);
    return rc < 0 ? rc : walk(r, longer, node, depth, err);
}

static int walk_position(struct torch_reading *r, size_t length, int64_t position,
                         const struct pickle_node *node, int depth, struct err *err)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%" PRId64, position);
    return walk_part(r, length, text, (size_t)size, node, depth, err);
}

static int walk_list(struct torch_reading *r, size_t length, const struct pickle_list *list,
                     int depth, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < list->count && rc == 0; i++)
        if (list->count <= TORCH_MAX_LISTED || !is_plain(list->item[i]))
            rc = walk_position(r, length, (int64_t)i, list->item[i], depth, err);
    return rc;
}

static int walk_entries(struct torch_reading *r, size_t length, const struct pickle_list *entries,
                        int depth, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i + 1 < entries->count && rc == 0; i += 2) {
        const struct pickle_node *key = entries->item[i], *value = entries->item[i + 1];
        if (key->kind == PICKLE_TEXT)
            rc = walk_part(r, length, (const char *)key->bytes.data, key->bytes.size, value, depth,
                           err);
        else if (key->kind == PICKLE_INT)
            rc = walk_position(r, length, key->integer, value, depth, err);
    }
    return rc;
}

/* {type, version, module_src, class_name, state}: what nn.Module keeps in three dicts of its state
 * goes by the module's own name. The source text is never looked at. */
static int walk_module(struct torch_reading *r, size_t length, const struct pickle_node *node,
                       int depth, struct err *err)
{
    static const char *const parts[] = {"_parameters", "_buffers", "_modules"};
    const struct pickle_node *meta = pickle_argument(node, PICKLE_PERSISTENT_OBJECT, 0);
    const struct pickle_node *class_name = pickle_get(meta, "class_name");
    const struct pickle_list *state = pickle_entries(pickle_get(meta, "state"));
    if (!state)
        return err_set(err, ERR_CORRUPT, "weights", "a module has no state");
    int rc = 0;
    if (pickle_is_kind(class_name, PICKLE_TEXT))
        rc = walk_part(r, length, "class_name", strlen("class_name"), class_name, depth, err);
    for (size_t i = 0; i + 1 < state->count && rc == 0; i += 2) {
        const struct pickle_node *key = state->item[i], *value = state->item[i + 1];
        bool inside = false;
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            inside = inside || pickle_is_text(key, parts[k]);
        if (inside)
            rc = walk(r, length, value, depth, err);
        else if (key->kind == PICKLE_TEXT)
            rc = walk_part(r, length, (const char *)key->bytes.data, key->bytes.size, value, depth,
                           err);
    }
    return rc;
}

static bool is_tensor(const struct pickle_node *node)
{
    return pickle_calls(node, PICKLE_REBUILD_TENSOR) ||
           pickle_calls(node, PICKLE_REBUILD_PARAMETER);
}

static int walk_object(struct torch_reading *r, size_t length, const struct pickle_node *node,
                       int depth, struct err *err)
{
    double value;
    if (pickle_entries(node))
        return walk_entries(r, length, pickle_entries(node), depth, err);
    if (is_tensor(node)) {
        int rc = table_check_name(r->name, err);
        return rc < 0 ? rc : torch_add_tensor(r, r->name, node, err);
    }
    if (pickle_calls(node, PICKLE_PERSISTENT_OBJECT))
        return walk_module(r, length, node, depth, err);
    if (numpy_value(node, &value))
        return add_number(r, value);
    const struct pickle_node *global = pickle_global_of(node);
    if (!r->opaque && (!global || global->global.id == PICKLE_OPAQUE))
        r->opaque = node;
    return 0;
}

static int walk(struct torch_reading *r, size_t length, const struct pickle_node *node, int depth,
                struct err *err)
{
    r->name[length] = 0; /* a brother's longer name may stand behind it */
    if (depth == PICKLE_MAX_DEPTH || ++r->steps > TORCH_MAX_STEPS)
        return err_set(err, ERR_LIMIT, "weights",
                       "the file's dicts and lists are nested too deep or repeat without end");
    switch (node->kind) {
    case PICKLE_BOOL: return add_number(r, node->boolean);
    case PICKLE_INT: return add_number(r, (double)node->integer);
    case PICKLE_FLOAT: return add_number(r, node->real);
    case PICKLE_TEXT: return add_text(r, node->bytes);
    case PICKLE_TUPLE:
    case PICKLE_LIST: return walk_list(r, length, &node->list, depth + 1, err);
    case PICKLE_DICT: return walk_entries(r, length, &node->list, depth + 1, err);
    case PICKLE_OBJECT: return walk_object(r, length, node, depth + 1, err);
    case PICKLE_NONE:
    case PICKLE_LONG:
    case PICKLE_BYTES:
    case PICKLE_SET:
    case PICKLE_GLOBAL:
    case PICKLE_PERSISTENT: break;
    }
    return 0;
}

void torch_init(struct torch_reading *reading, struct table *table, size_t file_size,
                torch_find_fn *find, void *state)
{
    *reading = (struct torch_reading){.table = table,
                                      .find = find,
                                      .state = state,
                                      .copy_left = (uint64_t)file_size * TORCH_MAX_COPY_RATIO +
                                                   TORCH_MIN_COPY_BYTES,
                                      .text_left = TORCH_MAX_TEXT_BYTES};
}

int torch_add(struct torch_reading *reading, const char *name, const struct pickle_node *node,
              struct err *err)
{
    if (name[0] == 0 && is_tensor(node))
        name = "tensor"; /* the file is that and nothing else */
    size_t length = strlen(name);
    memcpy(reading->name, name, length + 1);
    return walk(reading, length, node, 0, err);
}

int torch_finish(const struct torch_reading *reading, struct err *err)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    if (reading->tensors)
        return 0;
    if (reading->opaque)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "the file holds no tensors that can be read without running %s, and nothing "
                       "in a file is run here: save a state_dict() instead",
                       pickle_describe(reading->opaque, what));
    return err_set(err, ERR_UNSUPPORTED, "weights", "the file holds no tensors");
}
