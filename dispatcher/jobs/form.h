/* SPDX-License-Identifier: MIT
 *
 * The body of a submission as it arrives: JSON as a whole, or the parts of multipart/form-data.
 * Nothing is judged here but the syntax of multipart; that is intake.h's business.
 *
 *     rc = form_create(content_type, max_bytes, false, &form, &err);   // ERR_UNSUPPORTED: neither
 *     rc = form_feed(form, data, size, &err);
 *     rc = form_finish(form, &err);
 *     form_destroy(&form);
 *
 * One thread at a time. */
#ifndef DARKROOM_DISPATCHER_JOBS_FORM_H
#define DARKROOM_DISPATCHER_JOBS_FORM_H

#include "common/buf.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

struct dialect;
struct err;
struct multipart;

#define FORM_MAX_TEXT 8192 /* of a part that is no file */

enum form_field {
    FORM_INPUT,
    FORM_MODEL,
    FORM_CROP,
    FORM_PARAMS,
    FORM_EMAIL,
    FORM_WEBHOOK,
    FORM_PRIORITY,
    FORM_RUN_AT,
    FORM_DEADLINE,
    FORM_LANG,
    FORM_CROP_OF,
    FORM_CROP_TOKEN,
    FORM_CONSENT, /* this and the next ones: of a page's form alone */
    FORM_KEY,
    FORM_PARAM, /* "param.<name>", any number of them */
    FORM_FIELD_COUNT
};

struct form {
    bool is_json;
    struct buf json;                     /* the body, where is_json */
    struct buf fields[FORM_FIELD_COUNT]; /* the parts, else */
    bool present[FORM_FIELD_COUNT];
    struct multipart *parser;      /* owned; NULL where is_json */
    const struct dialect *dialect; /* borrowed; what turns `json` into ours; NULL: it is */
    const void *dialect_context;
    enum form_field current;
    bool is_page;        /* of a page, sent without scripts; see pages/submit_form.h */
    json_t *params;      /* owned; its texts by the parameters' names; NULL where not is_page */
    char param_name[48]; /* of the part that is being read */
};

const char *form_field_name(enum form_field field);

/* max_bytes is the limit of the whole body, which the caller enforces as well. `is_page`: other
 * parts are known, and JSON is none. */
int form_create(const char *content_type, size_t max_bytes, bool is_page, struct form **out,
                struct err *err);
void form_destroy(struct form **form);

/* ERR_INVALID with a field: an unknown or repeated part; without one: malformed. ERR_LIMIT with
 * the field: a text longer than FORM_MAX_TEXT. */
int form_feed(struct form *form, const void *data, size_t size, struct err *err);
int form_finish(struct form *form, struct err *err);

/* How much it holds. */
size_t form_bytes(const struct form *form);

#endif
