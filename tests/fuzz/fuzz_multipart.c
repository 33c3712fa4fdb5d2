/* SPDX-License-Identifier: MIT
 *
 * A Content-Type up to the first newline, then a body: it means the same in one piece and in any
 * other pieces. */
#include "common/err.h"
#include "dispatcher/http/multipart.h"

#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

/* What a body means: how it ended, and a hash over names, contents and ends. */
struct meaning {
    int rc;
    uint64_t hash;
};

static void mix(struct meaning *meaning, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        meaning->hash = (meaning->hash ^ bytes[i]) * 0x100000001b3;
}

static int on_part(void *context, const char *name, struct err *err)
{
    for (const char *c = name; *c; c++)
        fuzz_check((unsigned char)*c >= ' ' && *c != 0x7f);
    fuzz_check(strlen(name) <= MULTIPART_MAX_NAME);
    mix(context, name, strlen(name) + 1);
    return 0;
}

static int on_data(void *context, const void *data, size_t size, struct err *err)
{
    fuzz_check(size > 0);
    mix(context, data, size);
    return 0;
}

static int on_end(void *context, struct err *err)
{
    mix(context, "|end", 4);
    return 0;
}

static struct meaning parse(const char *type, const uint8_t *body, size_t size, size_t step)
{
    struct meaning meaning = {.hash = 0xcbf29ce484222325};
    struct multipart_sink sink = {&meaning, on_part, on_data, on_end};
    struct multipart *parser = NULL;
    struct err err = {0};
    int rc = multipart_create(type, &sink, &parser, &err);
    for (size_t at = 0; rc == 0 && at < size; at += step)
        rc = multipart_feed(parser, body + at, size - at < step ? size - at : step, &err);
    if (rc == 0)
        rc = multipart_finish(parser, &err);
    fuzz_check(rc == 0 || err.text[0]);
    multipart_destroy(&parser);
    meaning.rc = rc;
    return meaning;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[256];
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline || newline - data >= (ptrdiff_t)sizeof type)
        return 0;
    snprintf(type, sizeof type, "%.*s", (int)(newline - data), (const char *)data);
    const uint8_t *body = newline + 1;
    size_t length = size - (size_t)(body - data);
    struct meaning whole = parse(type, body, length, length ? length : 1);
    for (size_t step = 1; step <= 7; step += 3) {
        struct meaning pieces = parse(type, body, length, step);
        fuzz_check(pieces.rc == whole.rc);
        fuzz_check(whole.rc < 0 || pieces.hash == whole.hash);
    }
    return 0;
}
