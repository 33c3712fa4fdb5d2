/* SPDX-License-Identifier: MIT
 *
 * Texts with holes: a subset of Mustache (https://mustache.github.io/mustache.5.html) over JSON.
 *
 *     struct template_options options = {.html = true, .partials = find, .context = files,
 *                                        .texts = language->texts};
 *     rc = template_render("job.html", text, data, &options, &out, &err);
 *
 *     {{name}} {{a.b}} {{.}}   a value, escaped where the output is HTML
 *     {{#name}}…{{/name}}      once for true, an object or a text, once for each item of a list
 *     {{^name}}…{{/name}}      for what is missing, null, false, an empty list or an empty text
 *     {{>file}} {{! note }}    another template in place; nothing
 *     {{t.submit.title}}       a text of the catalogue, itself filled from the same data
 *
 * Tags of sections, partials and notes that stand alone on a line leave no line behind. As in
 * Mustache a missing value is empty; other than there a missing text or partial is an error, there
 * is no unescaped form and no change of delimiters, and partials are not indented.
 *
 * What comes out of HTML rendering is safe in an element and in a quoted attribute. Data is never
 * looked at for tags; the catalogue's texts are, for they are ours. A text whose name ends with
 * `_html` is markup of ours: what is filled into it is escaped, it itself is not.
 *
 * Pure functions, any thread. */
#ifndef DARKROOM_COMMON_TEMPLATE_H
#define DARKROOM_COMMON_TEMPLATE_H

#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

#define TEMPLATE_MAX_DEPTH 16    /* sections, partials and texts inside each other */
#define TEMPLATE_MAX_TAGS 200000 /* looked at in one rendering, lists counted out */
#define TEMPLATE_MAX_NAME 120

struct buf;
struct err;

/* The text of a partial, or NULL. Borrowed until the rendering ends. */
typedef const char *template_find(void *context, const char *name);

/* All borrowed for the call. */
struct template_options {
    bool html;
    template_find *partials; /* NULL: there are none */
    void *context;
    const json_t *texts; /* what `t` stands for; NULL: there is none */
};

/* Appends what `text` becomes with `data` (borrowed; an object, or NULL for an empty one). `name`
 * is for errors, which read "job.html:12: …". ERR_INVALID: the template breaks the rules above, or
 * a list or object stands where a text should. ERR_NOT_FOUND: no such partial or text. ERR_LIMIT:
 * too deep, too many tags, or past the buffer's maximum. After an error the buffer holds what it
 * held before. */
int template_render(const char *name, const char *text, const json_t *data,
                    const struct template_options *options, struct buf *out, struct err *err);

/* Looks at all branches of a template without rendering: what template_render() could refuse for
 * any data but size, depth and kinds is refused here. */
int template_check(const char *name, const char *text, const struct template_options *options,
                   struct err *err);

/* Appends `text` as it may stand in an element or in a quoted attribute. */
int template_escape(struct buf *out, const char *text, size_t size);

#endif
