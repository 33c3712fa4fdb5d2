// SPDX-License-Identifier: MIT
//
// The device, its errors, and the tests' handle on them.
#include "tests/gpu/emulator/runtime.h"
#include "tests/gpu/emulator/emulator.h"

#include <cstdio>

namespace emulator
{

int capability;

namespace
{

cudaError_t last_error;
long calls, launches;
int fail_in, fail_allocation_in; // calls from now; 0: never
bool failed_for_good;

} // namespace

std::unique_lock<std::recursive_mutex> lock()
{
    static std::recursive_mutex mutex;
    return std::unique_lock<std::recursive_mutex>(mutex);
}

bool is_broken()
{
    return failed_for_good || fault_text()[0] != '\0';
}

cudaError_t result(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

cudaError_t may_fail(bool allocates)
{
    calls++;
    const bool now = fail_in > 0 && --fail_in == 0;
    const bool memory = allocates && fail_allocation_in > 0 && --fail_allocation_in == 0;
    if (is_broken())
        return fault_text()[0] ? cudaErrorIllegalAddress : cudaErrorLaunchFailure;
    if (allocates && (now || memory))
        return cudaErrorMemoryAllocation;
    failed_for_good = now;
    return now ? cudaErrorLaunchFailure : cudaSuccess;
}

// What a block may have at most, in bytes (CUDA C++ Programming Guide, technical specifications).
int shared_limit()
{
    static const struct {
        int capability, kilobytes;
    } limits[] = {{75, 64}, {80, 163}, {86, 99}, {87, 163}, {89, 99}, {90, 227}};
    for (const auto &l : limits)
        if (l.capability == capability)
            return l.kilobytes * 1024;
    return 48 * 1024;
}

cudaError_t launch_kernel(int arch, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          const std::function<void()> &body)
{
    auto guard = lock();
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (threads == 0 || threads > MAX_THREADS || grid.x == 0 || grid.x > 0x7fffffff ||
        grid.y == 0 || grid.y > 65535 || grid.z == 0 || grid.z > 65535 ||
        shared_bytes > (size_t)shared_limit())
        return result(cudaErrorInvalidConfiguration);
    if (capability < arch / 10)
        return result(cudaErrorNoKernelImageForDevice);
    cudaError_t status = may_fail(false);
    if (status != cudaSuccess)
        return result(status);
    return result(enqueue(stream, [=] {
        launches++;
        grid_run(grid, block, shared_bytes, body);
    }));
}

} // namespace emulator

using namespace emulator;

void emulator_reset_as(int value, uint64_t seed)
{
    auto guard = lock();
    fault_forget();
    failed_for_good = false;
    last_error = cudaSuccess;
    calls = launches = 0;
    fail_in = fail_allocation_in = 0;
    capability = value;
    dice_seed(seed);
    memory_reset((size_t)16 << 30);
    streams_reset(seed);
}

const char *emulator_fault(void)
{
    auto guard = lock();
    return fault_text();
}

void emulator_set_capability(int value)
{
    auto guard = lock();
    capability = value;
}

void emulator_set_memory(size_t bytes)
{
    auto guard = lock();
    memory_reset(bytes);
}

int emulator_live_objects(void)
{
    auto guard = lock();
    return memory_objects() + streams_objects();
}

size_t emulator_device_bytes(void)
{
    auto guard = lock();
    return memory_bytes();
}

size_t emulator_device_peak(void)
{
    auto guard = lock();
    return memory_peak();
}

void emulator_fail_memory(int nth)
{
    auto guard = lock();
    fail_allocation_in = nth;
}

void emulator_fail_any(int nth)
{
    auto guard = lock();
    fail_in = nth;
}

long emulator_calls(void)
{
    auto guard = lock();
    return calls;
}

long emulator_launches(void)
{
    auto guard = lock();
    return launches;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    auto guard = lock();
    *count = capability ? 1 : 0;
    return result(capability ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    auto guard = lock();
    return result(device == 0 && capability ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    auto guard = lock();
    if (device != 0 || !capability)
        return result(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 * 1024; break;
    case cudaDevAttrMultiProcessorCount: *value = 8; break;
    case cudaDevAttrComputeCapabilityMajor: *value = capability / 10; break;
    case cudaDevAttrComputeCapabilityMinor: *value = capability % 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = shared_limit(); break;
    }
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    auto guard = lock();
    size_t free_bytes = 0;
    if (device != 0 || !capability)
        return result(cudaErrorInvalidDevice);
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated %d.%d", capability / 10,
             capability % 10);
    cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
    properties->major = capability / 10;
    properties->minor = capability % 10;
    properties->multiProcessorCount = 8;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    auto guard = lock();
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    auto guard = lock();
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorNoKernelImageForDevice: return "cudaErrorNoKernelImageForDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported: return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorUnknown: break;
    }
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return cudaGetErrorName(error);
}
