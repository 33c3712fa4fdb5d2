/* SPDX-License-Identifier: MIT
 *
 * Questions about the nodes of a pickle. */
#include "gpu/weights/pickle.h"

#include <stdio.h>
#include <string.h>

const struct pickle_node *pickle_global_of(const struct pickle_node *node)
{
    if (node && node->kind == PICKLE_OBJECT)
        node = node->object.callable;
    /* Older torch.save keeps classes as ('module', class, file, source). */
    if (node && node->kind == PICKLE_PERSISTENT &&
        pickle_is_text(pickle_at(node->persistent.id, 0), "module"))
        node = pickle_at(node->persistent.id, 1);
    return node && node->kind == PICKLE_GLOBAL ? node : NULL;
}

bool pickle_calls(const struct pickle_node *node, enum pickle_global id)
{
    const struct pickle_node *global = pickle_global_of(node);
    return global && node->kind == PICKLE_OBJECT && global->global.id == id;
}

bool pickle_is_kind(const struct pickle_node *node, enum pickle_kind kind)
{
    return node && node->kind == kind;
}

bool pickle_is_text(const struct pickle_node *node, const char *text)
{
    return node && node->kind == PICKLE_TEXT && node->bytes.size == strlen(text) &&
           memcmp(node->bytes.data, text, node->bytes.size) == 0;
}

bool pickle_to_int(const struct pickle_node *node, int64_t *out_value)
{
    if (!node || node->kind != PICKLE_INT)
        return false;
    *out_value = node->integer;
    return true;
}

const struct pickle_list *pickle_entries(const struct pickle_node *node)
{
    if (node && node->kind == PICKLE_DICT)
        return &node->list;
    if (pickle_calls(node, PICKLE_ORDERED_DICT) || pickle_calls(node, PICKLE_EASY_DICT))
        return &node->object.entries;
    return NULL;
}

const struct pickle_node *pickle_get(const struct pickle_node *node, const char *key)
{
    const struct pickle_list *entries = pickle_entries(node);
    for (size_t i = entries ? entries->count : 0; i >= 2; i -= 2)
        if (pickle_is_text(entries->item[i - 2], key))
            return entries->item[i - 1];
    return NULL;
}

const struct pickle_list *pickle_items(const struct pickle_node *node)
{
    return node && (node->kind == PICKLE_TUPLE || node->kind == PICKLE_LIST) ? &node->list : NULL;
}

const struct pickle_node *pickle_at(const struct pickle_node *node, size_t index)
{
    const struct pickle_list *items = pickle_items(node);
    return items && index < items->count ? items->item[index] : NULL;
}

const struct pickle_node *pickle_argument(const struct pickle_node *node, enum pickle_global id,
                                          size_t index)
{
    return pickle_calls(node, id) ? pickle_at(node->object.arguments, index) : NULL;
}

static size_t copy_printable(struct pickle_span span, char *out, size_t room)
{
    size_t count = span.size < room ? span.size : room;
    for (size_t i = 0; i < count; i++)
        out[i] = span.data[i] > ' ' && span.data[i] < 0x7f ? (char)span.data[i] : '?';
    return count;
}

const char *pickle_describe(const struct pickle_node *node, char out[PICKLE_DESCRIPTION_SIZE])
{
    static const char *const kinds[] = {
        [PICKLE_NONE] = "None",        [PICKLE_BOOL] = "a bool",
        [PICKLE_INT] = "an int",       [PICKLE_LONG] = "a very large int",
        [PICKLE_FLOAT] = "a float",    [PICKLE_TEXT] = "a text",
        [PICKLE_BYTES] = "bytes",      [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",      [PICKLE_DICT] = "a dict",
        [PICKLE_SET] = "a set",        [PICKLE_GLOBAL] = "a global",
        [PICKLE_OBJECT] = "an object", [PICKLE_PERSISTENT] = "a persistent id"};
    const struct pickle_node *global = pickle_global_of(node);
    size_t half = PICKLE_DESCRIPTION_SIZE / 2 - 1;
    if (!global) {
        snprintf(out, PICKLE_DESCRIPTION_SIZE, "%s", node ? kinds[node->kind] : "nothing");
        return out;
    }
    size_t used = copy_printable(global->global.module, out, half);
    out[used++] = '.';
    used += copy_printable(global->global.name, out + used, half);
    out[used] = 0;
    return out;
}
