/* SPDX-License-Identifier: MIT
 *
 * Azure: scheduled events, of which `Preempt` (30 s ahead, best effort) takes a spot machine away.
 * All machines of a scale set hear of each other's events, so only one that names this machine
 * counts. To acknowledge an event ("StartRequests") is to say that it need not wait until its time.
 * https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events */
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/spot_source.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define EVENTS "/metadata/scheduledevents?api-version=2020-07-01"
#define NAME "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
#define EVENTS_MAX 256
/* The first question switches the events on, which takes its time. */
#define FIRST_TIMEOUT_MS 10000
#define ACKNOWLEDGE_TIMEOUT_MS 1000

static const struct http_header header = {"Metadata", "true"};
static const struct json_limits limits = {.max_bytes = SPOT_BODY_MAX, .max_depth = 8};

static int get_name(struct spot *spot, struct err *err)
{
    if (spot->azure_name[0])
        return 0;
    int rc =
        spot_ask(spot, NAME, (struct http_request){.headers = &header, .header_count = 1}, err);
    if (rc < 0)
        return rc;
    const struct buf *body = &spot->response.body;
    bool clean = body->size > 0 && body->size < sizeof spot->azure_name;
    for (size_t i = 0; i < body->size && clean; i++)
        clean = isalnum(body->data[i]) || strchr("-_.", body->data[i]);
    if (!clean)
        return err_set(err, ERR_INVALID, NULL, "what should be this machine's name is none");
    memcpy(spot->azure_name, body->data, body->size);
    spot->azure_name[body->size] = 0;
    return 0;
}

static bool names_us(const struct spot *spot, const json_t *event)
{
    const json_t *resources = json_object_get(event, "Resources");
    for (size_t i = 0; i < json_array_size(resources); i++) {
        const char *name = json_string_value(json_array_get(resources, i));
        if (name && !strcasecmp(name, spot->azure_name))
            return true;
    }
    return false;
}

static bool is_preempt(const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "EventType"));
    return type && !strcmp(type, "Preempt");
}

static int read_event(struct spot *spot, const json_t *event, struct spot_news *out_news,
                      struct err *err)
{
    const char *id, *not_before = "";
    int rc = json_get_text(event, "EventId", sizeof spot->azure_event - 1, &id, err);
    if (rc == 0) /* "" once the event has started */
        rc = json_opt_text(event, "NotBefore", 40, &not_before, err);
    if (rc < 0)
        return rc;
    snprintf(spot->azure_event, sizeof spot->azure_event, "%s", id);
    out_news->notice = SPOT_NOW;
    snprintf(out_news->detail, sizeof out_news->detail, "preempt%s%s", *not_before ? " at " : "",
             not_before);
    return 0;
}

int spot_azure_poll(struct spot *spot, struct spot_news *out_news, struct err *err)
{
    json_t *document = NULL, *events;
    int rc = get_name(spot, err);
    if (rc == 0)
        rc = spot_ask(spot, EVENTS,
                      (struct http_request){.headers = &header,
                                            .header_count = 1,
                                            .total_timeout_ms = FIRST_TIMEOUT_MS},
                      err);
    if (rc == 0)
        rc = json_parse(spot->response.body.data, spot->response.body.size, limits, &document, err);
    if (rc == 0)
        rc = json_get_array(document, "Events", EVENTS_MAX, &events, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (is_preempt(event) && names_us(spot, event)) {
            rc = read_event(spot, event, out_news, err);
            break;
        }
    }
    json_decref(document);
    return rc;
}

static int never(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    return 0;
}

void spot_azure_acknowledge(struct spot *spot)
{
    struct err err = {0};
    struct buf body;
    if (!spot->azure_event[0])
        return;
    buf_init(&body, 1024);
    json_t *document = json_pack("{s:[{s:s}]}", "StartRequests", "EventId", spot->azure_event);
    int rc = document ? json_append(&body, document, JSON_COMPACT) : ERR_NOMEM;
    if (rc == 0)
        rc = spot_ask(spot, EVENTS,
                      (struct http_request){.method = HTTP_POST,
                                            .headers = &header,
                                            .header_count = 1,
                                            .body = body.data,
                                            .body_size = body.size,
                                            .total_timeout_ms = ACKNOWLEDGE_TIMEOUT_MS,
                                            .on_progress = never},
                      &err);
    log_event(rc < 0 ? LOG_WARN : LOG_INFO, "spot.acknowledged", "code", LOG_S, err_name(rc),
              "error", LOG_S, rc < 0 ? err.text : NULL, NULL);
    json_decref(document);
    buf_fini(&body);
}
