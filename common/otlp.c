/* SPDX-License-Identifier: MIT */
#include "common/otlp.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* W3C's sampled bit, as a span's `flags` hold it. */
#define FLAG_SAMPLED 1
#define MAX_ANSWER_DEPTH 8

/* ---- lists of the environment ---------------------------------------------------------------- */

/* In place; false for a bad escape or a control character, which no header may have. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '%') {
            if (hex_decode(from + 1, strnlen(from + 1, 2), &c, 1) < 0)
                return false;
            from += 2;
        }
        if (c < ' ' || c == 0x7f)
            return false;
        *to++ = (char)c;
    }
    *to = 0;
    return true;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r", text[size - 1]))
        text[--size] = 0;
    return text;
}

int otlp_pairs_parse(char *text, const char *source, struct otlp_pairs *pairs, struct err *err)
{
    char *rest = text, *item;
    while ((item = strsep(&rest, ",\n"))) {
        item = trim(item);
        if (!*item)
            continue;
        char *equals = strchr(item, '=');
        if (equals)
            *equals = 0;
        const char *key = trim(item);
        if (!equals || !*key)
            return err_set(err, ERR_INVALID, NULL, "%s: wanted key=value,key=value", source);
        char *value = trim(equals + 1);
        if (!decode(value))
            return err_set(err, ERR_INVALID, NULL,
                           "%s: the value of '%.40s' is not percent-encoded text", source, key);
        if (pairs->count == OTLP_PAIRS_MAX)
            return err_set(err, ERR_LIMIT, NULL, "%s: more than %d pairs", source, OTLP_PAIRS_MAX);
        pairs->items[pairs->count++] = (struct otlp_pair){key, value};
    }
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Once it has failed it writes no more. */
struct writer {
    struct buf *out; /* borrowed */
    int rc;
};

/* As it is: what needs no escaping. */
static void put(struct writer *writer, const char *text)
{
    if (writer->rc == 0)
        writer->rc = buf_append_text(writer->out, text);
}

static void put_text(struct writer *writer, const char *text)
{
    if (writer->rc == 0)
        writer->rc = json_append_text(writer->out, text);
}

static void put_number(struct writer *writer, int64_t number)
{
    if (writer->rc == 0)
        writer->rc = buf_append_int(writer->out, number);
}

/* One of a list; returns what parts it from the next. One that is not UTF-8 is left out. */
static const char *put_attribute(struct writer *writer, const char *before, const char *key,
                                 const char *text, int64_t number)
{
    size_t size = writer->out->size;
    put(writer, before);
    put(writer, "{\"key\":");
    put_text(writer, key);
    put(writer, text ? ",\"value\":{\"stringValue\":" : ",\"value\":{\"intValue\":\"");
    if (text)
        put_text(writer, text);
    else
        put_number(writer, number);
    put(writer, text ? "}}" : "\"}}");
    if (writer->rc != ERR_INVALID)
        return ",";
    buf_truncate(writer->out, size);
    writer->rc = 0;
    return before;
}

int otlp_write_resource(const struct otlp_pairs *pairs, struct buf *out)
{
    struct writer writer = {.out = out};
    const char *before = "";
    put(&writer, "{\"attributes\":[");
    for (size_t i = 0; i < pairs->count; i++) {
        const struct otlp_pair *pair = &pairs->items[i];
        bool again = false;
        for (size_t later = i + 1; later < pairs->count; later++)
            again |= strcmp(pair->key, pairs->items[later].key) == 0;
        if (!again)
            before = put_attribute(&writer, before, pair->key, pair->value, 0);
    }
    put(&writer, "]}");
    return writer.rc;
}

/* Ids are hex digits: nothing to escape. */
static void put_ids(struct writer *writer, const struct trace *step)
{
    put(writer, "{\"traceId\":\"");
    put(writer, step->id);
    put(writer, "\",\"spanId\":\"");
    put(writer, step->span);
    put(writer, "\",\"flags\":");
    put_number(writer, step->sampled ? FLAG_SAMPLED : 0);
}

static void put_time(struct writer *writer, const char *name, int64_t wall_us)
{
    put(writer, name);
    put_number(writer, wall_us);
    put(writer, "000\""); /* nanoseconds */
}

static void put_attributes(struct writer *writer, const struct span *span)
{
    const char *before = "";
    put(writer, ",\"attributes\":[");
    for (size_t i = 0; i < span->attribute_count; i++) {
        const struct span_attribute *one = &span->attributes[i];
        before = put_attribute(writer, before, one->key,
                               one->is_text ? span->texts + one->text_at : NULL, one->number);
    }
    put(writer, "]");
    if (span->attributes_left_out) {
        put(writer, ",\"droppedAttributesCount\":");
        put_number(writer, (int64_t)span->attributes_left_out);
    }
}

static void put_links(struct writer *writer, const struct span *span)
{
    for (size_t i = 0; i < span->link_count; i++) {
        put(writer, i == 0 ? ",\"links\":[" : ",");
        put_ids(writer, &span->links[i]);
        put(writer, i + 1 == span->link_count ? "}]" : "}");
    }
}

static void put_span(struct writer *writer, const struct span *span)
{
    put_ids(writer, &span->step);
    if (span->parent[0]) {
        put(writer, ",\"parentSpanId\":\"");
        put(writer, span->parent);
        put(writer, "\"");
    }
    put(writer, ",\"name\":");
    put_text(writer, span->name);
    put(writer, ",\"kind\":");
    put_number(writer, span->kind);
    put_time(writer, ",\"startTimeUnixNano\":\"", span->start_us);
    put_time(writer, ",\"endTimeUnixNano\":\"", span->end_us);
    if (span->attribute_count > 0)
        put_attributes(writer, span);
    if (span->failed)
        put(writer, ",\"status\":{\"code\":2}");
    put_links(writer, span);
    put(writer, "}");
}

int otlp_write_traces(const struct buf *resource, const struct span *spans, size_t count,
                      struct buf *out)
{
    struct writer writer = {.out = out};
    put(&writer, "{\"resourceSpans\":[{\"resource\":");
    put(&writer, buf_text(resource));
    put(&writer, ",\"scopeSpans\":[{\"scope\":{\"name\":\"darkroom\",\"version\":");
    put_text(&writer, DARKROOM_VERSION);
    put(&writer, "},\"spans\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(&writer, ",");
        put_span(&writer, &spans[i]);
    }
    put(&writer, "]}]}]}");
    return writer.rc;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void copy_reason(const char *text, char out[OTLP_REASON_SIZE])
{
    snprintf(out, OTLP_REASON_SIZE, "%s", text);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
}

int64_t otlp_read_rejected(const void *answer, size_t size, char reason[OTLP_REASON_SIZE])
{
    const struct json_limits limits = {.max_bytes = size, .max_depth = MAX_ANSWER_DEPTH};
    json_t *root = NULL;
    int64_t rejected = 0;
    reason[0] = 0;
    if (size == 0 || json_parse(answer, size, limits, &root, NULL) < 0)
        return 0;
    const json_t *partial = json_object_get(root, "partialSuccess");
    const json_t *number = json_object_get(partial, "rejectedSpans");
    const json_t *text = json_object_get(partial, "errorMessage");
    if (json_is_string(number))
        rejected = strtoll(json_string_value(number), NULL, 10);
    else if (json_is_integer(number))
        rejected = json_integer_value(number);
    if (json_is_string(text))
        copy_reason(json_string_value(text), reason);
    json_decref(root);
    return rejected > 0 ? rejected : 0;
}
