/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/submit_form.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/again.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/pages/job_cookies.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_fields.h"
#include "dispatcher/pages/submit_page.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEY 64

/* What was typed, for the page that is sent again. */
struct page_form {
    const struct manifest *model; /* borrowed from the set */
    json_t *params;               /* owned; texts by name; NULL before the body was read */
    char *email;                  /* owned; NULL: none */
    bool consent;
    struct again again; /* its picture is this job's crop */
};

void page_form_destroy(struct page_form **slot)
{
    struct page_form *page = *slot;
    *slot = NULL;
    if (!page)
        return;
    json_decref(page->params);
    free(page->email);
    free(page);
}

void page_submit_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (!cors_is_own_page(call)) {
        call_refuse(call, PROBLEM_FORBIDDEN, "this form may only be sent from its own page");
        return;
    }
    const struct manifest *model = call_model(call);
    if (!model)
        return;
    struct page_form *page = calloc(1, sizeof *page);
    if (!page) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    page->model = model;
    call->page = page;
    submit_headers(dispatcher, call);
}

/* ---- the body was read ----------------------------------------------------------------------- */

static bool refuse_field(struct call *call, const char *field, const char *detail)
{
    problem_send(call->exchange,
                 &(struct problem){.kind = PROBLEM_INVALID, .detail = detail, .field = field});
    return false;
}

static int remember(struct page_form *page, const struct form *form)
{
    const struct buf *email = &form->fields[FORM_EMAIL];
    page->consent = form->fields[FORM_CONSENT].size > 0;
    if (again_read(form, &page->again, NULL) < 0)
        page->again = (struct again){.public_id = ""}; /* it is refused where it is used */
    page->params = json_deep_copy(form->params);
    if (email->size > 0)
        page->email = strndup(buf_text(email), email->size);
    return page->params && (page->email || email->size == 0) ? 0 : ERR_NOMEM;
}

static int write_members(const struct call *call, struct form *form)
{
    const struct page_form *page = call->page;
    json_t *params = submit_fields_read(page->model->params, form->params);
    struct buf *text = &form->fields[FORM_PARAMS];
    int rc = params ? json_append(text, params, JSON_COMPACT) : ERR_NOMEM;
    json_decref(params);
    if (rc == 0)
        rc = buf_append_text(&form->fields[FORM_MODEL], page->model->name);
    if (rc == 0)
        rc = buf_append_text(&form->fields[FORM_LANG],
                             page_language(call->dispatcher, call->exchange)->tag);
    return rc;
}

/* Ours, and of no use to anybody else; one that was tampered with only fails to protect whoever did
 * it. */
static int read_key(const struct form *form, char out_key[QUEUE_IDEM_HASH_SIZE])
{
    const struct buf *key = &form->fields[FORM_KEY];
    if (key->size == 0 || key->size > MAX_KEY)
        return 0;
    return queue_idem_hash(key->data, key->size, out_key);
}

bool page_form_settle(struct call *call, struct form *form, char out_key[QUEUE_IDEM_HASH_SIZE])
{
    const struct page_form *page = call->page;
    out_key[0] = 0;
    int rc = remember(call->page, form);
    if (rc == 0 && !page->consent)
        return refuse_field(call, "consent", "the terms have to be accepted");
    if (rc == 0 && page->model->has_input && form->fields[FORM_INPUT].size == 0 &&
        form->fields[FORM_CROP_OF].size == 0)
        return refuse_field(call, "input", "input is required");
    if (rc == 0)
        rc = write_members(call, form);
    if (rc == ERR_LIMIT)
        return refuse_field(call, "params", "the parameters are too long");
    if (rc == 0)
        rc = read_key(form, out_key);
    if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    return rc == 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

int page_form_accepted(struct call *call, const char *public_id)
{
    const struct dispatcher *dispatcher = call->dispatcher;
    char view[TOKEN_SIZE];
    struct buf location;
    int rc = token_make(dispatcher->tokens, TOKEN_VIEW, public_id, view);
    if (rc < 0)
        return rc;
    buf_init(&location, 256);
    rc = buf_join(&location, "/j/", public_id, "?token=", view, NULL);
    struct answer *answer = rc == 0 ? answer_static("", 0) : NULL;
    if (answer)
        rc = job_cookies_put(dispatcher, public_id, answer);
    if (!answer || rc < 0) {
        buf_fini(&location);
        answer_free(answer);
        return rc < 0 ? rc : ERR_NOMEM;
    }
    answer_header(answer, "Location", buf_text(&location));
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "Referrer-Policy", "same-origin");
    buf_fini(&location);
    exchange_respond(call->exchange, 303, answer);
    return 0;
}

struct answer *page_form_again(struct call *call, const struct problem *problem)
{
    struct dispatcher *dispatcher = call->dispatcher;
    const struct page_form *page = call->page;
    struct submit_page about = {.call = call,
                                .model = page->model,
                                .forecast = forecast_last_of(dispatcher->forecast, page->model),
                                .params = page->params,
                                .email = page->email,
                                .consent = page->consent,
                                .again = &page->again,
                                .problem = problem};
    return page_make(dispatcher, call->exchange, "submit.html", submit_page_data(&about));
}
