/* SPDX-License-Identifier: MIT
 *
 * Keras' .h5 files, whole models and weights alone: the home of libhdf5.
 *
 * A group, the root or "model_weights", has an attribute "layer_names"; each layer is a group with
 * an attribute "weight_names", each weight a dataset below it. Tensors are named by their path in
 * the file: "model_weights/dense_2/dense_2/kernel:0". Source: hdf5_format.py of Keras.
 *
 * A file may say that its data, or a whole group, lies in another file: such links, external and
 * virtual data are refused before they are followed, and no plug-in is loaded. libhdf5 itself
 * loops without end or crashes on some damaged files, as a fuzzer shows within a minute, so all of
 * this runs in a process of its own, in which no other thread is inside the library. */
#include "gpu/weights/apart.h"

#include "common/buf.h"
#include "common/err.h"

#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE "\x89HDF\r\n\x1a\n"
#define MODEL_GROUP "model_weights"
#define MAX_TEXT_BYTES 4096 /* of one name in a list */
/* How many times its file a compressed tensor may be: more than deflate can do is a bomb. */
#define MAX_RATIO 1100

struct keras {
    struct table *table;
    uint64_t file_bytes;
    hid_t file;
    const char *prefix; /* of names: "" or "model_weights/" */
    struct err *err;
};

/* Texts of an attribute, owned. */
struct names {
    char **items;
    size_t count;
};

static int corrupt(struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_CORRUPT, "weights", "Keras file: %s %.120s", what, name);
}

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}

static int names_add(struct names *names, const char *text, size_t size)
{
    if (names->count == WEIGHTS_MAX_TENSORS)
        return ERR_LIMIT;
    if (names->count % 64 == 0) {
        char **more = realloc(names->items, (names->count + 64) * sizeof *more);
        if (!more)
            return ERR_NOMEM;
        names->items = more;
    }
    if (!(names->items[names->count] = strndup(text, size)))
        return ERR_NOMEM;
    names->count++;
    return 0;
}

/* Texts of fixed length, filled up with zeros. */
static int read_fixed(hid_t attribute, hid_t type, size_t count, struct names *names)
{
    const size_t size = H5Tget_size(type);
    if (size == 0 || size > WEIGHTS_MAX_TEXT_BYTES * 64 || count > (64u << 20) / size)
        return ERR_LIMIT;
    char *bytes = calloc(count, size);
    int rc = bytes ? 0 : ERR_NOMEM;
    if (rc == 0 && H5Aread(attribute, type, bytes) < 0)
        rc = ERR_CORRUPT;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = names_add(names, bytes + i * size, strnlen(bytes + i * size, size));
    free(bytes);
    return rc;
}

/* Texts of any length, each in memory of the library's. */
static int read_variable(hid_t attribute, hid_t space, hid_t type, size_t count,
                         struct names *names)
{
    char **texts = calloc(count, sizeof *texts);
    hid_t memory = H5Tget_native_type(type, H5T_DIR_ASCEND);
    int rc = texts ? 0 : ERR_NOMEM;
    if (rc == 0 && (memory < 0 || H5Aread(attribute, memory, texts) < 0))
        rc = ERR_CORRUPT;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = names_add(names, texts[i] ? texts[i] : "",
                       texts[i] ? strnlen(texts[i], WEIGHTS_MAX_TEXT_BYTES + 1) : 0);
    if (rc != ERR_CORRUPT && texts)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    if (memory >= 0)
        H5Tclose(memory);
    free(texts);
    return rc;
}

/* Adds the texts of one attribute; one that has none (Keras writes an empty list as no numbers)
 * adds none. ERR_NOT_FOUND where there is no such attribute of texts. */
