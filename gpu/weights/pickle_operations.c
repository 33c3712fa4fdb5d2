/* SPDX-License-Identifier: MIT
 *
 * What each opcode of a pickle does to the stack of nodes. One function for each kind of opcode;
 * its `argument` is from the table at the end. */
#include "gpu/weights/pickle_machine.h"

#include "common/err.h"

#include <string.h>

static bool op_proto(struct machine *m, int argument)
{
    uint64_t version;
    (void)argument;
    if (!machine_take_number(m, 1, &version))
        return false;
    if (version < 2 || version > 5)
        return machine_fail(m, ERR_UNSUPPORTED, "protocols 2 to 5 are read, and it says another");
    return true;
}

/* Only a hint for readers of streams; the whole input is here. */
static bool op_frame(struct machine *m, int argument)
{
    uint64_t length;
    if (!machine_take_number(m, argument, &length))
        return false;
    return length <= m->size - m->at ||
           machine_fail(m, ERR_CORRUPT, "it is cut off within a frame");
}

static bool op_none(struct machine *m, int argument)
{
    (void)argument;
    return machine_push(m, machine_new(m, PICKLE_NONE));
}

static bool op_bool(struct machine *m, int argument)
{
    struct pickle_node *node = machine_new(m, PICKLE_BOOL);
    if (node)
        node->boolean = argument;
    return machine_push(m, node);
}

/* 1 and 2 bytes are unsigned, 4 are signed. */
static bool op_int(struct machine *m, int width)
{
    uint64_t value;
    if (!machine_take_number(m, width, &value))
        return false;
    struct pickle_node *node = machine_new(m, PICKLE_INT);
    if (node)
        node->integer = width == 4 ? (int32_t)(uint32_t)value : (int64_t)value;
    return machine_push(m, node);
}

static bool op_long(struct machine *m, int width)
{
    struct pickle_span span;
    if (!machine_take_span(m, width, &span))
        return false;
    struct pickle_node *node = machine_new(m, span.size > 8 ? PICKLE_LONG : PICKLE_INT);
    if (!node)
        return false;
    if (node->kind == PICKLE_LONG) {
        node->bytes = span;
    } else {
        uint64_t value = span.size && span.data[span.size - 1] >> 7 ? UINT64_MAX : 0;
        for (size_t i = span.size; i-- > 0;)
            value = value << 8 | span.data[i];
        memcpy(&node->integer, &value, sizeof value);
    }
    return machine_push(m, node);
}

/* Big endian, unlike everything else here. */
static bool op_float(struct machine *m, int width)
{
    const unsigned char *bytes = machine_take(m, (uint64_t)width);
    struct pickle_node *node = bytes ? machine_new(m, PICKLE_FLOAT) : NULL;
    if (!node)
        return false;
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value = value << 8 | bytes[i];
    memcpy(&node->real, &value, sizeof value);
    return machine_push(m, node);
}

static bool read_string(struct machine *m, enum pickle_kind kind, int width)
{
    struct pickle_span span;
    if (!machine_take_span(m, width, &span))
        return false;
    struct pickle_node *node = machine_new(m, kind);
    if (node)
        node->bytes = span;
    return machine_push(m, node);
}

static bool op_text(struct machine *m, int width)
{
    return read_string(m, PICKLE_TEXT, width);
}

static bool op_bytes(struct machine *m, int width)
{
    return read_string(m, PICKLE_BYTES, width);
}

static bool op_empty(struct machine *m, int kind)
{
    return machine_push(m, machine_new(m, (enum pickle_kind)kind));
}

static bool op_tuple(struct machine *m, int count)
{
    struct pickle_node *items[3] = {NULL};
    for (int i = count - 1; i >= 0; i--)
        if (!(items[i] = machine_pop(m)))
            return false;
    struct pickle_node *node = machine_new(m, PICKLE_TUPLE);
    return node && machine_append(m, &node->list, items, (size_t)count) && machine_push(m, node);
}

