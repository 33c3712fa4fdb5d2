/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a pickle: what is read can be walked within limits, and lies inside the input. */
#include "common/err.h"
#include "gpu/weights/pickle.h"

#include "tests/fuzz/target.h"

struct walk {
    const uint8_t *data;
    size_t size, steps;
};

static void check_span(const struct walk *walk, const struct pickle_span *span)
{
    fuzz_check(span->data >= walk->data && span->size <= walk->size &&
               span->data <= walk->data + (walk->size - span->size));
}

static void visit(struct walk *walk, const struct pickle_node *node, int depth)
{
    char what[PICKLE_DESCRIPTION_SIZE];
    const struct pickle_list *lists[] = {pickle_items(node), pickle_entries(node)};
    fuzz_check(pickle_describe(node, what)[0]);
    if (node->kind == PICKLE_TEXT || node->kind == PICKLE_BYTES || node->kind == PICKLE_LONG)
        check_span(walk, &node->bytes);
    if (depth == 64 || ++walk->steps > 4096)
        return;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; lists[k] && i < lists[k]->count && walk->steps < 4096; i++)
            visit(walk, lists[k]->item[i], depth + 1);
    if (node->kind == PICKLE_OBJECT) {
        visit(walk, node->object.arguments, depth + 1);
        if (node->object.state)
            visit(walk, node->object.state, depth + 1);
    }
    (void)pickle_get(node, "state");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pickle *pickle = NULL;
    const struct pickle_node *root = NULL;
    struct err err = {0};
    size_t used = 0;
    fuzz_check(pickle_create(&pickle) == 0);
    int rc = pickle_read(pickle, data, size, &used, &root, &err);
    fuzz_check(rc == 0 ? root && used <= size : !root && err.text[0]);
    if (root)
        visit(&(struct walk){.data = data, .size = size}, root, 0);
    pickle_destroy(&pickle);
    return 0;
}
