/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json_plain.h"

#include <inttypes.h>
#include <string.h>

bool json_text_is_clean(const char *text, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x80 * ones;
    size_t i = 0;
    /* Eight at a time: a top bit stays where a byte is below a space or 0x7f. Right about whether
     * there is one, not always about which. */
    for (uint64_t eight; size - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, text + i, sizeof eight);
        uint64_t last = eight ^ 0x7f * ones;
        if ((((eight - ' ' * ones) & ~eight) | ((last - ones) & ~last)) & tops)
            return false;
    }
    for (; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

/* jansson recurses once for each level and has a fixed cap of 2048; ours is counted beforehand, so
 * that a deep document costs neither stack nor allocations. */
static int measure_depth(const char *text, size_t size)
{
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest)
                deepest = depth;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

int json_parse(const void *data, size_t size, struct json_limits limits, json_t **out_value,
               struct err *err)
{
    if (size > limits.max_bytes)
        return err_set(err, ERR_LIMIT, NULL, "the JSON has %zu bytes, more than %zu", size,
                       limits.max_bytes);
    if (size == 0)
        return err_set(err, ERR_INVALID, NULL, "expected JSON, got 0 bytes");
    json_t *value = json_plain_parse(data, size, limits.max_depth);
    if (value) {
        *out_value = value;
        return 0;
    }
    if (measure_depth(data, size) > limits.max_depth)
        return err_set(err, ERR_LIMIT, NULL, "the JSON is nested deeper than %d levels",
                       limits.max_depth);
    json_error_t where;
    value = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
    if (!value && json_error_code(&where) == json_error_out_of_memory)
        return err_set(err, ERR_NOMEM, NULL, "no memory for %zu bytes of JSON", size);
    /* jansson quotes the text near the fault; that may be anybody's secret, so only the place and
     * the kind of fault are told. */
    if (!value)
        return err_set(err, ERR_INVALID, NULL, "not valid JSON at line %d, column %d%s", where.line,
                       where.column,
                       json_error_code(&where) == json_error_duplicate_key ? ": duplicate member"
                                                                           : "");
    *out_value = value;
    return 0;
}

int json_parse_file(const char *path, struct json_limits limits, json_t **out_value,
                    struct err *err)
{
    struct buf text;
    buf_init(&text, limits.max_bytes);
    int rc = buf_read_file(&text, path, err);
    if (rc == 0) {
        struct err inner = {0};
        rc = json_parse(buf_text(&text), text.size, limits, out_value, &inner);
        if (rc < 0)
            err_set(err, rc, inner.field, "%s: %s", path, inner.text);
    }
    buf_fini(&text);
    return rc;
}

int json_check_members(const json_t *object, const char *path, const char *const *names,
                       struct err *err)
{
    if (!json_is_object(object))
        return err_set(err, ERR_INVALID, path, "%s must be an object",
                       path ? path : "the document");
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *key = json_object_iter_key(it);
        size_t i = 0;
        while (names[i] && strcmp(names[i], key))
            i++;
        if (names[i])
            continue;
        bool plain = strlen(key) < 32 && json_text_is_clean(key, strlen(key));
        char field[96];
        snprintf(field, sizeof field, "%s%s%s", path ? path : "", path && plain ? "." : "",
                 plain ? key : "");
        return err_set(err, ERR_INVALID, field, "unknown member \"%.64s\"", key);
    }
    return 0;
}

/* The member that `path` names, or NULL. */
static json_t *member(const json_t *object, const char *path)
{
    const char *dot = strrchr(path, '.');
    return json_object_get(object, dot ? dot + 1 : path);
}

/* The same where JSON null counts as absent. */
static json_t *find(const json_t *object, const char *path)
{
    json_t *value = member(object, path);
    return json_is_null(value) ? NULL : value;
}

static int refuse(const json_t *value, const char *path, const char *kind, struct err *err)
{
    if (!value)
        return err_set(err, ERR_INVALID, path, "%s is required", path);
    return err_set(err, ERR_INVALID, path, "%s must be %s", path, kind);
}

int json_get_text(const json_t *object, const char *path, size_t max_bytes, const char **out_text,
                  struct err *err)
{
    const json_t *value = find(object, path);
    if (!json_is_string(value))
        return refuse(value, path, "a text", err);
    size_t size = json_string_length(value);
    if (size > max_bytes)
        return err_set(err, ERR_LIMIT, path, "%s has %zu bytes, more than %zu", path, size,
                       max_bytes);
    if (!json_text_is_clean(json_string_value(value), size))
        return err_set(err, ERR_INVALID, path, "%s holds a control character", path);
    *out_text = json_string_value(value);
    return 0;
}