/* A container of everything above the mark. */
static bool op_collect(struct machine *m, int kind)
{
    size_t count;
    if (!machine_pop_mark(m, &count))
        return false;
    if (kind == PICKLE_DICT && count % 2)
        return machine_fail(m, ERR_CORRUPT, "a dict's last key has no value");
    struct pickle_node *node = machine_new(m, (enum pickle_kind)kind);
    return node && machine_append(m, &node->list, m->stack + m->depth, count) &&
           machine_push(m, node);
}

/* The items of APPENDS, SETITEMS and ADDITEMS, or the `single` last ones: m->stack[m->depth] on. */
static bool take_items(struct machine *m, int single, size_t *out_count)
{
    *out_count = (size_t)single;
    if (single == 0)
        return machine_pop_mark(m, out_count);
    for (int i = 0; i < single; i++)
        if (!machine_pop(m))
            return false;
    return true;
}

/* What is appended to an object is dropped: no class that anybody here reads is a container. */
static bool append_taken(struct machine *m, size_t count, enum pickle_kind kind, const char *wrong)
{
    struct pickle_node **items = m->stack + m->depth, *node = machine_top(m);
    if (!node)
        return false;
    if (node->kind == PICKLE_OBJECT)
        return true;
    if (node->kind != kind)
        return machine_fail(m, ERR_CORRUPT, wrong);
    return machine_append(m, &node->list, items, count);
}

static bool op_append(struct machine *m, int single)
{
    size_t count;
    return take_items(m, single, &count) &&
           append_taken(m, count, PICKLE_LIST, "it appends to what is no list");
}

static bool op_set_item(struct machine *m, int single)
{
    size_t count;
    if (!take_items(m, single, &count))
        return false;
    if (count % 2)
        return machine_fail(m, ERR_CORRUPT, "a dict's last key has no value");
    struct pickle_node **items = m->stack + m->depth, *node = machine_top(m);
    if (!node)
        return false;
    if (node->kind != PICKLE_DICT && node->kind != PICKLE_OBJECT)
        return machine_fail(m, ERR_CORRUPT, "it sets items of what is no dict");
    return machine_append(m, node->kind == PICKLE_DICT ? &node->list : &node->object.entries, items,
                          count);
}

static bool op_add_items(struct machine *m, int argument)
{
    size_t count;
    (void)argument;
    return machine_pop_mark(m, &count) &&
           append_taken(m, count, PICKLE_SET, "it adds to what is no set");
}

static bool op_mark(struct machine *m, int argument)
{
    (void)argument;
    if (m->mark_count == PICKLE_MAX_DEPTH)
        return machine_fail(m, ERR_LIMIT, "it is nested too deep");
    if (!machine_grow(m, &m->marks, &m->mark_room, m->mark_count + 1, sizeof *m->marks))
        return false;
    m->marks[m->mark_count++] = m->depth;
    return true;
}

/* Takes a mark away where one is on top, as Python's own machine does. */
static bool op_pop(struct machine *m, int argument)
{
    (void)argument;
    if (m->mark_count && m->marks[m->mark_count - 1] == m->depth) {
        m->mark_count--;
        return true;
    }
    return machine_pop(m) != NULL;
}

static bool op_pop_mark(struct machine *m, int argument)
{
    size_t count;
    (void)argument;
    return machine_pop_mark(m, &count);
}

static bool op_dup(struct machine *m, int argument)
{
    (void)argument;
    return machine_push(m, machine_top(m));
}

static bool memo_put(struct machine *m, uint64_t index)
{
    struct pickle_node *node = machine_top(m);
    if (!node)
        return false;
    /* Python counts from 0 or 1 upwards: a great number early on only wants memory. */
    if (index >= PICKLE_MAX_MEMO || index > m->at)
        return machine_fail(m, ERR_LIMIT, "it remembers a node under too great a number");
    if (!machine_grow(m, &m->memo, &m->memo_room, (size_t)index + 1, sizeof *m->memo))
        return false;
    while (m->memo_count <= index)
        m->memo[m->memo_count++] = NULL;
    m->memo_next += !m->memo[index]; /* MEMOIZE counts what is there, as Python's memo does */
    m->memo[index] = node;
    return true;
}

