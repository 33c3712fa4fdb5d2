/* SPDX-License-Identifier: MIT
 *
 * Links by which the owner of an e-mail address says that it wants no more mails (RFC 8058).
 *
 *     rc = unsubscribe_id(keys, address_hash, id);       // what {k}unwanted holds
 *     rc = unsubscribe_token(keys, address_hash, token); // …/u/TOKEN, in each mail
 *     if (unsubscribe_open(keys, token, id)) …           // a link came back
 *
 * The id is a keyed hash of the keyed hash of the address (address.h), under a key of its own, so
 * that who sees the set learns neither addresses nor whose jobs are whose. A token is the id with a
 * MAC, for ever good, and only a mail to that very address has it. Any thread. */
#ifndef DARKROOM_COMMON_UNSUBSCRIBE_H
#define DARKROOM_COMMON_UNSUBSCRIBE_H

#include <stdbool.h>

struct secret;
struct unsubscribe_keys;

#define UNSUBSCRIBE_ID_SIZE 33    /* 128 bits in hex, and the zero */
#define UNSUBSCRIBE_TOKEN_SIZE 55 /* the id, 128 bits of MAC in base64url, and the zero */

int unsubscribe_keys_create(const struct secret *secret, struct unsubscribe_keys **out_keys);
void unsubscribe_keys_destroy(struct unsubscribe_keys **keys);

/* `address_hash` as address_hash() made it. */
int unsubscribe_id(const struct unsubscribe_keys *keys, const char *address_hash,
                   char out[UNSUBSCRIBE_ID_SIZE]);
int unsubscribe_token(const struct unsubscribe_keys *keys, const char *address_hash,
                      char out[UNSUBSCRIBE_TOKEN_SIZE]);

/* False for any text that is no token of ours. */
bool unsubscribe_open(const struct unsubscribe_keys *keys, const char *token,
                      char out_id[UNSUBSCRIBE_ID_SIZE]);

#endif
