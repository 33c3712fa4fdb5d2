/* SPDX-License-Identifier: MIT
 *
 * The stack machine inside pickle_read(): memory, stack, marks, and the bytes still to read.
 * Internal to pickle*.c. Every function that fails has set `rc`, and `err` for all but ERR_NOMEM,
 * and gives false or NULL. One thread. */
#ifndef DARKROOM_GPU_WEIGHTS_PICKLE_MACHINE_H
#define DARKROOM_GPU_WEIGHTS_PICKLE_MACHINE_H

#include "gpu/weights/pickle.h"

struct chunk {
    struct chunk *next;
    max_align_t memory[];
};

struct pickle {
    struct chunk *chunks; /* owned; the first is the one that is filled */
    size_t used, room;    /* of that one */
    size_t bytes;         /* of all */
    size_t nodes, steps;
    struct pickle_node *last_persistent;
};

/* While one pickle is read. */
struct machine {
    struct pickle *pickle;
    const unsigned char *data;
    size_t size, at;
    struct pickle_node **stack; /* owned */
    size_t depth, stack_room;
    size_t *marks; /* owned; depths of the stack */
    size_t mark_count, mark_room;
    struct pickle_node **memo; /* owned; NULL where nothing was put */
    size_t memo_count, memo_room, memo_next;
    struct pickle_node *root; /* once STOP was met */
    int rc;
    struct err *err;
};

bool machine_fail(struct machine *m, int code, const char *what);

/* From the pickle's arena; not cleared. */
void *machine_alloc(struct machine *m, size_t bytes);
struct pickle_node *machine_new(struct machine *m, enum pickle_kind kind);
/* Makes one of the machine's own arrays (`array`: its address) hold `need` items. */
bool machine_grow(struct machine *m, void *array, size_t *room, size_t need, size_t item);
bool machine_append(struct machine *m, struct pickle_list *list, struct pickle_node **items,
                    size_t count);

bool machine_push(struct machine *m, struct pickle_node *node); /* false for NULL */
/* The topmost node above the last mark, taken away or left there. */
struct pickle_node *machine_pop(struct machine *m);
struct pickle_node *machine_top(struct machine *m);
/* Puts the stack back to the last mark; what stood above is m->stack[m->depth] on. */
bool machine_pop_mark(struct machine *m, size_t *out_count);

const unsigned char *machine_take(struct machine *m, uint64_t count);
/* An unsigned number of `width` bytes, lowest first. */
bool machine_take_number(struct machine *m, int width, uint64_t *out_value);
/* A length of `width` bytes and so many bytes. */
bool machine_take_span(struct machine *m, int width, struct pickle_span *out_span);
bool machine_take_line(struct machine *m, struct pickle_span *out_span);

/* What each opcode does; `run` is NULL where no protocol from 2 to 5 has it. */
struct pickle_operation {
    bool (*run)(struct machine *m, int argument);
    int argument;
};
extern const struct pickle_operation pickle_operations[256];

#endif
