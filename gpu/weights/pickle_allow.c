/* SPDX-License-Identifier: MIT
 *
 * The globals that mean something to the readers of weights. Everything else is opaque. None is
 * ever called: the name alone tells a reader how the data beside it is laid out. */
#include "gpu/tensor.h"
#include "gpu/weights/pickle.h"

#include <string.h>

static const struct {
    const char *module, *name;
    enum pickle_global id;
    enum tensor_type type; /* of a storage */
} allowed[] = {
    {"collections", "OrderedDict", PICKLE_ORDERED_DICT, 0},
    {"dnnlib.util", "EasyDict", PICKLE_EASY_DICT, 0},
    {"builtins", "set", PICKLE_PYTHON_SET, 0},
    {"__builtin__", "set", PICKLE_PYTHON_SET, 0},
    {"numpy.core.multiarray", "scalar", PICKLE_NUMPY_SCALAR, 0},
    {"numpy._core.multiarray", "scalar", PICKLE_NUMPY_SCALAR, 0},
    {"numpy", "dtype", PICKLE_NUMPY_DTYPE, 0},
    {"torch_utils.persistence", "_reconstruct_persistent_obj", PICKLE_PERSISTENT_OBJECT, 0},
    {"torch.storage", "_load_from_bytes", PICKLE_LOAD_FROM_BYTES, 0},
    {"torch._utils", "_rebuild_tensor_v2", PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v3", PICKLE_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", PICKLE_REBUILD_PARAMETER, 0},
    {"torch.storage", "UntypedStorage", PICKLE_UNTYPED_STORAGE, TENSOR_U8},
    {"torch.storage", "_UntypedStorage", PICKLE_UNTYPED_STORAGE, TENSOR_U8},
    {"torch", "UntypedStorage", PICKLE_UNTYPED_STORAGE, TENSOR_U8},
    {"torch", "FloatStorage", PICKLE_STORAGE, TENSOR_F32},
    {"torch", "HalfStorage", PICKLE_STORAGE, TENSOR_F16},
    {"torch", "BFloat16Storage", PICKLE_STORAGE, TENSOR_BF16},
    {"torch", "DoubleStorage", PICKLE_STORAGE, TENSOR_F64},
    {"torch", "LongStorage", PICKLE_STORAGE, TENSOR_I64},
    {"torch", "IntStorage", PICKLE_STORAGE, TENSOR_I32},
    {"torch", "ShortStorage", PICKLE_STORAGE, TENSOR_I16},
    {"torch", "CharStorage", PICKLE_STORAGE, TENSOR_I8},
    {"torch", "ByteStorage", PICKLE_STORAGE, TENSOR_U8},
    {"torch", "BoolStorage", PICKLE_STORAGE, TENSOR_BOOL},
    {"torch", "float32", PICKLE_STORAGE, TENSOR_F32},
    {"torch", "float16", PICKLE_STORAGE, TENSOR_F16},
    {"torch", "bfloat16", PICKLE_STORAGE, TENSOR_BF16},
    {"torch", "float64", PICKLE_STORAGE, TENSOR_F64},
    {"torch", "int64", PICKLE_STORAGE, TENSOR_I64},
    {"torch", "int32", PICKLE_STORAGE, TENSOR_I32},
    {"torch", "int16", PICKLE_STORAGE, TENSOR_I16},
    {"torch", "int8", PICKLE_STORAGE, TENSOR_I8},
    {"torch", "uint8", PICKLE_STORAGE, TENSOR_U8},
    {"torch", "bool", PICKLE_STORAGE, TENSOR_BOOL},
};

static bool is(struct pickle_span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

void pickle_allow(struct pickle_node *global)
{
    global->global.id = PICKLE_OPAQUE;
    global->global.type = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (is(global->global.name, allowed[i].name) &&
            is(global->global.module, allowed[i].module)) {
            global->global.id = allowed[i].id;
            global->global.type = (int)allowed[i].type;
            return;
        }
}
