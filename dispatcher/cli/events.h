/* SPDX-License-Identifier: MIT
 *
 * Reads Server-Sent Events (HTML standard, section 9.2) from pieces of any size.
 *
 *     cli_events_init(&events, on_event, context);
 *     rc = cli_events_feed(&events, piece, size);
 *     ... events.last_id goes into Last-Event-ID when the connection is lost ...
 *     cli_events_reset(&events);      // a new connection begins with a new line
 *     cli_events_fini(&events);
 *
 * Belongs to one thread. */
#ifndef DARKROOM_DISPATCHER_CLI_EVENTS_H
#define DARKROOM_DISPATCHER_CLI_EVENTS_H

#include "common/buf.h"

#include <stdbool.h>

#define CLI_EVENTS_MAX_LINE 65536

/* `event` is "message" where the server named none. Anything but 0 ends the feeding and is
 * returned by it. */
typedef int cli_event_fn(void *context, const char *event, const char *data, size_t size);

struct cli_events {
    struct buf line, data;
    char event[32];
    char id[64], last_id[64];
    bool after_cr;
    cli_event_fn *on_event;
    void *context; /* borrowed */
};

void cli_events_init(struct cli_events *events, cli_event_fn *on_event, void *context);
void cli_events_reset(struct cli_events *events);
void cli_events_fini(struct cli_events *events);

/* ERR_LIMIT: a line or an event longer than CLI_EVENTS_MAX_LINE. */
int cli_events_feed(struct cli_events *events, const void *data, size_t size);

#endif
