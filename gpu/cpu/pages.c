/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define SMALL_PAGE ((size_t)4096)

static size_t whole(size_t bytes, size_t page)
{
    return (bytes + page - 1) / page * page;
}

void *pages_allocate(size_t bytes)
{
    const size_t size = whole(bytes + 1, SMALL_PAGE);
    /* Room to begin at a huge page's border; what lies before and behind is given back. */
    char *all =
        mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return NULL;
    char *memory = (char *)(uintptr_t)whole((uintptr_t)all, HUGE_PAGE);
    if (memory > all)
        munmap(all, (size_t)(memory - all));
    munmap(memory + size, (size_t)(all + size + HUGE_PAGE - (memory + size)));
    /* Not the rest: it would take a whole one. */
    madvise(memory, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return memory;
}

void pages_free(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, whole(bytes + 1, SMALL_PAGE));
}
