/* SPDX-License-Identifier: MIT */
#include "common/template.h"

#include "common/buf.h"
#include "common/err.h"

#include <string.h>

struct text {
    const char *name; /* for errors */
    const char *start;
    bool escape; /* its own characters, too */
};

struct tag {
    char kind; /* 0 for a value, else one of # ^ / > ! */
    char name[TEMPLATE_MAX_NAME + 1];
    const char *start, *after; /* of the braces */
    const char *cut, *resume;  /* the same, or the line's ends where the tag stands alone on it */
};

struct renderer {
    const struct template_options *options;
    struct buf *out; /* NULL: only check */
    struct err *err;
    const json_t *stack[TEMPLATE_MAX_DEPTH + 1];
    int depth;  /* values on the stack */
    int nested; /* sections, partials and texts that are open */
    unsigned tags;
};

static int render_text(struct renderer *renderer, const struct text *text);
static int render_span(struct renderer *renderer, const struct text *text, const char *at,
                       const char *end);

static int fail(struct renderer *renderer, int code, const struct text *text, const char *at,
                const char *what, const char *name)
{
    unsigned line = 1;
    for (const char *c = text->start; c < at; c++)
        line += *c == '\n';
    return err_set(renderer->err, code, text->name, "%s:%u: %s%s%s", text->name, line, what,
                   *name ? " " : "", name);
}

int template_escape(struct buf *out, const char *text, size_t size)
{
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < size;) {
        size_t plain = 0;
        while (done + plain < size && !strchr("&<>\"'", text[done + plain]))
            plain++;
        rc = buf_append(out, text + done, plain);
        done += plain;
        if (rc < 0 || done == size)
            break;
        switch (text[done++]) {
        case '&': rc = buf_append_text(out, "&amp;"); break;
        case '<': rc = buf_append_text(out, "&lt;"); break;
        case '>': rc = buf_append_text(out, "&gt;"); break;
        case '"': rc = buf_append_text(out, "&quot;"); break;
        case '\'': rc = buf_append_text(out, "&#39;"); break;
        default: rc = buf_append(out, text + done - 1, 1); /* a zero byte */
        }
    }
    return rc;
}

static int put(struct renderer *renderer, const char *text, size_t size, bool escape)
{
    if (!renderer->out || size == 0)
        return 0;
    return escape ? template_escape(renderer->out, text, size)
                  : buf_append(renderer->out, text, size);
}

/* ---- tags ---- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t");
}

/* A tag that stands alone on its line takes the line with it. */
static void widen(const struct text *text, struct tag *tag)
{
    const char *left = tag->start, *right = skip_spaces(tag->after);
    tag->cut = tag->start;
    tag->resume = tag->after;
    while (left > text->start && (left[-1] == ' ' || left[-1] == '\t'))
        left--;
    if (tag->kind == 0 || (left > text->start && left[-1] != '\n'))
        return;
    if (right[0] == '\r' && right[1] == '\n')
        right++;
    if (*right && *right != '\n')
        return;
    tag->cut = left;
    tag->resume = *right ? right + 1 : right;
}

/* Reads the tag that begins at `open`, which points at its braces. */
static int read_tag(struct renderer *renderer, const struct text *text, const char *open,
                    struct tag *tag)
{
    const char *close = strstr(open, "}}"), *at = open + 2;
    size_t length = 0;
    *tag = (struct tag){.start = open};
    if (++renderer->tags > TEMPLATE_MAX_TAGS)
        return fail(renderer, ERR_LIMIT, text, open, "too many tags", "");
    if (!close)
        return fail(renderer, ERR_INVALID, text, open, "a tag is not closed", "");
    tag->after = close + 2;
    if (*at && strchr("#^/>!", *at))
        tag->kind = *at++;
    if (tag->kind == '!') {
        widen(text, tag);
        return 0;
    }
    at = skip_spaces(at);
    while (is_name(at[length]))
        length++;
    if (length == 0 || length > TEMPLATE_MAX_NAME || skip_spaces(at + length) != close)
        return fail(renderer, ERR_INVALID, text, open, "a tag without a proper name", "");
    memcpy(tag->name, at, length);
    widen(text, tag);
    return 0;
}