static int read_texts(hid_t object, const char *name, struct names *names)
{
    hid_t type = -1, space = -1;
    if (H5Aexists(object, name) <= 0)
        return ERR_NOT_FOUND;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    int rc = attribute < 0 ? ERR_CORRUPT : 0;
    if (rc == 0 && ((type = H5Aget_type(attribute)) < 0 || (space = H5Aget_space(attribute)) < 0))
        rc = ERR_CORRUPT;
    hssize_t count = rc == 0 ? H5Sget_simple_extent_npoints(space) : 0;
    if (rc == 0 && (count < 0 || count > WEIGHTS_MAX_TENSORS))
        rc = ERR_CORRUPT;
    if (rc == 0 && count > 0 && H5Tget_class(type) != H5T_STRING)
        rc = ERR_NOT_FOUND;
    if (rc == 0 && count > 0)
        rc = H5Tis_variable_str(type) > 0
                 ? read_variable(attribute, space, type, (size_t)count, names)
                 : read_fixed(attribute, type, (size_t)count, names);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    return rc;
}

/* A list that was too long for one attribute lies in NAME0, NAME1 … */
static int read_list(hid_t object, const char *name, struct names *names)
{
    char part[64];
    int rc = read_texts(object, name, names);
    if (rc != ERR_NOT_FOUND)
        return rc;
    for (int i = 0; i < WEIGHTS_MAX_TENSORS; i++) {
        snprintf(part, sizeof part, "%s%d", name, i);
        rc = read_texts(object, part, names);
        if (rc < 0)
            return rc == ERR_NOT_FOUND && i > 0 ? 0 : rc;
    }
    return ERR_LIMIT;
}

/* What `path` leads to from `from`, opened; one link after the other, none that leaves the file.
 * Negative where there is nothing of the kind. */
static hid_t open_below(hid_t from, const char *path)
{
    char name[WEIGHTS_MAX_NAME_BYTES + 1];
    H5L_info_t link;
    hid_t at = H5Oopen(from, ".", H5P_DEFAULT);
    while (at >= 0 && *path) {
        const size_t length = strcspn(path, "/");
        const bool fits = length > 0 && length < sizeof name;
        snprintf(name, sizeof name, "%.*s", fits ? (int)length : 0, path);
        hid_t next = -1;
        if (fits && strcmp(name, ".") != 0 && H5Lget_info(at, name, &link, H5P_DEFAULT) >= 0 &&
            link.type == H5L_TYPE_HARD)
            next = H5Oopen(at, name, H5P_DEFAULT);
        H5Oclose(at);
        at = next;
        path += length + (path[length] == '/');
    }
    return at;
}

static bool is_half(hid_t type)
{
    hid_t half = H5Tcopy(H5T_IEEE_F32LE);
    bool same = half >= 0 && H5Tset_fields(half, 15, 10, 5, 0, 10) >= 0 &&
                H5Tset_size(half, 2) >= 0 && H5Tset_ebias(half, 15) >= 0 &&
                H5Tequal(type, half) > 0;
    if (half >= 0)
        H5Tclose(half);
    return same;
}

/* The type of a dataset with its bytes in our order, and what we call it. */
static int read_type(hid_t type, enum tensor_type *out_type)
{
    const struct {
        hid_t hdf5;
        enum tensor_type ours;
    } rows[] = {
        {H5T_IEEE_F32LE, TENSOR_F32}, {H5T_IEEE_F64LE, TENSOR_F64}, {H5T_STD_I64LE, TENSOR_I64},
        {H5T_STD_I32LE, TENSOR_I32},  {H5T_STD_I16LE, TENSOR_I16},  {H5T_STD_I8LE, TENSOR_I8},
        {H5T_STD_U8LE, TENSOR_U8},
    };
    H5T_class_t class = H5Tget_class(type);
    if ((class != H5T_FLOAT && class != H5T_INTEGER) || H5Tset_order(type, H5T_ORDER_LE) < 0)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (H5Tequal(type, rows[i].hdf5) > 0) {
            *out_type = rows[i].ours;
            return 0;
        }
    *out_type = TENSOR_F16;
    return is_half(type) ? 0 : ERR_UNSUPPORTED;
}

