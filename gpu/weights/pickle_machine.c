/* SPDX-License-Identifier: MIT */
#include "gpu/weights/pickle_machine.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

bool machine_fail(struct machine *m, int code, const char *what)
{
    m->rc =
        err_set(m->err, code, "pickle", "the pickle is not readable at byte %zu: %s", m->at, what);
    return false;
}

static bool no_memory(struct machine *m)
{
    m->rc = ERR_NOMEM;
    return false;
}

/* --- memory --- */

void *machine_alloc(struct machine *m, size_t bytes)
{
    struct pickle *p = m->pickle;
    bytes = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (bytes > p->room - p->used) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (bytes > PICKLE_MAX_BYTES || room > PICKLE_MAX_BYTES - p->bytes) {
            machine_fail(m, ERR_LIMIT, "it needs more memory than a pickle of weights may");
            return NULL;
        }
        struct chunk *chunk = malloc(sizeof *chunk + room);
        if (!chunk) {
            no_memory(m);
            return NULL;
        }
        chunk->next = p->chunks;
        p->chunks = chunk;
        p->used = 0;
        p->room = room;
        p->bytes += room;
    }
    void *memory = (unsigned char *)p->chunks->memory + p->used;
    p->used += bytes;
    return memory;
}

struct pickle_node *machine_new(struct machine *m, enum pickle_kind kind)
{
    if (m->pickle->nodes == PICKLE_MAX_NODES) {
        machine_fail(m, ERR_LIMIT, "it has more than a million nodes");
        return NULL;
    }
    struct pickle_node *node = machine_alloc(m, sizeof *node);
    if (node) {
        *node = (struct pickle_node){.kind = kind};
        m->pickle->nodes++;
    }
    return node;
}

bool machine_grow(struct machine *m, void *array, size_t *room, size_t need, size_t item)
{
    void **owned = array;
    if (need <= *room)
        return true;
    size_t wanted = need > 2 * *room ? need : 2 * *room;
    wanted = wanted < 64 ? 64 : wanted;
    void *larger = realloc(*owned, wanted * item);
    if (!larger)
        return no_memory(m);
    *owned = larger;
    *room = wanted;
    return true;
}

bool machine_push(struct machine *m, struct pickle_node *node)
{
    if (!node)
        return false;
    if (m->depth == PICKLE_MAX_STACK)
        return machine_fail(m, ERR_LIMIT, "its stack has more than a million places");
    if (!machine_grow(m, &m->stack, &m->stack_room, m->depth + 1, sizeof *m->stack))
        return false;
    m->stack[m->depth++] = node;
    return true;
}

struct pickle_node *machine_pop(struct machine *m)
{
    size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    if (m->depth == floor) {
        machine_fail(m, ERR_CORRUPT, "it takes from an empty stack");
        return NULL;
    }
    return m->stack[--m->depth];
}

bool machine_pop_mark(struct machine *m, size_t *out_count)
{
    if (m->mark_count == 0)
        return machine_fail(m, ERR_CORRUPT, "it has no mark to go back to");
    size_t mark = m->marks[--m->mark_count];
    *out_count = m->depth - mark;
    m->depth = mark;
    return true;
}

bool machine_append(struct machine *m, struct pickle_list *list, struct pickle_node **items,
                    size_t count)
{
    if (count > list->room - list->count) {
        size_t room = list->count + count > 2 * list->room ? list->count + count : 2 * list->room;
        struct pickle_node **larger = machine_alloc(m, room * sizeof(struct pickle_node *));
        if (!larger)
            return false;
        if (list->count)
            memcpy(larger, list->item, list->count * sizeof(struct pickle_node *));
        list->item = larger;
        list->room = room;
    }
    if (count)
        memcpy(list->item + list->count, items, count * sizeof(struct pickle_node *));
    list->count += count;
    return true;
}

struct pickle_node *machine_top(struct machine *m)
{
    struct pickle_node *node = machine_pop(m);
    if (node)
        m->depth++;
    return node;
}

/* --- bytes of the input --- */

const unsigned char *machine_take(struct machine *m, uint64_t count)
{
    if (count > m->size - m->at) {
        machine_fail(m, ERR_CORRUPT, "it is cut off");
        return NULL;
    }
    const unsigned char *bytes = m->data + m->at;
    m->at += (size_t)count;
    return bytes;
}

bool machine_take_number(struct machine *m, int width, uint64_t *out_value)
{
    const unsigned char *bytes = machine_take(m, (uint64_t)width);
    *out_value = 0;
    for (int i = width - 1; bytes && i >= 0; i--)
        *out_value = *out_value << 8 | bytes[i];
    return bytes != NULL;
}

bool machine_take_span(struct machine *m, int width, struct pickle_span *out_span)
{
    uint64_t length;
    if (!machine_take_number(m, width, &length))
        return false;
    out_span->data = machine_take(m, length);
    out_span->size = (size_t)length;
    return out_span->data != NULL;
}

bool machine_take_line(struct machine *m, struct pickle_span *out_span)
{
    const unsigned char *start = m->data + m->at;
    size_t left = m->size - m->at, most = left < PICKLE_MAX_LINE ? left : PICKLE_MAX_LINE;
    const unsigned char *end = most ? memchr(start, '\n', most) : NULL;
    if (!end && left > most)
        return machine_fail(m, ERR_LIMIT, "a global's name has no end");
    if (!end)
        return machine_fail(m, ERR_CORRUPT, "it is cut off");
    *out_span = (struct pickle_span){start, (size_t)(end - start)};
    m->at += out_span->size + 1;
    return true;
}
