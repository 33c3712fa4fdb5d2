/* SPDX-License-Identifier: MIT */
#include "dispatcher/limits.h"

#include "common/err.h"
#include "dispatcher/client.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ROWS 2048
#define PLACES 4 /* of a row */

/* Tokens are counted in units of 1/60000, so that a millisecond adds exactly per_minute units. */
#define UNIT 60000

struct bucket {
    struct client_key key;
    int64_t units;
    int64_t filled_ms; /* when `units` was right */
    bool used;
};

struct limits {
    struct limits_options options;
    uint64_t seed; /* nobody outside can aim at one row */
    struct bucket buckets[ROWS][PLACES];
};

int limits_create(const struct limits_options *options, struct limits **out)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (!limits)
        return ERR_NOMEM;
    limits->options = *options;
    if (getrandom(&limits->seed, sizeof limits->seed, 0) != sizeof limits->seed) {
        free(limits);
        return ERR_IO;
    }
    *out = limits;
    return 0;
}

void limits_destroy(struct limits **limits)
{
    free(*limits);
    *limits = NULL;
}

static size_t row_of(const struct limits *limits, const struct client_key *key)
{
    uint64_t hash = limits->seed;
    for (size_t i = 0; i < sizeof key->bytes; i++) {
        hash = (hash ^ key->bytes[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash % ROWS;
}

static int64_t units_at(const struct limits *limits, const struct bucket *bucket, int64_t now_ms)
{
    int64_t full = limits->options.burst * UNIT;
    int64_t passed = now_ms - bucket->filled_ms;
    if (!bucket->used || passed >= full / limits->options.per_minute)
        return full;
    int64_t units = bucket->units + (passed > 0 ? passed : 0) * limits->options.per_minute;
    return units < full ? units : full;
}

static struct bucket *bucket_of(struct limits *limits, const struct client_key *key, int64_t now_ms)
{
    struct bucket *row = limits->buckets[row_of(limits, key)];
    struct bucket *fullest = &row[0];
    for (size_t i = 0; i < PLACES; i++) {
        if (row[i].used && memcmp(&row[i].key, key, sizeof *key) == 0)
            return &row[i];
        if (units_at(limits, &row[i], now_ms) > units_at(limits, fullest, now_ms))
            fullest = &row[i];
    }
    *fullest = (struct bucket){*key, limits->options.burst * UNIT, now_ms, true};
    return fullest;
}

bool limits_take(struct limits *limits, const struct client_key *key, int64_t now_ms,
                 int64_t *out_wait_ms)
{
    *out_wait_ms = 0;
    if (limits->options.per_minute <= 0)
        return true;
    struct bucket *bucket = bucket_of(limits, key, now_ms);
    bucket->units = units_at(limits, bucket, now_ms);
    bucket->filled_ms = now_ms;
    if (bucket->units >= UNIT) {
        bucket->units -= UNIT;
        return true;
    }
    *out_wait_ms =
        (UNIT - bucket->units + limits->options.per_minute - 1) / limits->options.per_minute;
    return false;
}