static int read_shape(hid_t dataset, const char *name, struct tensor *tensor, struct err *err)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (rank >= 0 && rank <= H5S_MAX_RANK && H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        rank = -1;
    if (space >= 0)
        H5Sclose(space);
    if (rank < 0)
        return corrupt(err, "no shape of", name);
    tensor->rank = rank;
    for (int i = 0; i < rank && i < TENSOR_MAX_RANK; i++)
        tensor->dim[i] = dims[i] > INT64_MAX ? -1 : (int64_t)dims[i];
    return 0;
}

/* Where the values lie: in this file, and as many as the shape says. */
static int check_storage(const struct keras *k, hid_t dataset, const char *name, uint64_t bytes)
{
    hid_t list = H5Dget_create_plist(dataset);
    int external = list >= 0 ? H5Pget_external_count(list) : -1;
    H5D_layout_t layout = list >= 0 ? H5Pget_layout(list) : H5D_LAYOUT_ERROR;
    if (list >= 0)
        H5Pclose(list);
    if (external > 0 || layout == H5D_VIRTUAL)
        return err_set(k->err, ERR_UNSUPPORTED, name, "tensor %s lies in another file", name);
    if (external < 0 || layout == H5D_LAYOUT_ERROR)
        return corrupt(k->err, "no layout of", name);
    if (layout == H5D_CHUNKED ? bytes / MAX_RATIO > k->file_bytes : bytes > k->file_bytes)
        return err_set(k->err, ERR_CORRUPT, name,
                       "tensor %s needs %" PRIu64 " bytes, more than the file can hold", name,
                       bytes);
    return 0;
}

static int read_dataset(const struct keras *k, hid_t dataset, hid_t type, const char *name)
{
    struct tensor tensor = {0};
    uint64_t bytes;
    if (read_type(type, &tensor.type) < 0)
        return err_set(k->err, ERR_UNSUPPORTED, name,
                       "tensor %s has a type of HDF5 that is not supported", name);
    int rc = read_shape(dataset, name, &tensor, k->err);
    if (rc == 0)
        rc = table_tensor_bytes(name, &tensor, &bytes, k->err);
    if (rc == 0)
        rc = check_storage(k, dataset, name, bytes);
    void *data = rc == 0 ? table_alloc(k->table, bytes, &rc, k->err) : NULL;
    if (data && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        rc = err_set(k->err, ERR_CORRUPT, name, "tensor %s is cut off or damaged", name);
    tensor.data = data;
    return rc < 0 ? rc : table_add(k->table, name, &tensor, k->err);
}

static int read_weight(const struct keras *k, hid_t layer, const char *layer_name,
                       const char *weight_name)
{
    char name[WEIGHTS_MAX_NAME_BYTES + 1];
    int length = snprintf(name, sizeof name, "%s%s/%s", k->prefix, layer_name, weight_name);
    if (length < 0 || (size_t)length >= sizeof name)
        return err_set(k->err, ERR_LIMIT, "weights", "a tensor's name is longer than %d bytes",
                       WEIGHTS_MAX_NAME_BYTES);
    hid_t dataset = open_below(layer, weight_name), stored = -1, type = -1;
    int rc = 0;
    if (dataset >= 0 && H5Iget_type(dataset) == H5I_DATASET)
        stored = H5Dget_type(dataset);
    if (stored < 0 || (type = H5Tcopy(stored)) < 0) /* a copy: the other cannot be changed */
        rc = corrupt(k->err, "no data in this file for tensor", name);
    if (rc == 0)
        rc = read_dataset(k, dataset, type, name);
    if (type >= 0)
        H5Tclose(type);
    if (stored >= 0)
        H5Tclose(stored);
    if (dataset >= 0)
        H5Oclose(dataset);
    return rc;
}

static int read_layer(const struct keras *k, hid_t group, const char *layer_name)
{
    struct names names = {0};
    hid_t layer = open_below(group, layer_name);
    int rc = 0;
    if (layer < 0 || read_list(layer, "weight_names", &names) < 0)
        rc = corrupt(k->err, "no list of weights for layer", layer_name);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = read_weight(k, layer, layer_name, names.items[i]);
    names_fini(&names);
    if (layer >= 0)
        H5Oclose(layer);
    return rc;
}

/* Layers in the order of the model, one on a line, which the order of names loses. */
static int add_order(const struct keras *k, const struct names *layers)
{
    char name[64];
    struct buf lines;
    buf_init(&lines, WEIGHTS_MAX_TEXT_BYTES);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < layers->count; i++)
        rc = buf_join(&lines, i ? "\n" : "", layers->items[i], NULL);
    snprintf(name, sizeof name, "%slayer_names", k->prefix);
    if (rc == 0)
        rc = table_add_text(k->table, name, buf_text(&lines), lines.size, k->err);
    buf_fini(&lines);
    return rc == ERR_LIMIT ? 0 : rc; /* for information only */
}

