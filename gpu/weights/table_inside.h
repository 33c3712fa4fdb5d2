/* SPDX-License-Identifier: MIT
 *
 * The table itself: for table.c, weights.c and apart.c alone. Readers use table.h. */
#ifndef DARKROOM_GPU_WEIGHTS_TABLE_INSIDE_H
#define DARKROOM_GPU_WEIGHTS_TABLE_INSIDE_H

#include "gpu/weights/table.h"

struct table_entry {
    char *name; /* owned; first, so that one comparison serves every list */
    struct tensor tensor;
};

struct table_attribute {
    char *name; /* owned; first as well */
    char *text; /* owned; NULL: a number */
    double number;
};

struct table_block {
    void *data; /* owned */
    size_t size;
    bool mapped; /* else from malloc() */
};

struct table {
    struct table_entry *entries; /* owned; in name order once sealed */
    size_t count, capacity;
    struct table_attribute *attributes; /* owned; likewise */
    size_t attribute_count, attribute_capacity;
    struct table_block *blocks; /* owned; what tensors point into */
    size_t block_count, block_capacity;
    uint64_t bytes; /* of all blocks from malloc() */
};

/* As table_map(), of an open file; `fd` is borrowed, `path` is for errors. */
int table_map_descriptor(struct table *table, int fd, const char *path,
                         const unsigned char **out_data, size_t *out_size, struct err *err);
/* Sorts; ERR_CORRUPT where two tensors have the same name. */
int table_seal(struct table *table, struct err *err);
/* Both need a sealed table; NULL if there is none. */
const struct table_entry *table_find(const struct table *table, const char *name);
const struct table_attribute *table_find_attribute(const struct table *table, const char *name);
void table_fini(struct table *table); /* harmless on {0} and twice */

#endif
