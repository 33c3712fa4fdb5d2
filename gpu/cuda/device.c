/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/device.h"

#include "common/err.h"

#include <inttypes.h>

/* The first one; a process that shall use another sees that one alone (CUDA_VISIBLE_DEVICES). */
#define DEVICE 0

#define OLDEST 75

int device_failed(cudaError_t status, const char *what, struct err *err)
{
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError(); /* or the next launch would be told of it */
    if (status == cudaErrorMemoryAllocation)
        return err_set(err, ERR_NOMEM, "device", "the GPU has no memory for %s", what);
    return err_set(err, ERR_DEVICE, "device", "%s: %s", what, cudaGetErrorString(status));
}

int device_allocate(void **out, size_t bytes, const char *what, struct err *err)
{
    size_t unused = 0, total = 0;
    cudaError_t status = cudaMalloc(out, bytes);
    if (status != cudaErrorMemoryAllocation)
        return device_failed(status, what, err);
    cudaGetLastError();
    if (cudaMemGetInfo(&unused, &total) != cudaSuccess)
        unused = 0;
    return err_set(
        err, ERR_NOMEM, "device",
        "the GPU has no memory for %s: %zu bytes are needed, %zu are free, %zu are missing", what,
        bytes, unused, bytes > unused ? bytes - unused : 0);
}

int device_allocate_pinned(void **out, size_t bytes, const char *what, struct err *err)
{
    cudaError_t status = cudaHostAlloc(out, bytes, cudaHostAllocDefault);
    if (status != cudaErrorMemoryAllocation)
        return device_failed(status, what, err);
    cudaGetLastError();
    return err_set(err, ERR_NOMEM, "device", "no pinned memory for %s: %zu bytes are needed", what,
                   bytes);
}

int device_use(struct err *err)
{
    return device_failed(cudaSetDevice(DEVICE), "choosing the GPU", err);
}

int device_check(enum kernel_type type, int *out_arch, struct err *err)
{
    int devices = 0, major = 0, minor = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status != cudaSuccess || devices == 0) {
        cudaGetLastError();
        return err_set(err, ERR_UNSUPPORTED, "device", "no usable GPU here: %s",
                       status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    }
    status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, DEVICE);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, DEVICE);
    if (status != cudaSuccess)
        return device_failed(status, "asking the GPU for its architecture", err);
    const int arch = 10 * major + minor;
    if (arch < OLDEST)
        return err_set(err, ERR_UNSUPPORTED, "device",
                       "the GPU has compute capability %d.%d; 7.5 is the least that is supported",
                       major, minor);
    if (!kernel_type_runs(type, arch))
        return err_set(err, ERR_UNSUPPORTED, "precision",
                       "a GPU of compute capability %d.%d does not compute in bf16; f16 it does",
                       major, minor);
    *out_arch = arch;
    return 0;
}
