/* SPDX-License-Identifier: MIT */
#include "common/id.h"

#include "common/base64.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define RANDOM_BYTES 16
#define HEX_DIGITS (2 * RANDOM_BYTES)

/* One call into the kernel for many names: at 60,000 submissions a second two UUIDs each were a
 * tenth of the dispatcher's time. getentropy() gives up to 256 bytes and never less. */
#define POOL_BYTES 256

static void random_hex(char out[HEX_DIGITS + 1])
{
    static _Thread_local unsigned char pool[POOL_BYTES];
    static _Thread_local size_t left;
    if (left == 0) {
        /* Fails only where the kernel has no such call: nothing here could then be secret. */
        if (getentropy(pool, sizeof pool) < 0)
            abort();
        left = sizeof pool;
    }
    left -= RANDOM_BYTES;
    hex_encode(pool + left, RANDOM_BYTES, out);
    memset(pool + left, 0, RANDOM_BYTES);
}

static bool is_hex(const char *text, size_t digits)
{
    return strspn(text, "0123456789abcdef") == digits && text[digits] == 0;
}

static unsigned hex_value(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

void id_public_create(unsigned shard, char out[ID_PUBLIC_SIZE])
{
    assert(shard <= ID_SHARD_MAX);
    hex_encode(&(unsigned char){(unsigned char)shard}, 1, out);
    random_hex(out + 2);
}

bool id_public_valid(const char *text)
{
    return text && is_hex(text, 2 + HEX_DIGITS);
}

unsigned id_public_shard(const char *public_id)
{
    return hex_value(public_id[0]) << 4 | hex_value(public_id[1]);
}

uint64_t id_public_small(const char *public_id)
{
    uint64_t small = 0;
    for (int i = 0; i < 12; i++)
        small = small << 4 | hex_value(public_id[2 + i]);
    return small;
}

void id_worker_create(char out[ID_NAME_SIZE])
{
    memcpy(out, "w-", 2);
    random_hex(out + 2);
}

bool id_worker_valid(const char *text)
{
    return text && text[0] == 'w' && text[1] == '-' && is_hex(text + 2, HEX_DIGITS);
}

void id_nonce_create(char out[ID_NAME_SIZE])
{
    random_hex(out);
}
