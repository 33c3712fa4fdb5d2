// SPDX-License-Identifier: MIT
//
// The device's memory: addresses of its own that the host cannot read, each allocation at the end
// of its pages with a closed page behind, none used twice, all NaN at first.
#include "tests/gpu/emulator/runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>

namespace emulator
{

namespace
{

const size_t PAGE = 4096;
const size_t ALIGNMENT = 256; // of cudaMalloc()
const size_t ADDRESSES = (size_t)1 << 38;

struct allocation {
    size_t bytes;
    char *pages;
    size_t page_bytes;
};

struct {
    char *base; // of all addresses; owned
    size_t next;
    std::map<const char *, allocation> device;
    std::map<const char *, size_t> pinned;
    size_t bytes, peak, limit;
    int open;
} memory;

void make_addresses()
{
    if (memory.base)
        return;
    void *base =
        mmap(nullptr, ADDRESSES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        abort();
    memory.base = (char *)base;
}

template <typename Map, typename Size>
bool holds(const Map &map, const void *pointer, size_t bytes, Size size_of)
{
    auto next = map.upper_bound((const char *)pointer);
    if (next == map.begin())
        return false;
    const auto &found = *--next;
    return (const char *)pointer + bytes <= found.first + size_of(found.second);
}

void protect(const allocation &a, bool open)
{
    if (mprotect(a.pages, a.page_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE))
        abort();
}

} // namespace

bool touches_device(const void *pointer)
{
    const char *p = (const char *)pointer;
    return memory.base && p >= memory.base && p < memory.base + ADDRESSES;
}

bool is_device(const void *pointer, size_t bytes)
{
    return holds(memory.device, pointer, bytes, [](const allocation &a) { return a.bytes; });
}

bool is_pinned(const void *pointer, size_t bytes)
{
    return holds(memory.pinned, pointer, bytes, [](size_t size) { return size; });
}

void memory_open(bool open)
{
    memory.open += open ? 1 : -1;
    if (memory.open == (open ? 1 : 0))
        for (const auto &a : memory.device)
            protect(a.second, open);
}

void memory_reset(size_t bytes)
{
    memory.limit = bytes;
    memory.peak = memory.bytes;
}

int memory_objects()
{
    return (int)(memory.device.size() + memory.pinned.size());
}

size_t memory_bytes()
{
    return memory.bytes;
}

size_t memory_peak()
{
    return memory.peak;
}

cudaError_t copy_check(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const bool to_fits = to_device ? is_device(to, bytes) : !touches_device(to);
    const bool from_fits = from_device ? is_device(from, bytes) : !touches_device(from);
    return to_fits && from_fits ? cudaSuccess : cudaErrorInvalidValue;
}

} // namespace emulator

using namespace emulator;

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    auto guard = lock();
    if (capture_forbids())
        return result(cudaErrorStreamCaptureUnsupported);
    cudaError_t status = may_fail(true);
    if (status != cudaSuccess)
        return result(status);
    if (bytes == 0) {
        *pointer = nullptr;
        return cudaSuccess;
    }
    if (bytes > memory.limit || memory.bytes > memory.limit - bytes)
        return result(cudaErrorMemoryAllocation);
    make_addresses();
    const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    allocation a = {bytes, memory.base + memory.next, (rounded + PAGE - 1) / PAGE * PAGE};
    if (memory.next + a.page_bytes + PAGE > ADDRESSES)
        return result(cudaErrorMemoryAllocation);
    memory.next += a.page_bytes + PAGE;
    protect(a, true);
    memset(a.pages, 0xff, a.page_bytes);
    protect(a, memory.open > 0);
    char *start = a.pages + a.page_bytes - rounded;
    memory.device[start] = a;
    memory.bytes += bytes;
    memory.peak = std::max(memory.peak, memory.bytes);
    *pointer = start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *pointer)
{
    auto guard = lock();
    if (!pointer)
        return cudaSuccess;
    auto found = memory.device.find((const char *)pointer);
    if (found == memory.device.end() || capture_forbids())
        return result(cudaErrorInvalidValue);
    cudaDeviceSynchronize(); // as the real one
    const allocation &a = found->second;
    const size_t slack = (size_t)(a.pages + a.page_bytes - ((char *)pointer + a.bytes));
    protect(a, true);
    for (size_t i = 0; i < slack; i++)
        if (((unsigned char *)pointer)[a.bytes + i] != 0xff)
            fault_keep("somebody wrote %zu bytes behind the end of %zu", i + 1, a.bytes);
    madvise(a.pages, a.page_bytes, MADV_DONTNEED);
    protect(a, false);
    memory.bytes -= a.bytes;
    memory.device.erase(found);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned)
{
    auto guard = lock();
    if (capture_forbids())
        return result(cudaErrorStreamCaptureUnsupported);
    cudaError_t status = may_fail(true);
    if (status != cudaSuccess)
        return result(status);
    void *host = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);
    if (!host)
        return result(cudaErrorMemoryAllocation);
    memset(host, 0xff, bytes);
    memory.pinned[(const char *)host] = bytes;
    *pointer = host;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *pointer)
{
    auto guard = lock();
    if (!pointer)
        return cudaSuccess;
    cudaDeviceSynchronize();
    if (!memory.pinned.erase((const char *)pointer))
        return result(cudaErrorInvalidValue);
    free(pointer);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    auto guard = lock();
    if (is_broken())
        return result(cudaErrorIllegalAddress);
    *free_bytes = memory.limit > memory.bytes ? memory.limit - memory.bytes : 0;
    *total = memory.limit;
    return cudaSuccess;
}
