/* SPDX-License-Identifier: MIT
 *
 * E-mail addresses: checked at the door, encrypted at rest, compared by a keyed hash.
 *
 *     rc = address_check(typed, address, &err);              // what a mail goes to
 *     rc = address_seal(keys, address, public_id, sealed);   // what Redis keeps
 *     rc = address_hash(keys, address, hash);                // limits and erasure go by this
 *     rc = address_open(keys, sealed, public_id, address);   // only the notifier
 *
 * The syntax is the part of RFC 5321 and 5322 that people use: local@domain, the local part a
 * dot-atom, the domain of dotted letter-digit-hyphen labels. So an address holds no quote, bracket,
 * comma, space, control character or "=?", and can stand in a mail's envelope and headers as it is.
 * A domain outside ASCII has to come in its xn-- form. Any thread, also at once. */
#ifndef DARKROOM_COMMON_ADDRESS_H
#define DARKROOM_COMMON_ADDRESS_H

struct err;
struct secret;
struct address_keys;

#define ADDRESS_SIZE 255        /* RFC 5321: 254 characters, and the zero */
#define ADDRESS_SEALED_SIZE 384 /* base64url of nonce, address and tag, and the zero */
#define ADDRESS_HASH_SIZE 33    /* 128 bits in hex, and the zero */

/* Copies the address with its domain in lower case. ERR_INVALID says what is wrong with it and
 * has the field "email"; the text does not repeat the address. */
int address_check(const char *text, char out[ADDRESS_SIZE], struct err *err);

int address_keys_create(const struct secret *secret, struct address_keys **out_keys);
void address_keys_destroy(struct address_keys **keys);

/* The sealed text is bound to the public id: moved to another job it does not open. */
int address_seal(const struct address_keys *keys, const char *address, const char *public_id,
                 char out[ADDRESS_SEALED_SIZE]);

/* ERR_DENIED where secret, id and text do not belong together, ERR_INVALID for no sealed text. */
int address_open(const struct address_keys *keys, const char *sealed, const char *public_id,
                 char out[ADDRESS_SIZE]);

/* The same for every spelling of upper and lower case, so that a limit per address cannot be
 * walked around by shouting. */
int address_hash(const struct address_keys *keys, const char *address, char out[ADDRESS_HASH_SIZE]);

#endif
