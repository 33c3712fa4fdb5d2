/* SPDX-License-Identifier: MIT
 *
 * Network snapshots of StyleGAN2-ADA (and -3) for PyTorch: one pickle of a dict with G, D and
 * G_ema, every module being a call of torch_utils.persistence._reconstruct_persistent_obj on a dict
 * that holds its Python source (never looked at) and its state, every tensor's storage a stream of
 * torch.save inside it. G_ema, the running average, is what makes pictures; of the rest nothing is
 * kept. */
#include "gpu/weights/torch.h"

#include "common/err.h"

#include <string.h>

static bool is_text(struct pickle_span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

/* A stream that lies within the pickle, opened for one tensor. */
static int find_storage(void *state, const char *name, const struct pickle_node *node,
                        struct torch_storage *out_storage, struct err *err)
{
    struct pickle *pickle = state;
    struct torch_legacy legacy;
    char what[PICKLE_DESCRIPTION_SIZE];
    const struct pickle_node *bytes = pickle_argument(node, PICKLE_LOAD_FROM_BYTES, 0);
    if (!pickle_is_kind(bytes, PICKLE_BYTES))
        return err_set(err, ERR_UNSUPPORTED, name,
                       "tensor %s lies in %s, not in the bytes of a torch.save", name,
                       pickle_describe(bytes ? bytes : node, what));
    int rc = torch_legacy_open(&legacy, pickle, bytes->bytes.data, bytes->bytes.size, err);
    if (rc < 0)
        return rc;
    rc = torch_legacy_find(&legacy, name, legacy.root, out_storage, err);
    torch_legacy_close(&legacy);
    return rc;
}

/* dnnlib.tflib.network.Network: the networks of StyleGAN 1 and 2 before PyTorch. */
static bool is_tensorflow(const struct pickle_node *root)
{
    const struct pickle_list *items = pickle_items(root);
    bool found = false;
    for (size_t i = 0; items && i < items->count; i++) {
        const struct pickle_node *global = pickle_global_of(items->item[i]);
        found = found || (global && is_text(global->global.name, "Network"));
    }
    return found;
}

static int add_networks(struct torch_reading *reading, const struct pickle_node *root,
                        struct err *err)
{
    static const char *const networks[] = {"G_ema", "G", "D"};
    if (is_tensorflow(root))
        return err_set(
            err, ERR_UNSUPPORTED, "weights",
            "a StyleGAN pickle for TensorFlow (dnnlib.tflib.network.Network), whose "
            "network is Python source: convert it with legacy.py of stylegan2-ada-pytorch");
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        const struct pickle_node *network = pickle_get(root, networks[i]);
        if (network && network->kind != PICKLE_NONE)
            return torch_add(reading, networks[i], network, err);
    }
    return torch_add(reading, "", root, err);
}

/* Any pickle that is not torch.save's; those of protocols 0 and 1, which begin with the opcode of a
 * dict, list, tuple or class, are taken here to be refused in words. */
static bool matches(const struct weights_source *source)
{
    const unsigned char *data = source->data;
    if (source->size < 2 || torch_legacy_matches(data, source->size))
        return false;
    return data[0] == 0x80 || (memchr("}](c", data[0], 4) && data[source->size - 1] == '.');
}

static int read(const struct weights_source *source, struct table *table, struct err *err)
{
    struct pickle *pickle = NULL;
    struct torch_reading reading;
    const struct pickle_node *root = NULL;
    size_t used = 0;
    int rc = pickle_create(&pickle);
    if (rc == 0)
        rc = pickle_read(pickle, source->data, source->size, &used, &root, err);
    if (rc == 0) {
        torch_init(&reading, table, source->size, find_storage, pickle);
        rc = add_networks(&reading, root, err);
    }
    if (rc == 0)
        rc = torch_finish(&reading, err);
    pickle_destroy(&pickle);
    return rc;
}

const struct weights_reader weights_reader_stylegan = {"stylegan2-ada", matches, read};
