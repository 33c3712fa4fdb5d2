/* SPDX-License-Identifier: MIT
 *
 * Secrets live in files, never in options; what the environment brings is in a file, too
 * (config.h).
 *
 *     struct secret secret;
 *     rc = secret_load("/etc/darkroom/secret", &secret, &err);
 *     rc = secret_derive(&secret, "view", key);
 *     secret_wipe(&secret);
 *
 * The secret file is one line of 64 hex digits, shared by all dispatchers and notifiers and known
 * to no worker. Every key comes from it by label, so that a leak of one key tells nothing of the
 * others. A file that users outside its owner and group can read or write is refused. Any
 * thread. */
#ifndef DARKROOM_COMMON_SECRET_H
#define DARKROOM_COMMON_SECRET_H

#include "common/crypto.h"

struct buf;
struct err;

struct secret {
    unsigned char bytes[CRYPTO_KEY_SIZE];
};

/* Why a key exists; the text is part of the key, so changing one invalidates what it made. */
#define SECRET_VIEW "view"                         /* tokens that may look */
#define SECRET_MANAGE "manage"                     /* tokens that may cancel */
#define SECRET_SHARE "share"                       /* tokens that may see a result, no more */
#define SECRET_DELETE "delete"                     /* tokens that may erase */
#define SECRET_STORE_LINK "store-link"             /* signed links of the local object store */
#define SECRET_ADDRESS "address"                   /* sealed e-mail addresses */
#define SECRET_ADDRESS_INDEX "address-index"       /* keyed hashes of e-mail addresses */
#define SECRET_UNSUBSCRIBE_ID "unsubscribe-id"     /* keyed hashes of addresses that want no mail */
#define SECRET_UNSUBSCRIBE_LINK "unsubscribe-link" /* the links that say so */
#define SECRET_WEBHOOK "webhook"                   /* sealed URLs and secrets of webhooks */
#define SECRET_WEBHOOK_JOB "webhook-job"           /* secrets of the URLs that jobs bring */
#define SECRET_WEBHOOK_HOST "webhook-host"         /* keyed hashes of their hosts */
#define SECRET_VISITOR_FLOW "visitor-flow"         /* keyed hashes of visitors, for fairness */

/* ERR_NOT_FOUND, ERR_IO, ERR_DENIED (permissions), ERR_CORRUPT (not 64 hex digits). */
int secret_load(const char *path, struct secret *out_secret, struct err *err);

/* Makes a file with a new random secret, readable by its owner only, for a first start. The file
 * appears complete or not at all; ERR_CONFLICT where it exists already. */
int secret_create_file(const char *path, struct err *err);

int secret_derive(const struct secret *secret, const char *label,
                  unsigned char out_key[CRYPTO_KEY_SIZE]);

/* Like secret_derive(), made ready for signing. The MAC is owned by the caller. */
int secret_mac(const struct secret *secret, const char *label, struct crypto_mac **out_mac);

void secret_wipe(struct secret *secret);

/* Reads a one-line secret (worker token, password) of `min_length` to `size - 1` printable ASCII
 * characters; a final newline does not count. Same refusals as secret_load(). */
int secret_read_line(const char *path, size_t min_length, char *out, size_t size, struct err *err);

/* Reads a whole secret file into `out`, which bounds it; ERR_NOT_FOUND, ERR_IO, ERR_LIMIT,
 * ERR_DENIED. Overwrite it with secret_wipe_buf() before buf_fini(). */
int secret_read_file(const char *path, struct buf *out, struct err *err);
void secret_wipe_buf(struct buf *buf);

#endif
