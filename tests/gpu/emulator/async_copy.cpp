// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/block.h"
#include "tests/gpu/emulator/shared.h"
#include "tests/gpu/emulator/tensor_core.h"

#include <cstring>

namespace emulator
{

const size_t COPY_BYTES = 16;

namespace
{

void land(const pending_copy &copy)
{
    if (copy.valid) {
        memcpy(copy.to, copy.from, COPY_BYTES);
    } else {
        memset(copy.to, 0, COPY_BYTES);
    }
    shared_written(copy.to, COPY_BYTES);
}

} // namespace

void async_copy(void *to, const void *from, bool valid, bool at_once)
{
    shared_check(to, COPY_BYTES, COPY_BYTES, "cp.async");
    if (valid && (uintptr_t)from % COPY_BYTES)
        kernel_fault("cp.async from %p, which is not aligned to 16 bytes", from);
    if (valid && shared_holds(from))
        kernel_fault("cp.async from shared memory");
    const pending_copy copy = {(char *)to, (const char *)from, valid};
    if (at_once) {
        land(copy);
        return;
    }
    memset(to, 0xff, COPY_BYTES);
    running->groups.back().push_back(copy);
}

void async_commit()
{
    running->groups.emplace_back();
}

void async_wait(int groups_left)
{
    auto &groups = running->groups;
    while ((int)groups.size() - 1 > groups_left) {
        for (const pending_copy &copy : groups.front())
            land(copy);
        groups.erase(groups.begin());
    }
}

} // namespace emulator