/* The tag that closes `opening`. Sections in between are counted, and checked when it is their
 * turn. */
static int find_close(struct renderer *renderer, const struct text *text, const struct tag *opening,
                      const char *end, struct tag *out)
{
    const char *at = opening->resume;
    for (int open = 1; open > 0; at = out->after) {
        const char *next = strstr(at, "{{");
        if (!next || next >= end)
            return fail(renderer, ERR_INVALID, text, opening->start, "nothing closes",
                        opening->name);
        int rc = read_tag(renderer, text, next, out);
        if (rc < 0)
            return rc;
        open += out->kind == '#' || out->kind == '^';
        open -= out->kind == '/';
    }
    if (strcmp(out->name, opening->name) != 0)
        return fail(renderer, ERR_INVALID, text, out->start,
                    "this closes another section:", out->name);
    return 0;
}

/* ---- values ---- */

/* Below `value`, member by member along a dotted path. */
static const json_t *follow(const json_t *value, const char *path)
{
    char name[TEMPLATE_MAX_NAME + 1];
    while (value && *path) {
        size_t length = strcspn(path, ".");
        memcpy(name, path, length);
        name[length] = 0;
        value = json_object_get(value, name);
        path += length + (path[length] == '.');
    }
    return value;
}

/* The innermost context that has the first name gives all of it. */
static const json_t *find(const struct renderer *renderer, const char *path)
{
    char first[TEMPLATE_MAX_NAME + 1];
    size_t length = strcspn(path, ".");
    if (strcmp(path, ".") == 0)
        return renderer->depth > 0 ? renderer->stack[renderer->depth - 1] : NULL;
    memcpy(first, path, length);
    first[length] = 0;
    for (int i = renderer->depth - 1; i >= 0; i--) {
        const json_t *value = json_object_get(renderer->stack[i], first);
        if (value)
            return follow(value, path + length + (path[length] == '.'));
    }
    return NULL;
}

static bool holds(const json_t *value)
{
    if (!value || json_is_null(value) || json_is_false(value))
        return false;
    if (json_is_array(value))
        return json_array_size(value) > 0;
    return !json_is_string(value) || json_string_length(value) > 0;
}

static int enter(struct renderer *renderer, const struct text *text, const char *at)
{
    if (renderer->nested == TEMPLATE_MAX_DEPTH)
        return fail(renderer, ERR_LIMIT, text, at, "nested too deeply", "");
    renderer->nested++;
    return 0;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), tail = strlen(ending);
    return size >= tail && strcmp(text + size - tail, ending) == 0;
}

/* A text of the catalogue, which is a template, too. */
static int render_message(struct renderer *renderer, const struct text *text, const struct tag *tag)
{
    const json_t *value = follow(renderer->options->texts, tag->name + 2);
    if (!json_is_string(value))
        return fail(renderer, ERR_NOT_FOUND, text, tag->start, "there is no text", tag->name);
    int rc = enter(renderer, text, tag->start);
    if (rc < 0)
        return rc;
    struct text message = {.name = tag->name,
                           .start = json_string_value(value),
                           .escape = renderer->options->html && !ends_with(tag->name, "_html")};
    rc = render_text(renderer, &message);
    renderer->nested--;
    return rc;
}

static int render_value(struct renderer *renderer, const struct text *text, const struct tag *tag)
{
    if (renderer->options->texts && strncmp(tag->name, "t.", 2) == 0)
        return render_message(renderer, text, tag);
    const json_t *value = find(renderer, tag->name);
    if (!renderer->out || !value || json_is_null(value))
        return 0;
    if (json_is_string(value))
        return put(renderer, json_string_value(value), json_string_length(value),
                   renderer->options->html);
    if (json_is_integer(value))
        return buf_append_int(renderer->out, json_integer_value(value));
    if (json_is_real(value))
        return buf_printf(renderer->out, "%.15g", json_real_value(value));
    if (json_is_boolean(value))
        return buf_append_text(renderer->out, json_is_true(value) ? "true" : "false");
    return fail(renderer, ERR_INVALID, text, tag->start,
                "a list or an object is no text:", tag->name);
}

