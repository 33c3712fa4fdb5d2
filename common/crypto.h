/* SPDX-License-Identifier: MIT
 *
 * The home of libcrypto: randomness, SHA-256, HMAC, sealing and constant-time comparison.
 * Text forms (base64, hex) are in base64.h, the secret file in secret.h.
 *
 *     struct crypto_mac *mac = NULL;
 *     rc = crypto_mac_create(key, sizeof key, &mac);
 *     rc = crypto_mac_sign(mac, text, strlen(text), tag);
 *     crypto_mac_destroy(&mac);
 *
 * ERR_INTERNAL means that libcrypto itself failed (no entropy, no memory). Every data pointer is
 * borrowed for the call. Any thread; one struct crypto_mac may serve many threads at once, a struct
 * crypto_sha256 belongs to one. */
#ifndef DARKROOM_COMMON_CRYPTO_H
#define DARKROOM_COMMON_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;

#define CRYPTO_SHA256_SIZE 32
#define CRYPTO_SHA256_HEX_SIZE 65 /* with the terminating zero */
#define CRYPTO_KEY_SIZE 32
#define CRYPTO_SEAL_OVERHEAD (12 + 16) /* nonce in front, tag behind */

int crypto_random(void *out, size_t size);

/* Compares without telling by its time where the first difference is. */
bool crypto_equal(const void *a, const void *b, size_t size);

/* Overwrites a secret before its memory is given back. */
void crypto_wipe(void *data, size_t size);

/* SHA-256 at once, as bytes or as 64 lower-case digits. */
int crypto_sha256(const void *data, size_t size, unsigned char out[CRYPTO_SHA256_SIZE]);
int crypto_sha256_hex(const void *data, size_t size, char out[CRYPTO_SHA256_HEX_SIZE]);

/* SHA-256 in pieces. final() may be called once, then only destroy(). */
struct crypto_sha256;
int crypto_sha256_create(struct crypto_sha256 **out_hash); /* owned by the caller */
int crypto_sha256_update(struct crypto_sha256 *hash, const void *data, size_t size);
int crypto_sha256_final(struct crypto_sha256 *hash, unsigned char out[CRYPTO_SHA256_SIZE]);
void crypto_sha256_destroy(struct crypto_sha256 **hash);

/* HMAC-SHA256 (RFC 2104) at once, for a key that is used once. */
int crypto_hmac(const void *key, size_t key_size, const void *data, size_t size,
                unsigned char out[CRYPTO_SHA256_SIZE]);

/* HMAC-SHA256 with a key prepared once: half the time per call. */
struct crypto_mac;
int crypto_mac_create(const void *key, size_t key_size, struct crypto_mac **out_mac);
int crypto_mac_sign(const struct crypto_mac *mac, const void *data, size_t size,
                    unsigned char out[CRYPTO_SHA256_SIZE]);
void crypto_mac_destroy(struct crypto_mac **mac);

/* Whether a file of PEM holds at least one certificate, and nothing that cannot be read as one.
 * ERR_CORRUPT; else as buf_read_file(). */
int crypto_check_certificates(const char *path, struct err *err);

/* HKDF-SHA256 (RFC 5869): a key of its own for each label, from one secret. */
int crypto_derive(const void *secret, size_t secret_size, const char *label,
                  unsigned char out_key[CRYPTO_KEY_SIZE]);

/* AES-256-GCM with a fresh random nonce; appends nonce, ciphertext and tag to `out`. The
 * associated data are bound to the text but not in it: the same must be given to open it. Up to
 * 2^32 seals for one key. */
int crypto_seal(const unsigned char key[CRYPTO_KEY_SIZE], const void *data, size_t size,
                const void *associated, size_t associated_size, struct buf *out);

/* Appends the plain text. ERR_DENIED where key, text or associated data do not belong together;
 * `out` is then unchanged. */
int crypto_open(const unsigned char key[CRYPTO_KEY_SIZE], const void *sealed, size_t sealed_size,
                const void *associated, size_t associated_size, struct buf *out);

#endif
