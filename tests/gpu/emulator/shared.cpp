// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/shared.h"
#include "tests/gpu/emulator/block.h"

#include <cstdint>
#include <vector>

namespace emulator
{

namespace
{

const size_t GRANULE = 16;

std::vector<bool> unfenced;               // by granule
std::vector<std::vector<size_t>> written; // by thread: granules

} // namespace

bool shared_holds(const void *pointer)
{
    const char *p = (const char *)pointer;
    return p >= block_shared() && p < block_shared() + block_shared_bytes();
}

void shared_check(const void *pointer, size_t bytes, size_t alignment, const char *name)
{
    if (!shared_holds(pointer) || !shared_holds((const char *)pointer + bytes - 1))
        kernel_fault("%s: %zu bytes at %p are not in the block's shared memory", name, bytes,
                     pointer);
    if ((uintptr_t)pointer % alignment)
        kernel_fault("%s: shared address %zu is not aligned to %zu bytes", name,
                     (size_t)((const char *)pointer - block_shared()), alignment);
}

void shared_reset()
{
    unfenced.assign(block_shared_bytes() / GRANULE, false);
    written.assign(MAX_THREADS, {});
}

void shared_written(const void *pointer, size_t bytes)
{
    const size_t first = (size_t)((const char *)pointer - block_shared()) / GRANULE;
    for (size_t g = first; g < first + bytes / GRANULE; g++) {
        unfenced[g] = true;
        written[(size_t)running->number].push_back(g);
    }
}

void shared_fenced()
{
    for (size_t g : written[(size_t)running->number])
        unfenced[g] = false;
    written[(size_t)running->number].clear();
}

bool shared_is_fenced(const void *pointer)
{
    return !unfenced[(size_t)((const char *)pointer - block_shared()) / GRANULE];
}

} // namespace emulator
