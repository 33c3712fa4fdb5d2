/* SPDX-License-Identifier: MIT */
#include "common/id.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#define RANDOM_BYTES 16
#define HEX_DIGITS (2 * RANDOM_BYTES)

/* A random UUID has six fixed bits, in bytes 6 and 8. Two of them, without those bytes, are 16
 * bytes of which every bit is random. */
static void random_hex(char out[HEX_DIGITS + 1])
{
    uuid_t first, second;
    unsigned char bytes[RANDOM_BYTES];
    uuid_generate_random(first);
    uuid_generate_random(second);
    memcpy(bytes, first, 6);
    memcpy(bytes + 6, first + 9, 7);
    memcpy(bytes + 13, second, 3);
    for (size_t i = 0; i < RANDOM_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
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
    snprintf(out, 3, "%02x", shard);
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