static bool op_put(struct machine *m, int width)
{
    uint64_t index;
    return machine_take_number(m, width, &index) && memo_put(m, index);
}

static bool op_memoize(struct machine *m, int argument)
{
    (void)argument;
    return memo_put(m, m->memo_next);
}

static bool op_get(struct machine *m, int width)
{
    uint64_t index;
    if (!machine_take_number(m, width, &index))
        return false;
    if (index >= m->memo_count || !m->memo[index])
        return machine_fail(m, ERR_CORRUPT, "it asks for what it never remembered");
    return machine_push(m, m->memo[index]);
}

static bool push_global(struct machine *m, struct pickle_span module, struct pickle_span name)
{
    struct pickle_node *node = machine_new(m, PICKLE_GLOBAL);
    if (!node)
        return false;
    node->global.module = module;
    node->global.name = name;
    pickle_allow(node);
    return machine_push(m, node);
}

static bool op_global(struct machine *m, int argument)
{
    struct pickle_span module, name;
    (void)argument;
    return machine_take_line(m, &module) && machine_take_line(m, &name) &&
           push_global(m, module, name);
}

static bool op_stack_global(struct machine *m, int argument)
{
    struct pickle_node *name = machine_pop(m), *module = name ? machine_pop(m) : NULL;
    (void)argument;
    if (!module)
        return false;
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
        return machine_fail(m, ERR_CORRUPT, "a global's name is no text");
    return push_global(m, module->bytes, name->bytes);
}

/* A number that a registry of the program which wrote the file gives to a global. */
static bool op_extension(struct machine *m, int width)
{
    static const char registry[] = "copyreg", name[] = "extension";
    uint64_t code;
    return machine_take_number(m, width, &code) &&
           push_global(m,
                       (struct pickle_span){(const unsigned char *)registry, sizeof registry - 1},
                       (struct pickle_span){(const unsigned char *)name, sizeof name - 1});
}

/* OrderedDict([[key, value], …]), as Python 2 writes it. */
static bool add_pairs(struct machine *m, struct pickle_node *object)
{
    const struct pickle_list *pairs = pickle_items(pickle_at(object->object.arguments, 0));
    for (size_t i = 0; pairs && i < pairs->count; i++) {
        const struct pickle_list *pair = pickle_items(pairs->item[i]);
        if (!pair || pair->count != 2)
            return machine_fail(m, ERR_CORRUPT, "an OrderedDict is made of what are no pairs");
        if (!machine_append(m, &object->object.entries, pair->item, 2))
            return false;
    }
    return true;
}

/* REDUCE and NEWOBJ take two from the stack, NEWOBJ_EX three (the names of arguments are dropped).
 */
static bool op_call(struct machine *m, int count)
{
    struct pickle_node *node;
    if (count == 3 && !machine_pop(m))
        return false;
    struct pickle_node *arguments = machine_pop(m), *callable = arguments ? machine_pop(m) : NULL;
    if (!callable)
        return false;
    if (arguments->kind != PICKLE_TUPLE)
        return machine_fail(m, ERR_CORRUPT, "it calls with what is no tuple");
    if (!(node = machine_new(m, PICKLE_OBJECT)))
        return false;
    node->object.callable = callable;
    node->object.arguments = arguments;
    if (pickle_calls(node, PICKLE_ORDERED_DICT) && !add_pairs(m, node))
        return false;
    return machine_push(m, node);
}