/* The versions and the model's own description. */
static int add_texts(const struct keras *k)
{
    static const char *const wanted[] = {"keras_version", "backend", "model_config"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof wanted / sizeof wanted[0]; i++) {
        struct names texts = {0};
        if (read_texts(k->file, wanted[i], &texts) == 0 && texts.count == 1)
            rc =
                table_add_text(k->table, wanted[i], texts.items[0], strlen(texts.items[0]), k->err);
        names_fini(&texts);
    }
    return rc;
}

static int read_model(struct keras *k)
{
    struct names layers = {0};
    int rc;
    hid_t group = open_below(k->file, MODEL_GROUP);
    k->prefix = group >= 0 ? MODEL_GROUP "/" : "";
    if (group < 0)
        group = open_below(k->file, "");
    if (group < 0 || (rc = read_list(group, "layer_names", &layers)) == ERR_NOT_FOUND)
        rc = err_set(k->err, ERR_UNSUPPORTED, "weights",
                     "an HDF5 file without Keras' list of layers");
    else if (rc < 0)
        rc = corrupt(k->err, "the list of layers is damaged:", "layer_names");
    if (rc == 0)
        rc = add_texts(k);
    if (rc == 0)
        rc = add_order(k, &layers);
    for (size_t i = 0; rc == 0 && i < layers.count; i++)
        rc = read_layer(k, group, layers.items[i]);
    names_fini(&layers);
    if (group >= 0)
        H5Oclose(group);
    return rc;
}

/* A copy of the bytes: there is no path in the process that reads. */
static hid_t open_file(const struct weights_source *source)
{
    hid_t file = -1, list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && H5Pset_fapl_core(list, 1 << 16, false) >= 0 &&
        H5Pset_file_image(list, (void *)(uintptr_t)source->data, source->size) >= 0)
        file = H5Fopen("memory", H5F_ACC_RDONLY, list);
    if (list >= 0)
        H5Pclose(list);
    return file;
}

static bool matches(const struct weights_source *source)
{
    return source->size >= strlen(SIGNATURE) &&
           memcmp(source->data, SIGNATURE, strlen(SIGNATURE)) == 0;
}

static int read_file(const struct weights_source *source, struct table *table, struct err *err)
{
    struct keras k = {.table = table, .file_bytes = source->size, .err = err};
    int rc;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* it prints its errors otherwise */
    H5PLset_loading_state(0);
    k.file = open_file(source);
    if (k.file < 0)
        rc = err_set(err, ERR_CORRUPT, "weights", "the HDF5 file is cut off or damaged");
    else
        rc = read_model(&k);
    if (k.file >= 0)
        H5Fclose(k.file);
    return rc;
}

static int read_apart(const struct weights_source *source, struct table *table, struct err *err)
{
    return apart_read(read_file, source, table, err);
}

const struct weights_reader weights_reader_keras = {"keras-h5", matches, read_apart};
