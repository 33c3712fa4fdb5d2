/* SPDX-License-Identifier: MIT
 *
 * What the kinds of object store share, for store*.c only: a table of functions in front of each
 * kind's own state. Arguments have been checked by store.c before a backend sees them. */
#ifndef DARKROOM_COMMON_STORE_BACKEND_H
#define DARKROOM_COMMON_STORE_BACKEND_H

#include "common/store.h"

struct store_backend {
    void (*close)(struct store *store);
    int (*put)(struct store *store, const char *key, const void *data, size_t size,
               const char *content_type, struct err *err);
    int (*get)(struct store *store, const char *key, struct buf *out, struct err *err);
    int (*head)(struct store *store, const char *key, int64_t *out_bytes, struct err *err);
    int (*delete)(struct store *store, const char *key, struct err *err);
    int (*list)(struct store *store, const char *prefix, char *cursor, struct store_entry *entries,
                size_t max_entries, size_t *out_count, struct err *err);
    int (*ping)(struct store *store, struct err *err);
    int (*presign)(const struct store *store, const struct store_link_request *request,
                   struct store_link *out_link, struct err *err);
};

/* The first member of each kind's struct. */
struct store {
    const struct store_backend *backend;
};

/* `directory`, respectively `bucket`, is what follows "local:" and "s3://" in the URL. */
int store_local_open(const struct store_options *options, const char *directory,
                     struct store **out_store, struct err *err);
int store_s3_open(const struct store_options *options, const char *bucket, struct store **out_store,
                  struct err *err);

/* True for the backend of local stores. */
bool store_local_is(const struct store *store);

/* One page of the files below `root_fd` in the order of their keys, after the key `cursor`. */
int store_walk(int root_fd, const char *prefix, char cursor[STORE_CURSOR_SIZE],
               struct store_entry *entries, size_t max_entries, size_t *out_count, struct err *err);

#endif