int json_get_int(const json_t *object, const char *path, int64_t min, int64_t max,
                 int64_t *out_value, struct err *err)
{
    const json_t *value = find(object, path);
    if (!json_is_integer(value))
        return refuse(value, path, "an integer", err);
    int64_t number = json_integer_value(value);
    if (number < min || number > max)
        return err_set(err, ERR_INVALID, path,
                       "%s is %" PRId64 ", not within %" PRId64 " to %" PRId64, path, number, min,
                       max);
    *out_value = number;
    return 0;
}

int json_get_real(const json_t *object, const char *path, double min, double max, double *out_value,
                  struct err *err)
{
    const json_t *value = find(object, path);
    if (!json_is_number(value))
        return refuse(value, path, "a number", err);
    double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return err_set(err, ERR_INVALID, path, "%s is %g, not within %g to %g", path, number, min,
                       max);
    *out_value = number;
    return 0;
}

int json_get_bool(const json_t *object, const char *path, bool *out_value, struct err *err)
{
    const json_t *value = find(object, path);
    if (!json_is_boolean(value))
        return refuse(value, path, "true or false", err);
    *out_value = json_is_true(value);
    return 0;
}

int json_get_object(const json_t *object, const char *path, json_t **out_value, struct err *err)
{
    json_t *value = find(object, path);
    if (!json_is_object(value))
        return refuse(value, path, "an object", err);
    *out_value = value;
    return 0;
}

int json_get_array(const json_t *object, const char *path, size_t max_items, json_t **out_value,
                   struct err *err)
{
    json_t *value = find(object, path);
    if (!json_is_array(value))
        return refuse(value, path, "an array", err);
    if (json_array_size(value) > max_items)
        return err_set(err, ERR_LIMIT, path, "%s has %zu items, more than %zu", path,
                       json_array_size(value), max_items);
    *out_value = value;
    return 0;
}

int json_opt_text(const json_t *object, const char *path, size_t max_bytes, const char **out_text,
                  struct err *err)
{
    return find(object, path) ? json_get_text(object, path, max_bytes, out_text, err) : 0;
}

int json_opt_int(const json_t *object, const char *path, int64_t min, int64_t max,
                 int64_t *out_value, struct err *err)
{
    return find(object, path) ? json_get_int(object, path, min, max, out_value, err) : 0;
}

int json_opt_real(const json_t *object, const char *path, double min, double max, double *out_value,
                  struct err *err)
{
    return find(object, path) ? json_get_real(object, path, min, max, out_value, err) : 0;
}

int json_opt_bool(const json_t *object, const char *path, bool *out_value, struct err *err)
{
    const json_t *value = member(object, path);
    if (json_is_null(value))
        return refuse(value, path, "true or false", err);
    return value ? json_get_bool(object, path, out_value, err) : 0;
}

int json_opt_object(const json_t *object, const char *path, json_t **out_value, struct err *err)
{
    return find(object, path) ? json_get_object(object, path, out_value, err) : 0;
}

int json_opt_array(const json_t *object, const char *path, size_t max_items, json_t **out_value,
                   struct err *err)
{
    return find(object, path) ? json_get_array(object, path, max_items, out_value, err) : 0;
}

static int append_chunk(const char *chunk, size_t size, void *context)
{
    struct buf *buf = context;
    return buf_append(buf, chunk, size) < 0 ? -1 : 0;
}

int json_append(struct buf *buf, const json_t *value, size_t flags)
{
    size_t before = buf->size;
    bool plain = (flags & ~(size_t)JSON_SORT_KEYS) == JSON_COMPACT;
    if (plain &&
        json_plain_append(buf, (json_t *)(uintptr_t)value, (flags & JSON_SORT_KEYS) != 0) == 0)
        return 0;
    buf_truncate(buf, before);
    if (json_dump_callback(value, append_chunk, buf, flags | JSON_ENCODE_ANY) == 0)
        return 0;
    buf_truncate(buf, before);
    return ERR_LIMIT;
}

int json_append_text(struct buf *buf, const char *text)
{
    int rc = json_plain_append_text(buf, text, strlen(text));
    if (rc != ERR_UNSUPPORTED)
        return rc;
    json_t *value = json_string(text);
    rc = value ? json_append(buf, value, JSON_COMPACT) : ERR_INVALID;
    json_decref(value);
    return rc;
}
