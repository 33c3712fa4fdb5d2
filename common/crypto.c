/* SPDX-License-Identifier: MIT */
#include "common/crypto.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NONCE_SIZE 12
#define TAG_SIZE 16
#define MAX_CERTIFICATES ((size_t)8 << 20)

static_assert(NONCE_SIZE + TAG_SIZE == CRYPTO_SEAL_OVERHEAD, "the header says what sealing adds");

/* libcrypto takes algorithm names as char *, but does not write to them. */
static OSSL_PARAM digest_param(void)
{
    static char name[] = "SHA256";
    return OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0);
}

/* libcrypto queues its errors for the thread; left there, a later user of it (libcurl's TLS) would
 * take them for its own. */
static int report(bool ok, int code)
{
    if (ok)
        return 0;
    ERR_clear_error();
    return code;
}

int crypto_random(void *out, size_t size)
{
    return report(size <= INT_MAX && RAND_bytes(out, (int)size) == 1, ERR_INTERNAL);
}

bool crypto_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void crypto_wipe(void *data, size_t size)
{
    OPENSSL_cleanse(data, size);
}

int crypto_sha256(const void *data, size_t size, unsigned char out[CRYPTO_SHA256_SIZE])
{
    return report(EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL) == 1, ERR_INTERNAL);
}

int crypto_sha256_hex(const void *data, size_t size, char out[CRYPTO_SHA256_HEX_SIZE])
{
    unsigned char digest[CRYPTO_SHA256_SIZE];
    int rc = crypto_sha256(data, size, digest);
    if (rc == 0)
        hex_encode(digest, sizeof digest, out);
    return rc;
}

/* struct crypto_sha256 is libcrypto's context under a name of ours: never defined, only cast. */
int crypto_sha256_create(struct crypto_sha256 **out_hash)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context)
        return report(false, ERR_NOMEM);
    if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return report(false, ERR_INTERNAL);
    }
    *out_hash = (struct crypto_sha256 *)context;
    return 0;
}

int crypto_sha256_update(struct crypto_sha256 *hash, const void *data, size_t size)
{
    return report(EVP_DigestUpdate((EVP_MD_CTX *)hash, data, size) == 1, ERR_INTERNAL);
}

int crypto_sha256_final(struct crypto_sha256 *hash, unsigned char out[CRYPTO_SHA256_SIZE])
{
    return report(EVP_DigestFinal_ex((EVP_MD_CTX *)hash, out, NULL) == 1, ERR_INTERNAL);
}

void crypto_sha256_destroy(struct crypto_sha256 **hash)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)*hash);
    *hash = NULL;
}

/* `keyed` is only read. Threads use copies of it; one copy is kept, as making it costs more than a
 * signature. */
struct crypto_mac {
    EVP_MAC_CTX *keyed;           /* owned */
    _Atomic(EVP_MAC_CTX *) spare; /* owned; NULL while somebody signs with it */
};

int crypto_mac_create(const void *key, size_t key_size, struct crypto_mac **out_mac)
{
    struct crypto_mac *mac = calloc(1, sizeof *mac);
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac && algorithm ? EVP_MAC_CTX_new(algorithm) : NULL;
    EVP_MAC_free(algorithm); /* the context holds its own reference */
    const OSSL_PARAM params[] = {digest_param(), OSSL_PARAM_construct_end()};
    if (!context || EVP_MAC_init(context, key, key_size, params) != 1) {
        EVP_MAC_CTX_free(context);
        free(mac);
        return report(false, ERR_INTERNAL);
    }
    mac->keyed = context;
    *out_mac = mac;
    return 0;
}

int crypto_mac_sign(const struct crypto_mac *shared, const void *data, size_t size,
                    unsigned char out[CRYPTO_SHA256_SIZE])
{
    struct crypto_mac *mac = (struct crypto_mac *)(uintptr_t)shared; /* but for the spare const */
    EVP_MAC_CTX *context = atomic_exchange(&mac->spare, NULL);
    size_t written;
    /* Without a key: begin anew with the one that it has. */
    bool ok = context ? EVP_MAC_init(context, NULL, 0, NULL) == 1
                      : (context = EVP_MAC_CTX_dup(mac->keyed)) != NULL;
    ok = ok && EVP_MAC_update(context, data, size) == 1 &&
         EVP_MAC_final(context, out, &written, CRYPTO_SHA256_SIZE) == 1;
    EVP_MAC_CTX_free(ok ? atomic_exchange(&mac->spare, context) : context);
    return report(ok, ERR_INTERNAL);
}

