/* SPDX-License-Identifier: MIT */
#include "common/crypto.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

static const unsigned char key[CRYPTO_KEY_SIZE] = {1, 2, 3};

static void sha256_matches_fips_180(void)
{
    char hex[CRYPTO_SHA256_HEX_SIZE];
    CHECK_INT(crypto_sha256_hex("abc", 3, hex), 0);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    struct crypto_sha256 *hash = NULL;
    unsigned char digest[CRYPTO_SHA256_SIZE];
    CHECK_INT(crypto_sha256_create(&hash), 0);
    CHECK_INT(crypto_sha256_update(hash, "a", 1), 0);
    CHECK_INT(crypto_sha256_update(hash, "bc", 2), 0);
    CHECK_INT(crypto_sha256_final(hash, digest), 0);
    crypto_sha256_destroy(&hash);
    char again[CRYPTO_SHA256_HEX_SIZE];
    hex_encode(digest, sizeof digest, again);
    CHECK_TEXT(again, hex);
}

static void hmac_matches_rfc_4231(void)
{
    unsigned char tag[CRYPTO_SHA256_SIZE];
    char hex[CRYPTO_SHA256_HEX_SIZE];
    CHECK_INT(crypto_hmac("Jefe", 4, "what do ya want for nothing?", 28, tag), 0);
    hex_encode(tag, sizeof tag, hex);
    CHECK_TEXT(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void a_prepared_key_signs_the_same_again_and_again(void)
{
    struct crypto_mac *mac = NULL;
    unsigned char tag[CRYPTO_SHA256_SIZE], want[CRYPTO_SHA256_SIZE];
    CHECK_INT(crypto_hmac("Jefe", 4, "text", 4, want), 0);
    CHECK_INT(crypto_mac_create("Jefe", 4, &mac), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(crypto_mac_sign(mac, "text", 4, tag), 0);
        CHECK(crypto_equal(tag, want, sizeof tag));
    }
    crypto_mac_destroy(&mac);
    CHECK(mac == NULL);
}

/* Computed once with Python's hmac: a change here would invalidate every link that was sent. */
static void derived_keys_stay_what_they_are(void)
{
    unsigned char secret[32], derived[CRYPTO_KEY_SIZE], other[CRYPTO_KEY_SIZE];
    char hex[2 * CRYPTO_KEY_SIZE + 1];
    for (unsigned i = 0; i < 32; i++)
        secret[i] = (unsigned char)i;
    CHECK_INT(crypto_derive(secret, sizeof secret, "view", derived), 0);
    hex_encode(derived, sizeof derived, hex);
    CHECK_TEXT(hex, "0658805ac828cc182875bdd836462b745bba413390c33d769c19e6d54acfaed7");
    CHECK_INT(crypto_derive(secret, sizeof secret, "manage", other), 0);
    CHECK(!crypto_equal(derived, other, sizeof other));
}

static void what_was_sealed_opens_only_whole_and_in_its_place(void)
{
    struct buf sealed, plain;
    buf_init(&sealed, 1000);
    buf_init(&plain, 1000);
    CHECK_INT(crypto_seal(key, "a text", 6, "job 1", 5, &sealed), 0);
    CHECK_INT(sealed.size, 6 + CRYPTO_SEAL_OVERHEAD);
    CHECK_INT(crypto_open(key, sealed.data, sealed.size, "job 1", 5, &plain), 0);
    CHECK_TEXT(buf_text(&plain), "a text");
    buf_clear(&plain);
    CHECK_INT(crypto_open(key, sealed.data, sealed.size, "job 2", 5, &plain), ERR_DENIED);
    for (size_t i = 0; i < sealed.size; i++) {
        CHECK_INT(crypto_open(key, sealed.data, i, "job 1", 5, &plain), ERR_DENIED);
        sealed.data[i] ^= 1;
        CHECK_INT(crypto_open(key, sealed.data, sealed.size, "job 1", 5, &plain), ERR_DENIED);
        sealed.data[i] ^= 1;
    }
    CHECK_INT(plain.size, 0);
    buf_fini(&sealed);
    buf_fini(&plain);
}

static void sealing_twice_gives_two_texts_and_nothing_may_be_sealed(void)
{
    struct buf one, two;
    buf_init(&one, 100);
    buf_init(&two, 100);
    CHECK_INT(crypto_seal(key, "", 0, NULL, 0, &one), 0);
    CHECK_INT(crypto_seal(key, "", 0, NULL, 0, &two), 0);
    CHECK(memcmp(one.data, two.data, one.size) != 0);
    size_t size = one.size;
    CHECK_INT(crypto_open(key, one.data, size, NULL, 0, &two), 0);
    CHECK_INT(two.size, size);
    buf_fini(&one);
    buf_fini(&two);
}

static void a_full_buffer_is_a_limit(void)
{
    struct buf small;
    buf_init(&small, CRYPTO_SEAL_OVERHEAD + 3);
    CHECK_INT(crypto_seal(key, "text", 4, NULL, 0, &small), ERR_LIMIT);
    CHECK_INT(crypto_seal(key, "tex", 3, NULL, 0, &small), 0);
    buf_fini(&small);
}

static void random_bytes_differ(void)
{
    unsigned char a[16] = {0}, b[16] = {0};
    CHECK_INT(crypto_random(a, sizeof a), 0);
    CHECK_INT(crypto_random(b, sizeof b), 0);
    CHECK(!crypto_equal(a, b, sizeof a));
}

int main(void)
{
    RUN(sha256_matches_fips_180);
    RUN(hmac_matches_rfc_4231);
    RUN(a_prepared_key_signs_the_same_again_and_again);
    RUN(derived_keys_stay_what_they_are);
    RUN(what_was_sealed_opens_only_whole_and_in_its_place);
    RUN(sealing_twice_gives_two_texts_and_nothing_may_be_sealed);
    RUN(a_full_buffer_is_a_limit);
    RUN(random_bytes_differ);
    return check_report();
}
