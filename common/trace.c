/* SPDX-License-Identifier: MIT */
#include "common/trace.h"

#include "common/base64.h"
#include "common/crypto.h"
#include "common/err.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* version-trace id-parent id-flags */
#define LENGTH 55
#define AT_TRACE 3
#define AT_SPAN 36
#define AT_FLAGS 53

/* Lower-case digits only, as the standard has them. */
static bool is_hex(const char *text, size_t size)
{
    return strspn(text, "0123456789abcdef") >= size;
}

static bool is_zero(const char *text, size_t size)
{
    return strspn(text, "0") >= size;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

bool trace_parse(const char *text, struct trace *out)
{
    struct trace trace = {.sampled = false};
    size_t size = text ? strnlen(text, LENGTH + 1) : 0;
    if (size < LENGTH || !is_hex(text, 2) || strncmp(text, "ff", 2) == 0 || text[2] != '-' ||
        !is_hex(text + AT_TRACE, 32) || is_zero(text + AT_TRACE, 32) || text[AT_SPAN - 1] != '-' ||
        !is_hex(text + AT_SPAN, 16) || is_zero(text + AT_SPAN, 16) || text[AT_FLAGS - 1] != '-' ||
        !is_hex(text + AT_FLAGS, 2))
        return false;
    /* A later version may have more behind a dash; this one has nothing. */
    if (text[LENGTH] != 0 && (strncmp(text, "00", 2) == 0 || text[LENGTH] != '-'))
        return false;
    memcpy(trace.id, text + AT_TRACE, 32);
    memcpy(trace.span, text + AT_SPAN, 16);
    trace.sampled = digit(text[AT_FLAGS + 1]) & 1;
    *out = trace;
    return true;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* Ids must be different, not secret: libcrypto's generator takes as long for one as the rest of a
 * step. This is xoroshiro128** (Blackman and Vigna, 2018), which every thread begins elsewhere. */
int trace_random(uint64_t *out)
{
    static _Thread_local uint64_t a, b;
    while (!(a | b)) { /* not seeded yet; of all states it has no other way out of this one */
        uint64_t seed[2];
        int rc = crypto_random(seed, sizeof seed);
        if (rc < 0)
            return rc;
        a = seed[0];
        b = seed[1];
    }
    *out = rotate(a * 5, 7) * 9;
    uint64_t mixed = b ^ a;
    a = rotate(a, 24) ^ mixed ^ mixed << 16;
    b = rotate(mixed, 37);
    return 0;
}

/* `words` times 8 bytes that are not all zero, as text. */
static int make_id(size_t words, char *out)
{
    uint64_t bytes[2];
    do {
        for (size_t i = 0; i < words; i++) {
            int rc = trace_random(&bytes[i]);
            if (rc < 0)
                return rc;
        }
        hex_encode(bytes, words * sizeof bytes[0], out);
    } while (is_zero(out, 2 * words * sizeof bytes[0]));
    return 0;
}

int trace_enter(struct trace *trace)
{
    return make_id(1, trace->span);
}

int trace_begin(struct trace *out)
{
    struct trace trace = {.sampled = true};
    int rc = make_id(2, trace.id);
    if (rc == 0)
        rc = trace_enter(&trace);
    if (rc == 0)
        *out = trace;
    return rc;
}

void trace_format(const struct trace *trace, char out[TRACE_TEXT_SIZE])
{
    snprintf(out, TRACE_TEXT_SIZE, "00-%s-%s-%02x", trace->id, trace->span,
             trace->sampled ? 1u : 0u);
}

bool trace_below(const char *text, char out[TRACE_TEXT_SIZE])
{
    struct trace trace;
    if (!trace_parse(text, &trace) || trace_enter(&trace) < 0)
        return false;
    trace_format(&trace, out);
    return true;
}

void trace_id_of(const char *text, char out[TRACE_ID_SIZE])
{
    struct trace trace;
    out[0] = 0;
    if (trace_parse(text, &trace))
        memcpy(out, trace.id, TRACE_ID_SIZE);
}
