/* SPDX-License-Identifier: MIT */
#include "common/store.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/store_backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 8192      /* S3 gives 1000 at most; for each a local store reads the whole folder */
#define MAX_SEGMENTS 8 /* bounds the depth of the local store's folders */

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* Without a dot in front a segment is neither "." nor ".." nor one of our temporary names. */
bool store_key_is_valid(const char *key)
{
    int segments = 0;
    if (strnlen(key, STORE_KEY_SIZE) == STORE_KEY_SIZE)
        return false;
    for (const char *c = key;; c++) {
        const char *start = c;
        while (is_name_character(*c))
            c++;
        if (c == start || *start == '.' || ++segments > MAX_SEGMENTS)
            return false;
        if (*c != '/')
            return *c == 0;
    }
}

bool store_type_is_valid(const char *content_type)
{
    const char *slash = strchr(content_type, '/');
    if (!slash || slash == content_type || !slash[1] ||
        strnlen(content_type, STORE_TYPE_SIZE) == STORE_TYPE_SIZE)
        return false;
    for (const char *c = content_type; *c; c++)
        if (c != slash && !is_name_character(*c) && *c != '+')
            return false;
    return true;
}

int store_open(const struct store_options *options, struct store **out_store, struct err *err)
{
    if (options->url && !strncmp(options->url, "local:", 6))
        return store_local_open(options, options->url + 6, out_store, err);
    if (options->url && !strncmp(options->url, "s3://", 5))
        return store_s3_open(options, options->url + 5, out_store, err);
    return err_set(err, ERR_INVALID, "store", "store wants local:DIRECTORY or s3://BUCKET");
}

void store_close(struct store **store)
{
    if (*store)
        (*store)->backend->close(*store);
    *store = NULL;
}

bool store_is_local(const struct store *store)
{
    return store_local_is(store);
}

static int check_key(const char *key, struct err *err)
{
    if (store_key_is_valid(key))
        return 0;
    return err_set(err, ERR_INVALID, NULL, "an object's key breaks the rules for keys");
}

static int check_type(const char *content_type, struct err *err)
{
    if (store_type_is_valid(content_type))
        return 0;
    return err_set(err, ERR_INVALID, NULL, "an object's content type breaks the rules for types");
}

int store_put(struct store *store, const char *key, const void *data, size_t size,
              const char *content_type, struct err *err)
{
    int rc = check_key(key, err);
    if (rc == 0)
        rc = check_type(content_type, err);
    return rc < 0 ? rc : store->backend->put(store, key, data, size, content_type, err);
}

int store_get(struct store *store, const char *key, struct buf *out, struct err *err)
{
    int rc = check_key(key, err);
    return rc < 0 ? rc : store->backend->get(store, key, out, err);
}

int store_head(struct store *store, const char *key, int64_t *out_bytes, struct err *err)
{
    int rc = check_key(key, err);
    return rc < 0 ? rc : store->backend->head(store, key, out_bytes, err);
}

int store_delete(struct store *store, const char *key, struct err *err)
{
    int rc = check_key(key, err);
    return rc < 0 ? rc : store->backend->delete (store, key, err);
}

int store_ping(struct store *store, struct err *err)
{
    return store->backend->ping(store, err);
}

int store_list(struct store *store, const char *prefix, char cursor[STORE_CURSOR_SIZE],
               struct store_entry *entries, size_t max_entries, size_t *out_count, struct err *err)
{
    assert(max_entries > 0);
    return store->backend->list(store, prefix, cursor, entries, max_entries, out_count, err);
}

int store_each(struct store *store, const char *prefix, store_visit *visit, void *data,
               struct err *err)
{
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store_entry *entries = calloc(PAGE, sizeof *entries);
    int rc = entries ? 0 : err_set(err, ERR_NOMEM, NULL, "no memory for a list of objects");
    do {
        size_t count = 0;
        if (rc == 0)
            rc = store_list(store, prefix, cursor, entries, PAGE, &count, err);
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = visit(&entries[i], data, err);
    } while (rc == 0 && cursor[0]);
    free(entries);
    return rc;
}

int store_presign(const struct store *store, const struct store_link_request *request,
                  struct store_link *out_link, struct err *err)
{
    int rc = check_key(request->key, err);
    if (rc == 0 && (request->content_type || request->method == STORE_PUT))
        rc = check_type(request->content_type ? request->content_type : "", err);
    if (rc == 0 && (request->lifetime_s < 1 || request->lifetime_s > STORE_MAX_LINK_S))
        rc = err_set(err, ERR_LIMIT, NULL, "a link lives 1 to %d seconds", STORE_MAX_LINK_S);
    if (rc == 0 && request->method == STORE_PUT && request->max_bytes <= 0)
        rc = err_set(err, ERR_INVALID, NULL, "a link for an upload wants a greatest length");
    return rc < 0 ? rc : store->backend->presign(store, request, out_link, err);
}