static int render_with(struct renderer *renderer, const struct text *text, const json_t *value,
                       const char *at, const char *end)
{
    renderer->stack[renderer->depth++] = value;
    int rc = render_span(renderer, text, at, end);
    renderer->depth--;
    return rc;
}

static int render_section(struct renderer *renderer, const struct text *text, const struct tag *tag,
                          const struct tag *close)
{
    const json_t *value = find(renderer, tag->name);
    int rc = enter(renderer, text, tag->start);
    if (rc < 0)
        return rc;
    if (!renderer->out || tag->kind == '^') {
        if (!renderer->out || !holds(value))
            rc = render_span(renderer, text, tag->resume, close->cut);
    } else if (json_is_array(value)) {
        for (size_t i = 0; rc == 0 && i < json_array_size(value); i++)
            rc = render_with(renderer, text, json_array_get(value, i), tag->resume, close->cut);
    } else if (holds(value)) {
        rc = render_with(renderer, text, value, tag->resume, close->cut);
    }
    renderer->nested--;
    return rc;
}

static int render_partial(struct renderer *renderer, const struct text *text, const struct tag *tag)
{
    const struct template_options *options = renderer->options;
    const char *found = options->partials ? options->partials(options->context, tag->name) : NULL;
    if (!found)
        return fail(renderer, ERR_NOT_FOUND, text, tag->start, "there is no partial", tag->name);
    int rc = enter(renderer, text, tag->start);
    if (rc < 0)
        return rc;
    struct text partial = {.name = tag->name, .start = found, .escape = text->escape};
    rc = render_text(renderer, &partial);
    renderer->nested--;
    return rc;
}

static int render_span(struct renderer *renderer, const struct text *text, const char *at,
                       const char *end)
{
    struct tag tag, close;
    int rc = 0;
    while (rc == 0 && at < end) {
        const char *open = strstr(at, "{{");
        if (!open || open >= end)
            return put(renderer, at, (size_t)(end - at), text->escape);
        rc = read_tag(renderer, text, open, &tag);
        /* A line's end that belonged to the tag before may lie in front of `at`. */
        if (rc == 0 && tag.cut > at)
            rc = put(renderer, at, (size_t)(tag.cut - at), text->escape);
        if (rc < 0)
            return rc;
        at = tag.resume;
        if (tag.kind == '#' || tag.kind == '^') {
            rc = find_close(renderer, text, &tag, end, &close);
            if (rc == 0)
                rc = render_section(renderer, text, &tag, &close);
            at = close.resume;
        } else if (tag.kind == '>') {
            rc = render_partial(renderer, text, &tag);
        } else if (tag.kind == '/') {
            rc = fail(renderer, ERR_INVALID, text, tag.start, "nothing opened", tag.name);
        } else if (tag.kind == 0) {
            rc = render_value(renderer, text, &tag);
        }
    }
    return rc;
}

static int render_text(struct renderer *renderer, const struct text *text)
{
    return render_span(renderer, text, text->start, text->start + strlen(text->start));
}

int template_render(const char *name, const char *text, const json_t *data,
                    const struct template_options *options, struct buf *out, struct err *err)
{
    struct renderer renderer = {
        .options = options, .out = out, .err = err, .stack = {data}, .depth = data ? 1 : 0};
    size_t before = out->size;
    int rc = render_text(&renderer, &(struct text){.name = name, .start = text});
    if (rc < 0)
        buf_truncate(out, before);
    return rc < 0 ? err_set(err, rc, name, "%s: it does not fit", name) : 0;
}

int template_check(const char *name, const char *text, const struct template_options *options,
                   struct err *err)
{
    struct renderer renderer = {.options = options, .err = err};
    return render_text(&renderer, &(struct text){.name = name, .start = text});
}
