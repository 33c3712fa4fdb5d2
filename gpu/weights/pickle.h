/* SPDX-License-Identifier: MIT
 *
 * Python pickles as plain data: a stack machine that builds nodes and never runs anything.
 *
 *     struct pickle *pickle = NULL;
 *     const struct pickle_node *root;
 *     size_t used;
 *     rc = pickle_create(&pickle);
 *     rc = pickle_read(pickle, data, size, &used, &root, &err);    // again for the next in a row
 *     node = pickle_get(root, "G_ema");
 *     pickle_destroy(&pickle);
 *
 * Format: Lib/pickletools.py and PEP 3154, 574; protocols 2 to 5 without buffers out of band. A
 * global (a class or function that Python would import) becomes a node that names it. What the
 * readers understand is a list (enum pickle_global, pickle_allow.c); every other global is
 * PICKLE_OPAQUE, as inert as the rest, and an error only for who needs what it would have made.
 *
 * Nodes live in the pickle's arena, texts and bytes in the input, which must outlive it. Nodes may
 * be shared and may contain themselves: whoever walks them limits depth and number of steps.
 * Reading takes time and memory in proportion to the input (bytes that are skipped are not touched)
 * and less than the limits below for all inputs of one pickle together. One thread. */
#ifndef DARKROOM_GPU_WEIGHTS_PICKLE_H
#define DARKROOM_GPU_WEIGHTS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pickle;

#define PICKLE_MAX_NODES (1u << 20)
#define PICKLE_MAX_MEMO (1u << 20)
#define PICKLE_MAX_STACK (1u << 20)
#define PICKLE_MAX_STEPS (1u << 23) /* opcodes */
#define PICKLE_MAX_LINE 4096
#define PICKLE_MAX_DEPTH 1024 /* of open marks; of walks as well */
#define PICKLE_MAX_BYTES (256u << 20)

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, /* an integer of more than 64 bits */
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_SET,
    PICKLE_GLOBAL,
    PICKLE_OBJECT,    /* what calling a global would have made */
    PICKLE_PERSISTENT /* what the program around the pickle keeps elsewhere */
};

/* The globals that the readers of weights understand. */
enum pickle_global {
    PICKLE_OPAQUE,
    PICKLE_ORDERED_DICT,
    PICKLE_EASY_DICT,
    PICKLE_PYTHON_SET,
    PICKLE_NUMPY_SCALAR,
    PICKLE_NUMPY_DTYPE,
    PICKLE_PERSISTENT_OBJECT, /* StyleGAN2-ADA's _reconstruct_persistent_obj */
    PICKLE_LOAD_FROM_BYTES,
    PICKLE_REBUILD_TENSOR, /* _rebuild_tensor_v2 and _v3 */
    PICKLE_REBUILD_PARAMETER,
    PICKLE_STORAGE, /* torch.FloatStorage … and torch.float32 …: `type` says which */
    PICKLE_UNTYPED_STORAGE
};

struct pickle_span {
    const unsigned char *data; /* borrowed from the input */
    size_t size;
};

struct pickle_list {
    struct pickle_node **item;
    size_t count, room;
};

struct pickle_node {
    enum pickle_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct pickle_span bytes; /* TEXT, BYTES; LONG: two's complement, lowest byte first */
        struct pickle_list list;  /* TUPLE, LIST, SET; DICT: key, value, key, value … in order */
        struct {
            enum pickle_global id;
            int type; /* enum tensor_type of a storage */
            struct pickle_span module, name;
        } global;
        struct {
            struct pickle_node *callable, *arguments;
            struct pickle_node *state;  /* what BUILD brought, or NULL */
            struct pickle_list entries; /* keys and values set on it afterwards */
        } object;
        struct {
            struct pickle_node *id;
            struct pickle_node *previous; /* the one made before this one, or NULL */
        } persistent;
    };
};

int pickle_create(struct pickle **out_pickle);
void pickle_destroy(struct pickle **pickle); /* accepts NULL inside; sets it to NULL */

/* Reads one pickle from the front of `data` (borrowed for the pickle's life). *out_used is the
 * number of bytes it took. ERR_CORRUPT (cut off, against the format), ERR_UNSUPPORTED (protocols 0
 * and 1, 6 and above, an opcode that nobody here needs), ERR_LIMIT, ERR_NOMEM. */
int pickle_read(struct pickle *pickle, const void *data, size_t size, size_t *out_used,
                const struct pickle_node **out_root, struct err *err);

/* The persistent node made last, whose `previous` leads to all the others; NULL without any. */
const struct pickle_node *pickle_last_persistent(const struct pickle *pickle);

/* The questions below accept NULL for a node, which is none of anything. */

/* Keys and values of a dict, an OrderedDict or an EasyDict; NULL for anything else. */
const struct pickle_list *pickle_entries(const struct pickle_node *node);
/* The value under this key of what has entries; NULL where there is none. The last one wins. */
const struct pickle_node *pickle_get(const struct pickle_node *node, const char *key);
/* Items of a tuple or list; NULL for anything else. */
const struct pickle_list *pickle_items(const struct pickle_node *node);
/* Item `index` of a tuple or list; NULL past its end. */
const struct pickle_node *pickle_at(const struct pickle_node *node, size_t index);
/* Argument `index` of a call of this global; NULL where `node` is no such call. */
const struct pickle_node *pickle_argument(const struct pickle_node *node, enum pickle_global id,
                                          size_t index);
bool pickle_calls(const struct pickle_node *node, enum pickle_global id);
bool pickle_is_kind(const struct pickle_node *node, enum pickle_kind kind);
bool pickle_is_text(const struct pickle_node *node, const char *text);
/* False unless it is an int (of at most 64 bits; a bool is none). */
bool pickle_to_int(const struct pickle_node *node, int64_t *out_value);

/* The global behind a node (itself, or what it calls); NULL where there is none. */
const struct pickle_node *pickle_global_of(const struct pickle_node *node);

/* What a node is, for an error: "os.system", "a dict". Printable whatever the file holds. */
#define PICKLE_DESCRIPTION_SIZE 96
const char *pickle_describe(const struct pickle_node *node, char out[PICKLE_DESCRIPTION_SIZE]);

/* Fills id and type of a GLOBAL from its module and name: the allow-list. */
void pickle_allow(struct pickle_node *global);

#endif
