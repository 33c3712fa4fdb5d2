/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "common/err.h"
#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

static void what_is_free_is_part_of_what_is_there(void)
{
    uint64_t total = 0, unused = 0;
    struct err err = {0};
    CHECK_INT(memory_of_machine(&total, &unused, &err), 0);
    CHECK(total > 64u << 20);
    CHECK(unused > 0 && unused <= total);
}

#if !defined __SANITIZE_ADDRESS__ /* whose allocator is another */
/* Of a size that the C library would keep once it has seen a larger one freed. */
static void large_blocks_go_back_when_they_are_freed(void)
{
    const size_t size = 24u << 20;
    memory_keep_tidy();
    free(malloc(30u << 20));
    uint64_t before = memory_resident();
    char *block = malloc(size);
    CHECK(block != NULL);
    memset(block, 1, size);
    CHECK(memory_resident() >= before + size / 2);
    free(block);
    CHECK(memory_resident() <= before + (2u << 20));
}

static void small_blocks_go_back_when_asked(void)
{
    enum { COUNT = 20000 };
    static char *blocks[COUNT];
    memory_keep_tidy();
    uint64_t before = memory_resident();
    for (int i = 0; i < COUNT; i++)
        if ((blocks[i] = malloc(1000)))
            memset(blocks[i], 1, 1000);
    CHECK(memory_resident() >= before + (10u << 20));
    void *last = malloc(1000); /* on top of the heap, so that the end alone cannot be cut off */
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    memory_give_back();
    CHECK(memory_resident() <= before + (2u << 20));
    free(last);
}
#endif

int main(void)
{
    RUN(what_is_free_is_part_of_what_is_there);
#if !defined __SANITIZE_ADDRESS__
    RUN(large_blocks_go_back_when_they_are_freed);
    RUN(small_blocks_go_back_when_asked);
#endif
    return check_report();
}