void crypto_mac_destroy(struct crypto_mac **mac)
{
    if (*mac) {
        EVP_MAC_CTX_free((*mac)->keyed);
        EVP_MAC_CTX_free((*mac)->spare);
        free(*mac);
    }
    *mac = NULL;
}

int crypto_hmac(const void *key, size_t key_size, const void *data, size_t size,
                unsigned char out[CRYPTO_SHA256_SIZE])
{
    struct crypto_mac *mac = NULL;
    int rc = crypto_mac_create(key, key_size, &mac);
    if (rc == 0)
        rc = crypto_mac_sign(mac, data, size, out);
    crypto_mac_destroy(&mac);
    return rc;
}

int crypto_check_certificates(const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_CERTIFICATES);
    int rc = buf_read_file(&text, path, err);
    BIO *bio = rc == 0 ? BIO_new_mem_buf(buf_text(&text), (int)text.size) : NULL;
    int count = 0;
    for (X509 *one; bio && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++)
        X509_free(one);
    /* At the end of a good file the next one does not begin. */
    bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    buf_fini(&text);
    if (rc == 0 && (count == 0 || !ended))
        rc = err_set(err, ERR_CORRUPT, NULL, "%s holds no certificates in PEM", path);
    return rc;
}

int crypto_derive(const void *secret, size_t secret_size, const char *label,
                  unsigned char out_key[CRYPTO_KEY_SIZE])
{
    /* The salt separates this program's keys from any other use of the same secret. */
    static const char salt[] = "darkroom";
    EVP_KDF *algorithm = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = algorithm ? EVP_KDF_CTX_new(algorithm) : NULL;
    EVP_KDF_free(algorithm);
    const OSSL_PARAM params[] = {
        digest_param(),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
                                          secret_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
                                          sizeof salt - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label,
                                          strlen(label)),
        OSSL_PARAM_construct_end(),
    };
    bool ok = context && EVP_KDF_derive(context, out_key, CRYPTO_KEY_SIZE, params) == 1;
    EVP_KDF_CTX_free(context);
    return report(ok, ERR_INTERNAL);
}

int crypto_seal(const unsigned char key[CRYPTO_KEY_SIZE], const void *data, size_t size,
                const void *associated, size_t associated_size, struct buf *out)
{
    if (size > INT_MAX || associated_size > INT_MAX)
        return ERR_LIMIT;
    int rc = buf_reserve(out, size + CRYPTO_SEAL_OVERHEAD);
    if (rc < 0)
        return rc;
    unsigned char *nonce = out->data + out->size, *text = nonce + NONCE_SIZE, *tag = text + size;
    if ((rc = crypto_random(nonce, NONCE_SIZE)) < 0)
        return rc;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written = 0;
    bool ok = context && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(context, NULL, &written, associated, (int)associated_size) == 1 &&
              EVP_EncryptUpdate(context, text, &written, data, (int)size) == 1 &&
              EVP_EncryptFinal_ex(context, tag, &written) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!ok)
        return report(false, ERR_INTERNAL);
    out->size += size + CRYPTO_SEAL_OVERHEAD;
    out->data[out->size] = 0;
    return 0;
}

int crypto_open(const unsigned char key[CRYPTO_KEY_SIZE], const void *sealed, size_t sealed_size,
                const void *associated, size_t associated_size, struct buf *out)
{
    if (sealed_size < CRYPTO_SEAL_OVERHEAD)
        return ERR_DENIED;
    if (sealed_size > INT_MAX || associated_size > INT_MAX)
        return ERR_LIMIT;
    size_t size = sealed_size - CRYPTO_SEAL_OVERHEAD;
    int rc = buf_reserve(out, size);
    if (rc < 0)
        return rc;
    const unsigned char *nonce = sealed, *text = nonce + NONCE_SIZE, *end = text + size;
    unsigned char tag[TAG_SIZE];
    memcpy(tag, end, sizeof tag);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written = 0;
    bool ready =
        context && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
        EVP_DecryptUpdate(context, NULL, &written, associated, (int)associated_size) == 1 &&
        EVP_DecryptUpdate(context, out->data + out->size, &written, text, (int)size) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1;
    bool genuine = ready && EVP_DecryptFinal_ex(context, tag, &written) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!genuine) {
        crypto_wipe(out->data + out->size, size + 1);
        return report(false, ready ? ERR_DENIED : ERR_INTERNAL);
    }
    out->size += size;
    out->data[out->size] = 0;
    return 0;
}
