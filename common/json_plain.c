/* SPDX-License-Identifier: MIT
 *
 * The short way through JSON: printable ASCII without escapes, whole numbers of up to 18 digits,
 * names that occur once. That is nearly every body we get, and takes a quarter of jansson's
 * time, which reads and writes character by character. Whatever else comes, mistakes included, is
 * left to jansson, so that there is one opinion of what JSON is and one text for each fault. */
#include "common/json_plain.h"

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const char *at, *end;
    int depth; /* levels that may still be opened */
};

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

/* How many characters from `text` on are printable ASCII without quote and backslash. Eight at a
 * time: the top bit of a byte of `other` says that this character is none. */
static size_t plain_length(const char *text, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x80 * ones;
    size_t length = 0;
    for (uint64_t eight; size - length >= 8; length += 8) {
        memcpy(&eight, text + length, 8);
        uint64_t quote = eight ^ '"' * ones, escape = eight ^ '\\' * ones,
                 last = eight ^ 0x7f * ones;
        uint64_t other =
            eight | (eight - ' ' * ones) | (quote - ones) | (escape - ones) | (last - ones);
        if (other & tops)
            break;
    }
    while (length < size && text[length] >= ' ' && text[length] < 0x7f && text[length] != '"' &&
           text[length] != '\\')
        length++;
    return length;
}

/* What stands between quotes; the first of which was taken. */
static bool read_text(struct reader *reader, const char **out, size_t *out_size)
{
    const char *start = reader->at;
    reader->at += plain_length(start, (size_t)(reader->end - start));
    if (reader->at == reader->end || *reader->at != '"')
        return false;
    *out = start;
    *out_size = (size_t)(reader->at++ - start);
    return true;
}

static json_t *read_number(struct reader *reader)
{
    json_int_t value = 0;
    bool negative = take(reader, '-');
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' &&
           reader->at - start < 18)
        value = value * 10 + (*reader->at++ - '0');
    /* A fraction, an exponent, more digits, or no number at all; and what begins with a zero. */
    if (reader->at == start || reader->at == reader->end || !strchr(",]} \n\t\r", *reader->at) ||
        !*reader->at || (*start == '0' && reader->at - start > 1))
        return NULL;
    return json_integer(negative ? -value : value);
}

static bool read_word(struct reader *reader, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
        return false;
    reader->at += size;
    return true;
}

static json_t *read_value(struct reader *reader);

static json_t *read_object(struct reader *reader)
{
    json_t *object = json_object();
    bool good = object != NULL;
    if (good && take(reader, '}'))
        return object;
    while (good) {
        const char *name;
        char key[64];
        size_t size;
        good = take(reader, '"') && read_text(reader, &name, &size) && size < sizeof key &&
               take(reader, ':');
        if (!good)
            break;
        memcpy(key, name, size);
        key[size] = 0;
        json_t *value = json_object_get(object, key) ? NULL : read_value(reader);
        good = value && json_object_set_new_nocheck(object, key, value) == 0;
        if (good && take(reader, '}'))
            return object;
        good = good && take(reader, ',');
    }
    json_decref(object);
    return NULL;
}

static json_t *read_array(struct reader *reader)
{
    json_t *array = json_array();
    bool good = array != NULL;
    if (good && take(reader, ']'))
        return array;
    while (good) {
        json_t *value = read_value(reader);
        good = value && json_array_append_new(array, value) == 0;
        if (good && take(reader, ']'))
            return array;
        good = good && take(reader, ',');
    }
    json_decref(array);
    return NULL;
}

static json_t *read_nested(struct reader *reader)
{
    if (reader->depth-- == 0)
        return NULL;
    json_t *value = *reader->at++ == '{' ? read_object(reader) : read_array(reader);
    reader->depth++;
    return value;
}