static bool op_build(struct machine *m, int argument)
{
    struct pickle_node *state = machine_pop(m), *node = state ? machine_top(m) : NULL;
    (void)argument;
    if (!node)
        return false;
    if (node->kind != PICKLE_OBJECT)
        return machine_fail(m, ERR_CORRUPT, "it gives a state to what is no object");
    node->object.state = state;
    return true;
}

static bool op_persistent(struct machine *m, int argument)
{
    struct pickle_node *id = machine_pop(m), *node = id ? machine_new(m, PICKLE_PERSISTENT) : NULL;
    (void)argument;
    if (!node)
        return false;
    node->persistent.id = id;
    node->persistent.previous = m->pickle->last_persistent;
    m->pickle->last_persistent = node;
    return machine_push(m, node);
}

static bool op_stop(struct machine *m, int argument)
{
    (void)argument;
    m->root = machine_pop(m);
    return m->root != NULL;
}

static bool op_buffer(struct machine *m, int argument)
{
    (void)argument;
    return machine_fail(m, ERR_UNSUPPORTED, "its data lies in buffers outside the file");
}

/* In the order of PEP 307 (protocol 2), 3154 (4) and 574 (5); opcodes of protocols 0 and 1 where
 * Python's writers of 2 and above still use them. */
const struct pickle_operation pickle_operations[256] = {
    [0x80] = {op_proto, 0},
    [0x95] = {op_frame, 8},
    ['.'] = {op_stop, 0},
    ['N'] = {op_none, 0},
    [0x88] = {op_bool, 1},
    [0x89] = {op_bool, 0},
    ['J'] = {op_int, 4},
    ['K'] = {op_int, 1},
    ['M'] = {op_int, 2},
    [0x8a] = {op_long, 1},
    [0x8b] = {op_long, 4},
    ['G'] = {op_float, 8},
    ['U'] = {op_text, 1}, /* Python 2's str */
    ['T'] = {op_text, 4},
    [0x8c] = {op_text, 1},
    ['X'] = {op_text, 4},
    [0x8d] = {op_text, 8},
    ['C'] = {op_bytes, 1},
    ['B'] = {op_bytes, 4},
    [0x8e] = {op_bytes, 8},
    [0x96] = {op_bytes, 8}, /* bytearray */
    [')'] = {op_empty, PICKLE_TUPLE},
    [']'] = {op_empty, PICKLE_LIST},
    ['}'] = {op_empty, PICKLE_DICT},
    [0x8f] = {op_empty, PICKLE_SET},
    [0x85] = {op_tuple, 1},
    [0x86] = {op_tuple, 2},
    [0x87] = {op_tuple, 3},
    ['t'] = {op_collect, PICKLE_TUPLE},
    ['l'] = {op_collect, PICKLE_LIST},
    ['d'] = {op_collect, PICKLE_DICT},
    [0x91] = {op_collect, PICKLE_SET}, /* frozenset */
    ['a'] = {op_append, 1},
    ['e'] = {op_append, 0},
    ['s'] = {op_set_item, 2},
    ['u'] = {op_set_item, 0},
    [0x90] = {op_add_items, 0},
    ['('] = {op_mark, 0},
    ['0'] = {op_pop, 0},
    ['1'] = {op_pop_mark, 0},
    ['2'] = {op_dup, 0},
    ['q'] = {op_put, 1},
    ['r'] = {op_put, 4},
    [0x94] = {op_memoize, 0},
    ['h'] = {op_get, 1},
    ['j'] = {op_get, 4},
    ['c'] = {op_global, 0},
    [0x93] = {op_stack_global, 0},
    [0x82] = {op_extension, 1},
    [0x83] = {op_extension, 2},
    [0x84] = {op_extension, 4},
    ['R'] = {op_call, 2},
    [0x81] = {op_call, 2},
    [0x92] = {op_call, 3},
    ['b'] = {op_build, 0},
    ['Q'] = {op_persistent, 0},
    [0x97] = {op_buffer, 0},
    [0x98] = {op_buffer, 0},
};
