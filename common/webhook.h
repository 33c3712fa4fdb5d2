/* SPDX-License-Identifier: MIT
 *
 * What a webhook is made of: URLs that may be called, secrets, signatures (Standard Webhooks,
 * standardwebhooks.com), and how URLs and secrets are kept.
 *
 *     rc = webhook_url_check(url, &allowed, &err);                 // at the door
 *     rc = webhook_secret_create(secret);                          // "whsec_…", shown once
 *     rc = webhook_seal(keys, secret, endpoint_id, sealed);        // what Redis keeps
 *     rc = webhook_open(keys, sealed, endpoint_id, text, sizeof text);
 *     rc = webhook_sign(secret, id, now_s, body, size, signature); // "v1,…"
 *
 * Whether a name leads to an internal address shows only when a socket opens (http_client.h);
 * what is checked here is what can be said of the text alone. Any thread, also at once. */
#ifndef DARKROOM_COMMON_WEBHOOK_H
#define DARKROOM_COMMON_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct network_set;
struct secret;
struct webhook_keys;

#define WEBHOOK_URL_SIZE 1025     /* 1024 characters, and the zero */
#define WEBHOOK_SECRET_SIZE 51    /* "whsec_" and 44 of base64, and the zero */
#define WEBHOOK_SEALED_SIZE 1409  /* base64url of nonce, text and tag, and the zero */
#define WEBHOOK_SIGNATURE_SIZE 48 /* "v1," and 44 of base64, and the zero */
#define WEBHOOK_TARGET_SIZE 18    /* "u" and 16 hex digits, and the zero */

/* https, a host, port 443 or above 1023, no user or password, no fragment, visible ASCII only; and
 * a host that is written as an address must be public or in `allowed` (nullable). ERR_INVALID or
 * ERR_LIMIT with the field "webhook"; the text does not repeat the URL. */
int webhook_url_check(const char *url, const struct network_set *allowed, struct err *err);

int webhook_keys_create(const struct secret *secret, struct webhook_keys **out_keys);
void webhook_keys_destroy(struct webhook_keys **keys);

/* A text of at most WEBHOOK_URL_SIZE - 1 characters, bound to what it belongs to (an endpoint's or
 * a job's id): elsewhere it does not open. */
int webhook_seal(const struct webhook_keys *keys, const char *text, const char *owner,
                 char out[WEBHOOK_SEALED_SIZE]);
/* ERR_DENIED where secret, owner and text do not belong together; ERR_INVALID for no sealed text,
 * ERR_LIMIT where it does not fit. */
int webhook_open(const struct webhook_keys *keys, const char *sealed, const char *owner, char *out,
                 size_t size);

/* Who waits in one line: the URLs of one flow with the same host. */
int webhook_target(const struct webhook_keys *keys, const char *flow, const char *url,
                   char out[WEBHOOK_TARGET_SIZE]);

int webhook_secret_create(char out[WEBHOOK_SECRET_SIZE]);
/* The secret of the URL that a job brought: the same whenever it is asked for, kept nowhere. */
int webhook_job_secret(const struct webhook_keys *keys, const char *public_id,
                       char out[WEBHOOK_SECRET_SIZE]);

/* HMAC-SHA256 over `id.timestamp.body` under what the secret's base64 stands for. ERR_INVALID: not
 * a secret. */
int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const void *body,
                 size_t size, char out[WEBHOOK_SIGNATURE_SIZE]);

#endif
