/* SPDX-License-Identifier: MIT
 *
 * GET /again: a picture that was made here is chosen. POST /again: what it says of itself is read;
 * where its model needs nothing but parameters, the answer is that model's own page with these
 * filled in. The same question as POST /v1/provenance, for a person. */
#include "common/catalogue.h"
#include "common/err.h"
#include "common/manifest_texts.h"
#include "common/picture_metadata.h"
#include "common/provenance.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/offload.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_fields.h"
#include "dispatcher/pages/submit_page.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

struct again {
    struct call *call; /* borrowed; valid until the answer */
    struct form *form; /* owned */
    struct picture_metadata metadata;
    int rc;
};

static void free_again(void *state)
{
    struct again *again = state;
    form_destroy(&again->form);
    picture_metadata_fini(&again->metadata);
    free(again);
}

/* `said` is taken; NULL: nothing was read. */
static void send_page(struct call *call, unsigned status, const char *problem, json_t *said)
{
    const char *text = problem ? page_text(call, problem) : NULL;
    page_send(call, status, "again.html", json_pack("{s:s*, s:o*}", "problem", text, "said", said));
}

void page_again(struct dispatcher *dispatcher, struct call *call)
{
    send_page(call, 200, NULL, NULL);
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct again *again = call->state;
    struct err err = {0};
    if (form_feed(again->form, data, size, &err) < 0)
        call_refuse(call, PROBLEM_MALFORMED, "the form is not as its page sends it");
}

static void open_body(struct call *call)
{
    size_t max_bytes = (size_t)call->dispatcher->settings->max_body_bytes;
    int64_t size = exchange_body_size(call->exchange);
    if (!call_admit_body(call, max_bytes) ||
        !call_reserve(call, size < 0 ? max_bytes : (size_t)size))
        return;
    struct again *again = calloc(1, sizeof *again);
    if (!again) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    again->call = call;
    call->state = again;
    call->free_state = free_again;
    if (form_create(exchange_header(call->exchange, "Content-Type"), max_bytes, false, &again->form,
                    NULL) < 0 ||
        again->form->is_json)
        call_refuse(call, PROBLEM_MEDIA_TYPE, "a form with a file is wanted");
    else
        exchange_set_body(call->exchange, max_bytes, on_body);
}

void page_again_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (!cors_is_own_page(call))
        call_refuse(call, PROBLEM_FORBIDDEN, "this form may only be sent from its own page");
    else
        throttle_take(call, open_body);
}

/* On a thread. */
static void read_metadata(void *task)
{
    struct again *again = task;
    const struct buf *file = &again->form->fields[FORM_INPUT];
    again->rc = picture_metadata_read(file->data, file->size, &again->metadata, NULL);
}

static const char *unread(int rc)
{
    if (rc == ERR_NOT_FOUND)
        return "again.foreign";
    return rc == ERR_CORRUPT || rc == ERR_LIMIT ? "again.damaged" : "again.no_picture";
}

static const char *barred(enum provenance_bar bar)
{
    switch (bar) {
    case PROVENANCE_FREE: return NULL;
    case PROVENANCE_UNNAMED: return "again.unnamed";
    case PROVENANCE_OTHER_MODEL: return "again.other_model";
    case PROVENANCE_NEEDS_PICTURE: return "again.needs_picture";
    case PROVENANCE_OTHER_WEIGHTS: return "again.other_weights";
    case PROVENANCE_WITHHELD: return "again.withheld";
    case PROVENANCE_REFUSED: return "again.refused";
    }
    return NULL;
}

/* The model's title where it is here, else the name that the picture has for it. */
static json_t *said_of(const struct again *again, const struct manifest *model)
{
    const struct call *call = again->call;
    json_t *said = picture_metadata_json(&again->metadata), *view = NULL;
    const char *language = page_language(call->dispatcher, call->exchange)->tag;
    if (!said)
        return NULL;
    json_object_set_new(said, "title", json_string(again->metadata.model));
    if (model && manifest_texts_view(model, language, &view, NULL) == 0)
        json_object_set(said, "title", json_object_get(view, "title"));
    /* As they stand there, if there are any. */
    if (json_object_size(json_object_get(said, "params")) > 0)
        json_object_set_new(said, "params", json_string(again->metadata.params));
    else
        json_object_del(said, "params");
    json_decref(view);
    return said;
}

static void send_filled(struct call *call, const struct manifest *model, const json_t *params)
{
    json_t *typed = submit_fields_typed(params);
    struct submit_page page = {.call = call,
                               .model = model,
                               .forecast = forecast_last_of(call->dispatcher->forecast, model),
                               .params = typed};
    page_send(call, 200, "submit.html", submit_page_data(&page));
    json_decref(typed);
}

static void on_read(void *task)
{
    struct again *again = task;
    struct call *call = again->call;
    json_t *said = NULL, *params = NULL;
    if (again->rc < 0) {
        send_page(call, 422, unread(again->rc), NULL);
        return;
    }
    const struct manifest *model =
        manifest_set_find(&call->dispatcher->models, again->metadata.model);
    enum provenance_bar bar = provenance_again(&again->metadata, model ? model->view : NULL, &said);
    if (bar == PROVENANCE_FREE && manifest_check_params(model, said, &params, NULL) < 0)
        bar = PROVENANCE_REFUSED;
    if (bar == PROVENANCE_FREE)
        send_filled(call, model, params);
    else
        send_page(call, 200, barred(bar), said_of(again, model));
    json_decref(said);
    json_decref(params);
}

void page_again_read(struct dispatcher *dispatcher, struct call *call)
{
    struct again *again = call->state;
    if (form_finish(again->form, NULL) < 0)
        call_refuse(call, PROBLEM_MALFORMED, "the form is not as its page sends it");
    else if (again->form->fields[FORM_INPUT].size == 0)
        send_page(call, 422, "again.no_file", NULL);
    else if (offload_submit(dispatcher->offload, read_metadata, on_read, again) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}
