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

#define STATUS_ERROR 2
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

/* Empty lists are not written. Takes it. */
static void set_list(json_t *object, const char *name, json_t *list)
{
    if (json_array_size(list) > 0)
        json_object_set(object, name, list);
    json_decref(list);
}

/* The value is taken; where it is NULL (no memory, no UTF-8) the attribute is left out. */
static void add_attribute(json_t *attributes, const char *key, json_t *value)
{
    if (value)
        json_array_append_new(attributes, json_pack("{s:s, s:o}", "key", key, "value", value));
}

static json_t *text_value(const char *text)
{
    return json_pack("{s:s}", "stringValue", text);
}

static json_t *number_value(int64_t number)
{
    char text[BUF_INT_SIZE + 1];
    text[buf_int_text(number, text)] = 0;
    return json_pack("{s:s}", "intValue", text);
}

/* json_append() for a value that is made for it. */
static int append_new(struct buf *out, json_t *value)
{
    int rc = value ? json_append(out, value, JSON_COMPACT) : ERR_NOMEM;
    json_decref(value);
    return rc;
}

int otlp_write_resource(const struct otlp_pairs *pairs, struct buf *out)
{
    json_t *attributes = json_array();
    for (size_t i = 0; attributes && i < pairs->count; i++) {
        bool again = false;
        for (size_t later = i + 1; later < pairs->count; later++)
            again |= strcmp(pairs->items[i].key, pairs->items[later].key) == 0;
        if (!again)
            add_attribute(attributes, pairs->items[i].key, text_value(pairs->items[i].value));
    }
    return append_new(out, json_pack("{s:o}", "attributes", attributes));
}

static json_t *attributes_of(const struct span *span)
{
    json_t *attributes = json_array();
    for (size_t i = 0; attributes && i < span->attribute_count; i++) {
        const struct span_attribute *one = &span->attributes[i];
        add_attribute(attributes, one->key,
                      one->is_text ? text_value(span->texts + one->text_at)
                                   : number_value(one->number));
    }
    return attributes;
}

static json_t *links_of(const struct span *span)
{
    json_t *links = json_array();
    for (size_t i = 0; links && i < span->link_count; i++)
        json_array_append_new(links, json_pack("{s:s, s:s, s:i}", "traceId", span->links[i].id,
                                               "spanId", span->links[i].span, "flags",
                                               span->links[i].sampled ? FLAG_SAMPLED : 0));
    return links;
}

static json_t *time_value(int64_t wall_us)
{
    char text[BUF_INT_SIZE + 4];
    size_t size = buf_int_text(wall_us, text);
    memcpy(text + size, "000", 4); /* nanoseconds */
    return json_string(text);
}

static json_t *span_value(const struct span *span)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:i, s:s, s:i, s:o, s:o}", "traceId", span->step.id, "spanId", span->step.span,
        "flags", FLAG_SAMPLED, "name", span->name, "kind", (int)span->kind, "startTimeUnixNano",
        time_value(span->start_us), "endTimeUnixNano", time_value(span->end_us));
    if (!object)
        return NULL;
    if (span->parent[0])
        json_object_set_new(object, "parentSpanId", json_string(span->parent));
    set_list(object, "attributes", attributes_of(span));
    if (span->attributes_left_out)
        json_object_set_new(object, "droppedAttributesCount",
                            json_integer((json_int_t)span->attributes_left_out));
    if (span->failed)
        json_object_set_new(object, "status", json_pack("{s:i}", "code", STATUS_ERROR));
    set_list(object, "links", links_of(span));
    return object;
}

int otlp_write_traces(const struct buf *resource, const struct span *spans, size_t count,
                      struct buf *out)
{
    int rc = buf_join(out, "{\"resourceSpans\":[{\"resource\":", buf_text(resource),
                      ",\"scopeSpans\":[{\"scope\":{\"name\":\"darkroom\",\"version\":"
                      "\"" DARKROOM_VERSION "\"},\"spans\":[",
                      NULL);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0)
            rc = buf_append_text(out, ",");
        if (rc == 0)
            rc = append_new(out, span_value(&spans[i]));
    }
    return rc == 0 ? buf_append_text(out, "]}]}]}") : rc;
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
