/* SPDX-License-Identifier: MIT */
#include "gpu/weights/pickle.h"

#include "common/err.h"
#include "gpu/weights/pickle_machine.h"

#include <assert.h>
#include <stdlib.h>

static void run(struct machine *m)
{
    if (m->size == 0 || m->data[0] != 0x80) {
        machine_fail(m, ERR_UNSUPPORTED, "it is of protocol 0 or 1, or no pickle at all");
        return;
    }
    /* From the start, so that an offset into the empty stack is one into memory. */
    if (!machine_grow(m, &m->stack, &m->stack_room, 1, sizeof *m->stack))
        return;
    while (!m->root) {
        const unsigned char *opcode = machine_take(m, 1);
        if (!opcode)
            return;
        /* Not every opcode makes a node, and a stream within a pickle may be read for many tensors.
         */
        if (m->pickle->steps++ == PICKLE_MAX_STEPS) {
            machine_fail(m, ERR_LIMIT, "it has more than eight million opcodes");
            return;
        }
        const struct pickle_operation *operation = &pickle_operations[*opcode];
        if (!operation->run) {
            m->at--;
            machine_fail(m, ERR_UNSUPPORTED, "an opcode that protocols 2 to 5 do not need");
            return;
        }
        if (!operation->run(m, operation->argument))
            return;
    }
}

int pickle_read(struct pickle *pickle, const void *data, size_t size, size_t *out_used,
                const struct pickle_node **out_root, struct err *err)
{
    struct machine m = {.pickle = pickle, .data = data, .size = size, .err = err};
    run(&m);
    assert(!m.root == (m.rc < 0));
    free(m.stack);
    free(m.marks);
    free(m.memo);
    if (m.root) {
        *out_used = m.at;
        *out_root = m.root;
    }
    return m.rc;
}

int pickle_create(struct pickle **out_pickle)
{
    struct pickle *pickle = calloc(1, sizeof *pickle);
    if (!pickle)
        return ERR_NOMEM;
    *out_pickle = pickle;
    return 0;
}

void pickle_destroy(struct pickle **pickle)
{
    struct chunk *next = *pickle ? (*pickle)->chunks : NULL;
    while (next) {
        struct chunk *chunk = next;
        next = chunk->next;
        free(chunk);
    }
    free(*pickle);
    *pickle = NULL;
}

const struct pickle_node *pickle_last_persistent(const struct pickle *pickle)
{
    return pickle->last_persistent;
}
