/* SPDX-License-Identifier: MIT
 *
 * What PyTorch's formats share: tensors rebuilt from the nodes of a pickle, and their names.
 * Internal to gpu/weights.
 *
 *     struct torch_reading reading;
 *     torch_init(&reading, table, source->size, find_storage, state);
 *     rc = torch_add(&reading, "G_ema", node, &err);     // everything below that node
 *     rc = torch_finish(&reading, &err);                 // an error where there was no tensor at
 * all
 *
 * torch_add() walks dicts, lists and the modules of StyleGAN2-ADA: tensors go into the table under
 * keys and positions joined with dots, numbers and texts beside them become attributes. Tensors
 * whose bytes lie in order are not copied; others are, packed, up to a multiple of the file's size.
 * Empty tensors are left out, as no table holds them; a file that is one tensor calls it "tensor".
 * One thread. */
#ifndef DARKROOM_GPU_WEIGHTS_TORCH_H
#define DARKROOM_GPU_WEIGHTS_TORCH_H

#include "gpu/weights/pickle.h"
#include "gpu/weights/table.h"

/* Copies of strided tensors may have this multiple of the file's size, and a little more. */
#define TORCH_MAX_COPY_RATIO 4
#define TORCH_MIN_COPY_BYTES (UINT64_C(1) << 20)
#define TORCH_MAX_KEY_BYTES 255 /* of a storage */
/* Texts that become attributes, one counted as often as the file refers to it. */
#define TORCH_MAX_TEXT_BYTES (UINT64_C(4) << 20)
#define TORCH_MAX_STEPS (1u << 20)
/* Numbers in longer lists (a history of losses) are no attributes. */
#define TORCH_MAX_LISTED 64

struct torch_storage {
    enum tensor_type type;
    uint64_t count;            /* of values */
    const unsigned char *data; /* borrowed; count values, all inside the file */
};

/* What a persistent id says of a storage: ('storage', type, key, place, count[, view]). */
struct torch_id {
    enum tensor_type type;
    struct pickle_span key;
    uint64_t count;
    const struct pickle_node *view; /* (key, offset, count) of older files, or NULL */
};

/* The bytes behind the first argument of a tensor. `name` is the tensor's, for errors. */
typedef int torch_find_fn(void *state, const char *name, const struct pickle_node *node,
                          struct torch_storage *out_storage, struct err *err);

struct torch_reading {
    struct table *table;
    torch_find_fn *find;
    void *state;
    uint64_t copy_left, text_left;
    size_t tensors, steps;
    const struct pickle_node *opaque; /* the first one that was passed over, or NULL */
    char name[WEIGHTS_MAX_NAME_BYTES + 1];
};

void torch_init(struct torch_reading *reading, struct table *table, size_t file_size,
                torch_find_fn *find, void *state);
int torch_add(struct torch_reading *reading, const char *name, const struct pickle_node *node,
              struct err *err);
/* ERR_UNSUPPORTED where nothing was found, naming what was there instead. */
int torch_finish(const struct torch_reading *reading, struct err *err);

/* A call of _rebuild_tensor_v2, _v3 or _rebuild_parameter: adds it to the table. */
int torch_add_tensor(struct torch_reading *reading, const char *name,
                     const struct pickle_node *node, struct err *err);

/* False where `node` is the persistent id of something else than a storage. */
bool torch_is_storage(const struct pickle_node *node);
int torch_read_id(const char *name, const struct pickle_node *node, struct torch_id *out_id,
                  struct err *err);

/* Pickles, key list and storages of torch.save before version 1.6. */
struct torch_legacy {
    const struct pickle_node *root;
    struct torch_stored *storages; /* owned */
    size_t count;
};

/* True where the bytes begin with that format's magic number. */
bool torch_legacy_matches(const void *data, size_t size);
int torch_legacy_open(struct torch_legacy *legacy, struct pickle *pickle, const void *data,
                      size_t size, struct err *err);
void torch_legacy_close(struct torch_legacy *legacy);
torch_find_fn torch_legacy_find; /* `state` is the struct torch_legacy */

#endif
