/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/peak.h"

#include "common/err.h"
#include "gpu/cuda/device.h"

#define BLOCKS_EACH 4     /* for each multiprocessor: more than run at once */
#define FIRST_ROUNDS 1024 /* enough to tell how long a round takes */
#define MEASURED_MS 50.0f
#define REPEATS 5 /* the best counts: what is asked for is what the chip can do */

struct clock {
    cudaStream_t stream; /* owned, as are the others */
    cudaEvent_t start, end;
    float *out;
};

static cudaError_t time_rounds(const struct clock *c, enum kernel_type type, int arch, int blocks,
                               int rounds, float *out_ms)
{
    cudaError_t status = cudaEventRecord(c->start, c->stream);
    if (status == cudaSuccess)
        status = kernel_peak(type, arch, blocks, rounds, c->out, c->stream);
    if (status == cudaSuccess)
        status = cudaEventRecord(c->end, c->stream);
    if (status == cudaSuccess)
        status = cudaEventSynchronize(c->end);
    return status == cudaSuccess ? cudaEventElapsedTime(out_ms, c->start, c->end) : status;
}

static cudaError_t measure(const struct clock *c, enum kernel_type type, int arch, int blocks,
                           double *out_flops)
{
    double best = 0;
    float ms = 0;
    int rounds = FIRST_ROUNDS;
    /* The first loads the kernel and wakes the chip. */
    cudaError_t status = time_rounds(c, type, arch, blocks, rounds, &ms);
    if (status == cudaSuccess)
        status = time_rounds(c, type, arch, blocks, rounds, &ms);
    if (ms > 0 && ms < MEASURED_MS)
        rounds = (int)((float)rounds * (MEASURED_MS / ms));
    for (int i = 0; status == cudaSuccess && i < REPEATS; i++) {
        status = time_rounds(c, type, arch, blocks, rounds, &ms);
        const double work = kernel_peak_flops(type, arch) * rounds * blocks;
        if (status == cudaSuccess && ms > 0 && work / ((double)ms / 1e3) > best)
            best = work / ((double)ms / 1e3);
    }
    *out_flops = best;
    return status;
}

int peak_measure(enum kernel_type type, int arch, double *out_flops, struct err *err)
{
    struct clock c = {0};
    int processors = 0;
    double flops = 0;
    int rc = device_failed(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0),
                           "measuring the GPU", err);
    const int blocks = BLOCKS_EACH * processors;
    if (rc == 0)
        rc = device_allocate((void **)&c.out, (size_t)blocks * sizeof *c.out, "measuring", err);
    cudaError_t status = cudaSuccess;
    if (rc == 0)
        status = cudaStreamCreateWithFlags(&c.stream, cudaStreamNonBlocking);
    if (rc == 0 && status == cudaSuccess)
        status = cudaEventCreateWithFlags(&c.start, cudaEventDefault);
    if (rc == 0 && status == cudaSuccess)
        status = cudaEventCreateWithFlags(&c.end, cudaEventDefault);
    if (rc == 0 && status == cudaSuccess)
        status = measure(&c, type, arch, blocks, &flops);
    if (rc == 0)
        rc = device_failed(status, "measuring the GPU", err);
    if (c.start)
        cudaEventDestroy(c.start);
    if (c.end)
        cudaEventDestroy(c.end);
    if (c.stream)
        cudaStreamDestroy(c.stream);
    cudaFree(c.out);
    if (rc == 0)
        *out_flops = flops;
    return rc;
}
