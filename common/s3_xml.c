/* SPDX-License-Identifier: MIT */
#include "common/s3_xml.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_TAG 64

/* Finds what stands between <name> and </name>. False where either is missing. */
static bool find_element(const char *xml, size_t size, const char *name, const char **out_start,
                         size_t *out_size)
{
    char open[MAX_TAG], close[MAX_TAG];
    int open_length = snprintf(open, sizeof open, "<%s>", name);
    int close_length = snprintf(close, sizeof close, "</%s>", name);
    const char *start = memmem(xml, size, open, (size_t)open_length);
    if (!start)
        return false;
    start += open_length;
    const char *end = memmem(start, size - (size_t)(start - xml), close, (size_t)close_length);
    if (!end)
        return false;
    *out_start = start;
    *out_size = (size_t)(end - start);
    return true;
}

/* One character or entity; returns how many bytes of the text it took. */
static size_t resolve(const char *text, size_t size, char *out)
{
    static const struct {
        const char *name;
        char value;
    } entities[] = {{"&amp;", '&'},   {"&lt;", '<'},  {"&gt;", '>'},   {"&quot;", '"'},
                    {"&apos;", '\''}, {"&#34;", '"'}, {"&#39;", '\''}, {"&#43;", '+'}};
    for (size_t i = 0; *text == '&' && i < sizeof entities / sizeof entities[0]; i++) {
        size_t length = strlen(entities[i].name);
        if (size >= length && memcmp(text, entities[i].name, length) == 0) {
            *out = entities[i].value;
            return length;
        }
    }
    *out = *text;
    return 1;
}

bool s3_xml_text(const char *xml, size_t size, const char *name, char *out, size_t out_size)
{
    const char *text;
    size_t text_size, used = 0;
    if (!find_element(xml, size, name, &text, &text_size))
        return false;
    for (size_t i = 0; i < text_size;) {
        if (used + 1 >= out_size)
            return false;
        i += resolve(text + i, text_size - i, &out[used++]);
    }
    out[used] = 0;
    return true;
}

/* "2026-01-05T10:11:12.345Z" */
static bool parse_time(const char *text, int64_t *out_ms)
{
    struct tm utc = {0};
    if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &utc))
        return false;
    *out_ms = (int64_t)timegm(&utc) * 1000;
    return true;
}

static bool parse_entry(const char *xml, size_t size, struct store_entry *out)
{
    char bytes[24], modified[40];
    if (!s3_xml_text(xml, size, "Key", out->key, sizeof out->key) ||
        !store_key_is_valid(out->key) || !s3_xml_text(xml, size, "Size", bytes, sizeof bytes) ||
        !s3_xml_text(xml, size, "LastModified", modified, sizeof modified))
        return false;
    out->bytes = strtoll(bytes, NULL, 10);
    /* Without its age an object is left out: a sweep must not take it for an old one. */
    return parse_time(modified, &out->modified_ms);
}

int s3_xml_list(const char *xml, size_t size, char cursor[STORE_CURSOR_SIZE],
                struct store_entry *entries, size_t max_entries, size_t *out_count)
{
    char truncated[8], next[STORE_CURSOR_SIZE] = "";
    if (!s3_xml_text(xml, size, "IsTruncated", truncated, sizeof truncated))
        return ERR_CORRUPT;
    if (!strcmp(truncated, "true") &&
        (!s3_xml_text(xml, size, "NextContinuationToken", next, sizeof next) || !*next))
        return ERR_CORRUPT; /* a walk that cannot go on must not look finished */
    const char *rest = xml, *entry;
    size_t count = 0, entry_size;
    while (count < max_entries &&
           find_element(rest, size - (size_t)(rest - xml), "Contents", &entry, &entry_size)) {
        if (parse_entry(entry, entry_size, &entries[count]))
            count++;
        rest = entry + entry_size;
    }
    snprintf(cursor, STORE_CURSOR_SIZE, "%s", next);
    *out_count = count;
    return 0;
}
