/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/events.h"

#include "common/err.h"

#include <stdio.h>
#include <string.h>

void cli_events_init(struct cli_events *events, cli_event_fn *on_event, void *context)
{
    *events = (struct cli_events){.on_event = on_event, .context = context};
    buf_init(&events->line, CLI_EVENTS_MAX_LINE);
    buf_init(&events->data, CLI_EVENTS_MAX_LINE);
}

void cli_events_reset(struct cli_events *events)
{
    buf_clear(&events->line);
    buf_clear(&events->data);
    events->event[0] = 0;
    events->after_cr = false;
}

void cli_events_fini(struct cli_events *events)
{
    buf_fini(&events->line);
    buf_fini(&events->data);
}

/* An empty line ends an event; one without data is none. */
static int dispatch(struct cli_events *events)
{
    int rc = 0;
    snprintf(events->last_id, sizeof events->last_id, "%s", events->id);
    if (events->data.size > 0)
        rc = events->on_event(events->context, events->event[0] ? events->event : "message",
                              buf_text(&events->data), events->data.size);
    buf_clear(&events->data);
    events->event[0] = 0;
    return rc;
}

static int append_data(struct buf *data, const char *value)
{
    int rc = data->size ? buf_append(data, "\n", 1) : 0;
    return rc < 0 ? rc : buf_append_text(data, value);
}

static int end_line(struct cli_events *events)
{
    char *line = (char *)events->line.data;
    if (events->line.size == 0)
        return dispatch(events);
    int rc = 0;
    size_t name = strcspn(line, ":");
    const char *value = line[name] ? line + name + 1 : line + name;
    if (*value == ' ')
        value++;
    /* An unknown field is ignored, and so is a comment, whose name is empty. */
    if (name == 4 && !memcmp(line, "data", 4))
        rc = append_data(&events->data, value);
    else if (name == 5 && !memcmp(line, "event", 5))
        snprintf(events->event, sizeof events->event, "%s", value);
    else if (name == 2 && !memcmp(line, "id", 2) && strlen(value) < sizeof events->id)
        snprintf(events->id, sizeof events->id, "%s", value);
    buf_clear(&events->line);
    return rc;
}

int cli_events_feed(struct cli_events *events, const void *data, size_t size)
{
    const char *text = data;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < size; i++) {
        bool second_half = text[i] == '\n' && events->after_cr;
        events->after_cr = text[i] == '\r';
        if (second_half)
            continue;
        if (text[i] == '\n' || text[i] == '\r')
            rc = end_line(events);
        else
            rc = buf_append(&events->line, text + i, 1);
    }
    return rc;
}
