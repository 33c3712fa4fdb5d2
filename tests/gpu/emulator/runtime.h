// SPDX-License-Identifier: MIT
//
// Inside the emulated runtime: its lock, its errors, the work of streams.
//
// Work is put into streams and done when somebody waits for it, in an order that events allow and
// the seed chooses: as late as possible, in turn with other streams, or at once.
#ifndef DARKROOM_EMULATOR_RUNTIME_H
#define DARKROOM_EMULATOR_RUNTIME_H

#include "tests/gpu/emulator/block.h"

#include <cuda_runtime_api.h>
#include <functional>
#include <mutex>

namespace emulator
{

// Every function of cuda_runtime_api.h holds it.
std::unique_lock<std::recursive_mutex> lock();

// Remembers an error as cudaGetLastError() does, and gives it back.
cudaError_t result(cudaError_t error);
// What a call that may fail has to ask first: the sticky error, or the failure that a test ordered.
cudaError_t may_fail(bool allocates);
// A kernel or a copy broke: from here on nothing works.
bool is_broken();

// Of the device that is emulated.
extern int capability;
int shared_limit();

// Memory.
bool is_device(const void *pointer, size_t bytes); // all in one allocation of the device
bool is_pinned(const void *pointer, size_t bytes);
bool touches_device(const void *pointer); // anywhere in the device's addresses
void memory_open(bool open);              // to whoever runs now: only kernels and copies may
void memory_reset(size_t bytes);
int memory_objects();
size_t memory_bytes();
size_t memory_peak();
cudaError_t copy_check(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind);

// Streams.
typedef std::function<void()> work;
cudaError_t enqueue(cudaStream_t stream, const work &w);
// Is a graph recorded now, so that the calling thread may not do what cannot be recorded?
bool capture_forbids();
void streams_reset(uint64_t seed);
int streams_objects();

// `arch`: what the kernel was compiled for.
cudaError_t launch_kernel(int arch, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          const std::function<void()> &body);

} // namespace emulator

#endif
