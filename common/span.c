/* SPDX-License-Identifier: MIT */
#include "common/span.h"

#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void span_init(struct span *span, enum span_kind kind, const struct trace *step, const char *parent,
               const char *name_format, ...)
{
    va_list args;
    /* Not the whole of it: what is behind the counts is written before it is read. */
    span->step = *step;
    span->kind = kind;
    span->start_us = span->end_us = 0;
    span->failed = false;
    span->attribute_count = span->attributes_left_out = span->texts_size = span->link_count = 0;
    span->links = NULL;
    snprintf(span->parent, sizeof span->parent, "%s", parent ? parent : "");
    va_start(args, name_format);
    vsnprintf(span->name, sizeof span->name, name_format, args);
    va_end(args);
}

void span_fini(struct span *span)
{
    free(span->links);
    span->links = NULL;
    span->link_count = 0;
}

static struct span_attribute *add(struct span *span, const char *key)
{
    if (span->attribute_count == SPAN_ATTRIBUTES) {
        span->attributes_left_out++;
        return NULL;
    }
    struct span_attribute *attribute = &span->attributes[span->attribute_count++];
    *attribute = (struct span_attribute){.key = key};
    return attribute;
}

void span_text(struct span *span, const char *key, const char *value)
{
    size_t size = value ? strlen(value) + 1 : 1;
    if (size == 1)
        return;
    if (size > sizeof span->texts - span->texts_size) {
        span->attributes_left_out++;
        return;
    }
    struct span_attribute *attribute = add(span, key);
    if (!attribute)
        return;
    attribute->is_text = true;
    attribute->text_at = span->texts_size;
    memcpy(span->texts + span->texts_size, value, size);
    span->texts_size += size;
}

void span_number(struct span *span, const char *key, int64_t value)
{
    struct span_attribute *attribute = add(span, key);
    if (attribute)
        attribute->number = value;
}

void span_fail(struct span *span, const char *type)
{
    span->failed = true;
    span_text(span, "error.type", type);
}

struct trace *span_links(struct span *span, size_t count)
{
    span->links = calloc(count, sizeof *span->links);
    span->link_count = span->links ? count : 0;
    return span->links;
}

void span_during(struct span *span, int64_t begin_us, int64_t end_us)
{
    /* The wall clock is asked once, so that a step of it makes no time negative. */
    span->start_us = clock_wall_us() - (clock_us() - begin_us);
    span->end_us = span->start_us + (end_us - begin_us);
}
