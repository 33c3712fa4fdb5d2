// SPDX-License-Identifier: MIT
//
// Which bytes of shared memory were written in the usual way since the writer's last
// fence.proxy.async: the tensor cores of sm_90 may not see those. Stores that no function of ours
// makes are not noticed.
#ifndef DARKROOM_EMULATOR_SHARED_H
#define DARKROOM_EMULATOR_SHARED_H

#include <cstddef>

namespace emulator
{

bool shared_holds(const void *pointer);
// Faults where [pointer, bytes) is not inside shared memory or not aligned.
void shared_check(const void *pointer, size_t bytes, size_t alignment, const char *name);

void shared_reset();
void shared_written(const void *pointer, size_t bytes);
void shared_fenced(); // by the thread that runs
bool shared_is_fenced(const void *pointer);

} // namespace emulator

#endif
