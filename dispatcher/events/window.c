/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/window.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

void window_init(struct window *window, size_t max_changes)
{
    *window = (struct window){.max = max_changes};
}

void window_fini(struct window *window)
{
    free(window->changes);
    window_init(window, window->max);
}

void window_clear(struct window *window)
{
    window_fini(window);
}

struct window_id window_id_parse(const char *text)
{
    struct window_id id = {0, 0};
    char *end;
    if (!queue_event_id_valid(text))
        return id;
    id.ms = strtoull(text, &end, 10);
    id.sequence = strtoull(end + 1, NULL, 10);
    return id;
}

int window_id_compare(struct window_id a, struct window_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.sequence == b.sequence ? 0 : a.sequence < b.sequence ? -1 : 1;
}

static struct window_change *at(const struct window *window, size_t index)
{
    return &window->changes[(window->first + index) % window->capacity];
}

/* Only before the ring has begun to turn, so what is there keeps its place. */
static void grow(struct window *window)
{
    size_t capacity = window->capacity ? 2 * window->capacity : FIRST_CAPACITY;
    if (capacity > window->max)
        capacity = window->max;
    struct window_change *grown = realloc(window->changes, capacity * sizeof *grown);
    if (!grown) {
        window->max = window->capacity;
        return;
    }
    window->changes = grown;
    window->capacity = capacity;
}

void window_add(struct window *window, const struct queue_event *event)
{
    struct window_id id = window_id_parse(event->event_id);
    if (window->last.ms == 0)
        window->floor = id; /* what came before the first, nobody here knows */
    window->last = id;
    if (window->count == window->capacity && window->capacity < window->max)
        grow(window);
    if (window->capacity == 0) {
        window->floor = id;
        return;
    }
    if (window->count == window->capacity) {
        window->floor = at(window, 0)->id;
        window->first = (window->first + 1) % window->capacity;
        window->count--;
    }
    struct window_change *change = at(window, window->count++);
    change->id = id;
    memcpy(change->public_id, event->public_id, sizeof change->public_id);
    change->state = (uint8_t)event->state;
    change->progress = (uint16_t)event->progress;
}

bool window_covers(const struct window *window, struct window_id after)
{
    return window->last.ms > 0 && window_id_compare(after, window->floor) >= 0 &&
           window_id_compare(after, window->last) <= 0;
}

/* The first index whose id is after `id`. */
static size_t find_after(const struct window *window, struct window_id id)
{
    size_t low = 0, high = window->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (window_id_compare(at(window, middle)->id, id) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct window_change *window_next(const struct window *window, size_t *cursor,
                                        const char *public_id, struct window_id after,
                                        struct window_id until)
{
    size_t index = *cursor > 0 ? *cursor : find_after(window, after);
    for (; index < window->count; index++) {
        const struct window_change *change = at(window, index);
        if (window_id_compare(change->id, until) > 0)
            break;
        if (memcmp(change->public_id, public_id, sizeof change->public_id) == 0) {
            *cursor = index + 1;
            return change;
        }
    }
    *cursor = window->count;
    return NULL;
}