static json_t *read_value(struct reader *reader)
{
    const char *text;
    size_t size;
    skip_spaces(reader);
    if (reader->at == reader->end)
        return NULL;
    switch (*reader->at) {
    case '{':
    case '[': return read_nested(reader);
    case '"':
        reader->at++;
        return read_text(reader, &text, &size) ? json_stringn_nocheck(text, size) : NULL;
    case 't': return read_word(reader, "true") ? json_true() : NULL;
    case 'f': return read_word(reader, "false") ? json_false() : NULL;
    case 'n': return read_word(reader, "null") ? json_null() : NULL;
    default: return read_number(reader);
    }
}

json_t *json_plain_parse(const char *text, size_t size, int max_depth)
{
    struct reader reader = {text, text + size, max_depth};
    skip_spaces(&reader);
    /* As in jansson, a document is an object or an array. */
    if (reader.at == reader.end || (*reader.at != '{' && *reader.at != '['))
        return NULL;
    json_t *value = read_value(&reader);
    skip_spaces(&reader);
    if (value && reader.at == reader.end)
        return value;
    json_decref(value);
    return NULL;
}

/* ---- writing ---- */

int json_plain_append_text(struct buf *buf, const char *text, size_t size)
{
    if (plain_length(text, size) != size)
        return ERR_UNSUPPORTED;
    int rc = buf_append(buf, "\"", 1);
    if (rc == 0)
        rc = buf_append(buf, text, size);
    return rc == 0 ? buf_append(buf, "\"", 1) : rc;
}

#define MAX_SORTED 16

/* Iterators in the order of their names; as jansson, byte by byte. Past MAX_SORTED it is not plain.
 */
static int sort_members(json_t *object, void *members[MAX_SORTED])
{
    int count = 0;
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        int place = count++;
        if (place == MAX_SORTED)
            return ERR_UNSUPPORTED;
        for (; place > 0 &&
               strcmp(json_object_iter_key(members[place - 1]), json_object_iter_key(it)) > 0;
             place--)
            members[place] = members[place - 1];
        members[place] = it;
    }
    return count;
}

static int put_member(struct buf *buf, const char *before, void *it, bool sorted)
{
    const char *key = json_object_iter_key(it);
    int rc = buf_append(buf, before, 1);
    if (rc == 0)
        rc = json_plain_append_text(buf, key, strlen(key));
    if (rc == 0)
        rc = buf_append(buf, ":", 1);
    return rc == 0 ? json_plain_append(buf, json_object_iter_value(it), sorted) : rc;
}

static int put_object(struct buf *buf, json_t *object, bool sorted)
{
    void *members[MAX_SORTED];
    const char *before = "{";
    int rc = 0, count = sorted ? sort_members(object, members) : 0;
    if (count < 0)
        return count;
    for (int i = 0; i < count && rc == 0; i++, before = ",")
        rc = put_member(buf, before, members[i], sorted);
    for (void *it = sorted ? NULL : json_object_iter(object); it && rc == 0;
         it = json_object_iter_next(object, it), before = ",")
        rc = put_member(buf, before, it, sorted);
    return rc == 0 ? buf_append_text(buf, *before == '{' ? "{}" : "}") : rc;
}

static int put_array(struct buf *buf, const json_t *array, bool sorted)
{
    int rc = buf_append(buf, "[", 1);
    for (size_t i = 0; i < json_array_size(array) && rc == 0; i++) {
        if (i > 0)
            rc = buf_append(buf, ",", 1);
        if (rc == 0)
            rc = json_plain_append(buf, json_array_get(array, i), sorted);
    }
    return rc == 0 ? buf_append(buf, "]", 1) : rc;
}

int json_plain_append(struct buf *buf, json_t *value, bool sorted)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return put_object(buf, value, sorted);
    case JSON_ARRAY: return put_array(buf, value, sorted);
    case JSON_STRING:
        return json_plain_append_text(buf, json_string_value(value), json_string_length(value));
    case JSON_INTEGER: return buf_append_int(buf, json_integer_value(value));
    case JSON_TRUE: return buf_append_text(buf, "true");
    case JSON_FALSE: return buf_append_text(buf, "false");
    case JSON_NULL: return buf_append_text(buf, "null");
    case JSON_REAL: break;
    }
    return ERR_UNSUPPORTED;
}
