/* SPDX-License-Identifier: MIT
 *
 * The object store: inputs and results by key, in a directory behind the dispatcher (local) or in
 * a bucket (s3).
 *
 *     struct store *store = NULL;
 *     rc = store_open(&(struct store_options){.url = "local:/var/lib/darkroom/objects",
 *                     .public_url = "http://127.0.0.1:8080", .secret = &secret}, &store, &err);
 *     rc = store_put(store, "inputs/00ab…", data, size, "image/jpeg", &err);
 *     rc = store_presign(store, &(struct store_link_request){.method = STORE_GET, …}, &link, &err);
 *     store_close(&store);
 *
 * A worker holds no key to the store: it gets links for one object, one method, some minutes. It
 * fetches and uploads over HTTP either way and sees no difference.
 *
 * Keys are made by us alone: segments of [A-Za-z0-9._-] joined by '/', none empty or with a dot
 * in front, at most 255 characters. An object appears whole or not at all; putting the same key
 * again replaces it; deleting what is not there succeeds. Nothing here retries: err_action() of
 * the code tells the caller. All functions may be called from any thread, also at once, save
 * those of one struct store_upload. store_presign() and store_verify_link() do no I/O. */
#ifndef DARKROOM_COMMON_STORE_H
#define DARKROOM_COMMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct secret;
struct store;
struct store_upload;

#define STORE_KEY_SIZE 256 /* with the zero, as all sizes here */
#define STORE_TYPE_SIZE 64 /* a content type such as image/png */
#define STORE_URL_SIZE 4096
#define STORE_CURSOR_SIZE 1536
#define STORE_MAX_LINK_S (7 * 24 * 3600) /* S3 signs for no longer */

enum store_method { STORE_GET, STORE_PUT };

/* Texts are borrowed for the call of open(). */
struct store_options {
    const char *url;             /* "local:DIRECTORY" or "s3://BUCKET" */
    const char *public_url;      /* local: where the dispatcher is reached, "https://lab.example" */
    const struct secret *secret; /* local: the link key derives from it */
    bool no_sync;         /* local: not durable on return, but with the system's next write */
    const char *endpoint; /* s3: "https://host[:port]"; NULL: AWS's of the region */
    const char *region;   /* s3: NULL: us-east-1 */
    const char *credentials_file; /* s3: two lines, access key and secret key, or AWS's ini file */
    const char *role;             /* s3, instead: the metadata service that has a role's keys */
    bool virtual_host;            /* s3: bucket.host instead of host/bucket; on for AWS */
    int64_t timeout_ms;           /* s3: for one request; 0: 30000 */
};

/* The directory is made if missing; a bucket is not. ERR_INVALID names the option. */
int store_open(const struct store_options *options, struct store **out_store, struct err *err);
void store_close(struct store **store);

/* True where the dispatcher itself serves /o/. */
bool store_is_local(const struct store *store);

bool store_key_is_valid(const char *key);
bool store_type_is_valid(const char *content_type); /* type/subtype, no parameters */

/* Durable on return, save with no_sync. A directory does not keep the content type: a link names
 * it, see below. */
int store_put(struct store *store, const char *key, const void *data, size_t size,
              const char *content_type, struct err *err);

/* Appends the object to `out`. ERR_LIMIT where it is larger than fits, ERR_NOT_FOUND. */
int store_get(struct store *store, const char *key, struct buf *out, struct err *err);

/* Size of an object; ERR_NOT_FOUND. */
int store_head(struct store *store, const char *key, int64_t *out_bytes, struct err *err);

int store_delete(struct store *store, const char *key, struct err *err);

/* Whether objects could be written and read now: for /readyz. */
int store_ping(struct store *store, struct err *err);

struct store_entry {
    char key[STORE_KEY_SIZE];
    int64_t bytes;
    int64_t modified_ms; /* since 1970 UTC */
};

/* One page of the keys that start with `prefix`, for sweeping. `cursor` starts as "", is changed
 * by each call, and is "" again after the last page. Keys that are none of ours are left out, so
 * that a page may be empty before the end. */
int store_list(struct store *store, const char *prefix, char cursor[STORE_CURSOR_SIZE],
               struct store_entry *entries, size_t max_entries, size_t *out_count, struct err *err);

/* All pages of them, one entry after the other; ends at the first `visit` that is not 0, with its
 * code. `visit` may delete the entry. */
typedef int store_visit(const struct store_entry *entry, void *data, struct err *err);
int store_each(struct store *store, const char *prefix, store_visit *visit, void *data,
               struct err *err);

/* What a link permits. */
struct store_link_request {
    enum store_method method;
    const char *key;
    int64_t lifetime_s;       /* 1 to STORE_MAX_LINK_S */
    int64_t max_bytes;        /* PUT: the greatest length; S3 cannot sign one and ignores it */
    const char *content_type; /* PUT: must be sent so; GET: is answered so; may be NULL for GET */
};

struct store_link {
    char url[STORE_URL_SIZE];
    char content_type[STORE_TYPE_SIZE]; /* the Content-Type header to send with a PUT; else "" */
};

int store_presign(const struct store *store, const struct store_link_request *request,
                  struct store_link *out_link, struct err *err);

/* --- The local store's HTTP side: GET and PUT /o/{key}?e=&n=&t=&s= -------------------------- */

/* The request as it came in; NULL where a member is missing. */
struct store_link_query {
    const char *method;    /* "GET", "HEAD" or "PUT" */
    const char *key;       /* the path behind /o/, percent-decoded */
    const char *expires;   /* e */
    const char *max_bytes; /* n */
    const char *type;      /* t */
    const char *signature; /* s */
};

/* What a verified link permits. */
struct store_permit {
    enum store_method method;
    char key[STORE_KEY_SIZE];
    char content_type[STORE_TYPE_SIZE]; /* "" where a GET link names none */
    int64_t max_bytes;
};

/* ERR_DENIED: not signed by us for this method, or too old. Only a permit from here may be passed
 * to the functions below. */
int store_verify_link(const struct store *store, const struct store_link_query *query,
                      int64_t now_s, struct store_permit *out_permit, struct err *err);

/* The object as a descriptor, owned by the caller, at its start. ERR_NOT_FOUND. */
int store_open_object(struct store *store, const struct store_permit *permit, int *out_fd,
                      int64_t *out_bytes, struct err *err);

/* A PUT as its bytes arrive. append() refuses with ERR_LIMIT what exceeds the permit; commit()
 * makes the object durable and visible (it waits for the disk) and frees the upload in either
 * case; abort() leaves nothing behind and accepts NULL. An upload belongs to one thread at a
 * time. */
int store_upload_begin(struct store *store, const struct store_permit *permit,
                       struct store_upload **out_upload, struct err *err);
int store_upload_append(struct store_upload *upload, const void *data, size_t size,
                        struct err *err);
int store_upload_commit(struct store_upload **upload, struct err *err);
void store_upload_abort(struct store_upload **upload);

#endif
