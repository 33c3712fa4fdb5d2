// SPDX-License-Identifier: MIT
//
// The emulator against kernels that are right, and against each mistake that it claims to find.
#include "tests/gpu/emulator/emulator.h"
#include "tests/unit/check.h"

#include "gpu/cuda/launch.cuh"
#include "gpu/cuda/ptx.cuh"

#include <vector>

namespace
{

const int SEEDS = 6;

template <typename T> T *device_copy(const std::vector<T> &values)
{
    void *device = nullptr;
    CHECK_INT(cudaMalloc(&device, values.size() * sizeof(T)), 0);
    CHECK_INT(cudaMemcpy(device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
              0);
    return (T *)device;
}

template <typename T> std::vector<T> host_copy(const T *device, size_t count)
{
    std::vector<T> values(count);
    cudaMemcpy(values.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
}

cudaStream_t new_stream()
{
    cudaStream_t stream = nullptr;
    CHECK_INT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), 0);
    return stream;
}

// Each block turns 64 values round; without the barrier a warp reads what the other has not
// written.
void turn_round(const float *in, float *out, bool with_barrier)
{
    float *shared = (float *)launch_shared();
    const int i = (int)threadIdx.x, first = (int)blockIdx.x * 64;
    shared[i] = in[first + i];
    if (with_barrier)
        __syncthreads();
    out[first + i] = shared[63 - i];
}

bool turns_round(uint64_t seed, bool with_barrier)
{
    emulator_reset(seed);
    std::vector<float> values(5 * 64);
    for (size_t i = 0; i < values.size(); i++)
        values[i] = (float)i;
    cudaStream_t stream = new_stream();
    float *in = device_copy(values), *out = device_copy(values);
    CHECK_INT(
        launch(turn_round, dim3(5), dim3(64), 64 * sizeof(float), stream, in, out, with_barrier),
        0);
    CHECK_INT(cudaStreamSynchronize(stream), 0);
    const std::vector<float> got = host_copy(out, values.size());
    bool right = true;
    for (int i = 0; i < 5 * 64; i++)
        right = right && got[(size_t)i] == (float)(i / 64 * 64 + 63 - i % 64);
    cudaFree(in);
    cudaFree(out);
    cudaStreamDestroy(stream);
    CHECK_TEXT(emulator_fault(), "");
    CHECK_INT(emulator_live_objects(), 0);
    return right;
}

void a_barrier_orders_the_threads_of_a_block_and_its_lack_shows()
{
    int wrong = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        CHECK(turns_round(seed, true));
        wrong += !turns_round(seed, false);
    }
    CHECK_INT(wrong, SEEDS);
}

// What a mistake leaves behind: the fault's text, after one kernel of one block.
template <typename... Params, typename... Args>
const char *fault_of(void (*kernel)(Params...), int threads, size_t shared, Args... args)
{
    static char text[512];
    emulator_reset(1);
    cudaStream_t stream = new_stream();
    launch(kernel, dim3(1), dim3((unsigned)threads), shared, stream, args...);
    const cudaError_t status = cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
    snprintf(text, sizeof text, "%s", emulator_fault());
    CHECK((status == cudaErrorIllegalAddress) == (text[0] != '\0'));
    emulator_reset(1);
    return text;
}

void write_at(float *out, int index)
{
    out[index] = 1.0f;
}

void an_access_outside_of_an_allocation_is_a_fault_that_stays()
{
    emulator_reset(1);
    float *out = device_copy(std::vector<float>(64));
    CHECK_TEXT(fault_of(write_at, 1, 0, out, 63), "");
    CHECK_HAS(fault_of(write_at, 1, 0, out, 64), "no allocation");
    CHECK_HAS(fault_of(write_at, 1, 0, out, -1024), "no allocation");
    CHECK_HAS(fault_of(write_at, 1, 0, (float *)64, 0), "no allocation");
    CHECK_HAS(fault_of(write_at, 1, 1024, (float *)64, 0), "block 0,0,0 thread 0,0,0");
    cudaStream_t stream = new_stream();
    launch(write_at, dim3(1), dim3(1), 0, stream, out, 64);
    cudaDeviceSynchronize();
    CHECK_INT(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    void *more = nullptr;
    CHECK_INT(cudaMalloc(&more, 16), cudaErrorIllegalAddress);
    cudaStreamDestroy(stream);
    emulator_reset(1);
    cudaFree(out);
    CHECK_INT(emulator_live_objects(), 0);
}

// Part of a warp, or of a block, that goes another way.
void part_ways(int kind)
{
    const int i = (int)threadIdx.x;
    float value = 0;
    if (kind == 0 && i % 2)
        value = __shfl_xor_sync(0xffffffff, value, 1);
    if (kind == 1 && i < 32)
        __syncthreads();
    if (kind == 2 && i < 32)
        emulator::barrier_wait(3, 64);
    if (kind == 3)
        value = i % 2 ? __shfl_sync(0xffffffff, value, 0) : (__syncwarp(), 0.0f);
}

void collectives_that_some_threads_miss_are_faults()
{
    CHECK_HAS(fault_of(part_ways, 32, 0, 0), "no more");
    CHECK_TEXT(fault_of(part_ways, 64, 0, 1), ""); // threads that have ended are not waited for
    CHECK_HAS(fault_of(part_ways, 64, 0, 2), "deadlock");
    CHECK_HAS(fault_of(part_ways, 32, 0, 3), "others of its warp at");
}

void copy_async(const float *in, float *out, int offset, bool wait)
{
    char *shared = (char *)launch_shared();
    ptx_cp_async_16(shared + threadIdx.x * 16, (const char *)in + threadIdx.x * 16 + offset,
                    threadIdx.x < 2);
    ptx_cp_async_commit();
    if (wait)
        ptx_cp_async_wait<0>();
    __syncthreads();
    for (int i = 0; i < 4; i++)
        out[threadIdx.x * 4 + i] = ((float *)shared)[(31 - threadIdx.x) * 4 + i];
}

void an_asynchronous_copy_lands_when_it_is_waited_for_and_not_before()
{
    emulator_reset(1);
    float *in = device_copy(std::vector<float>(12, 7.0f));
    float *out = device_copy(std::vector<float>(128));
    CHECK_TEXT(fault_of(copy_async, 32, 512, in, out, 0, true), "");
    std::vector<float> got = host_copy(out, 128);
    CHECK(got[127] == 7.0f && got[120] == 7.0f && got[119] == 0.0f);
    CHECK_TEXT(fault_of(copy_async, 32, 512, in, out, 0, false), "");
    got = host_copy(out, 128);
    CHECK(EMULATED_ARCH < 800 || (std::isnan(got[127]) && std::isnan(got[0])));
    CHECK_HAS(fault_of(copy_async, 32, 512, in, out, 8, true), "aligned to 16");
    CHECK_HAS(fault_of(copy_async, 32, 16, in, out, 0, true), "shared memory");
    cudaFree(in);
    cudaFree(out);
}

const int N = 8, M = 16, K = 16;

// c = a b with one warp: a [16][16], b [8][16] (K-major), as halves.
void product(const __half *a, const __half *b, float *c)
{
    __half *tile = (__half *)launch_shared();
    const int lane = (int)threadIdx.x;
    for (int i = lane; i < M * K; i += 32)
        tile[i] = a[i];
    __syncwarp();
    uint32_t parts[4];
    float d[4] = {};
    // matrices: rows 0-7 and 8-15 of columns 0-7, then of 8-15
    ptx_ldmatrix_x4(parts, tile + (lane % 16) * K + lane / 16 * 8);
    uint32_t b0, b1;
    memcpy(&b0, b + lane / 4 * K + lane % 4 * 2, 4);
    memcpy(&b1, b + lane / 4 * K + lane % 4 * 2 + 8, 4);
    ptx_mma_m16n8k16<__half>(d, parts, b0, b1);
    for (int i = 0; i < 4; i++)
        c[(lane / 4 + i / 2 * 8) * N + lane % 4 * 2 + i % 2] = d[i];
}

std::vector<__half> halves(int count, int seed)
{
    std::vector<__half> values;
    for (int i = 0; i < count; i++)
        values.push_back(__float2half((float)((i * 37 + seed) % 19 - 9) / 8));
    return values;
}

float expected(const std::vector<__half> &a, const std::vector<__half> &b, int row, int column,
               int depth)
{
    float sum = 0;
    for (int k = 0; k < depth; k++)
        sum += __half2float(a[(size_t)(row * depth + k)]) *
               __half2float(b[(size_t)(column * depth + k)]);
    return sum;
}

void fragments_of_ldmatrix_and_mma_lie_as_the_manual_says()
{
    emulator_reset(1);
    const std::vector<__half> a = halves(M * K, 3), b = halves(N * K, 11);
    __half *da = device_copy(a), *db = device_copy(b);
    float *dc = device_copy(std::vector<float>(M * N));
    CHECK_TEXT(fault_of(product, 32, M * K * 2, da, db, dc), "");
    const std::vector<float> c = host_copy(dc, M * N);
    for (int i = 0; i < M * N; i++)
        CHECK(c[(size_t)i] == expected(a, b, i / N, i % N, K));
    cudaFree(da);
    cudaFree(db);
    cudaFree(dc);
}

#if PTX_HAS_WGMMA

enum { FORGET_NOTHING, FORGET_PROXY_FENCE, FORGET_FENCE, FORGET_WAIT };

// c = a b with one warpgroup: a [64][64], b [32][64], through swizzled rows of 128 bytes.
void group_product(const __half *a, const __half *b, float *c, int forgotten)
{
    char *tiles = (char *)launch_shared();
    const int t = (int)threadIdx.x;
    for (int i = t; i < (64 + 32) * 8; i += 128) {
        const int row = i / 8, piece = i % 8;
        const __half *from = row < 64 ? a + row * 64 : b + (row - 64) * 64;
        ptx_cp_async_16(tiles + row * 128 + (piece ^ row % 8) * 16, from + piece * 8, true);
    }
    ptx_cp_async_commit();
    ptx_cp_async_wait<0>();
    if (forgotten != FORGET_PROXY_FENCE)
        ptx_fence_proxy_async();
    __syncthreads();
    float d[16] = {};
    if (forgotten != FORGET_FENCE)
        ptx_wgmma_fence();
    for (int step = 0; step < 4; step++)
        ptx_wgmma_m64k16<__half, 32>(d, ptx_wgmma_descriptor(tiles + step * 32),
                                     ptx_wgmma_descriptor(tiles + 64 * 128 + step * 32));
    ptx_wgmma_commit();
    if (forgotten != FORGET_WAIT)
        ptx_wgmma_wait<0>();
    for (int i = 0; i < 16; i++) {
        const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
        c[row * 32 + i / 4 * 8 + t % 4 * 2 + i % 2] = d[i];
    }
}

void warpgroups_multiply_when_they_wait_and_need_their_fences()
{
    emulator_reset(1);
    const std::vector<__half> a = halves(64 * 64, 5), b = halves(32 * 64, 2);
    __half *da = device_copy(a), *db = device_copy(b);
    float *dc = device_copy(std::vector<float>(64 * 32));
    const size_t shared = (64 + 32) * 128;
    CHECK_TEXT(fault_of(group_product, 128, shared, da, db, dc, FORGET_NOTHING), "");
    const std::vector<float> c = host_copy(dc, 64 * 32);
    for (int i = 0; i < 64 * 32; i++)
        CHECK(c[(size_t)i] == expected(a, b, i / 32, i % 32, 64));
    CHECK_HAS(fault_of(group_product, 128, shared, da, db, dc, FORGET_PROXY_FENCE), "proxy");
    CHECK_HAS(fault_of(group_product, 128, shared, da, db, dc, FORGET_FENCE), "wgmma.fence");
    CHECK_HAS(fault_of(group_product, 128, shared, da, db, dc, FORGET_WAIT), "without waiting");
    cudaFree(da);
    cudaFree(db);
    cudaFree(dc);
}

#endif

void add_one(float *values)
{
    values[threadIdx.x] += 1.0f;
}

// Copies in on one stream, computes on another; whether the second waits for the first.
bool streams_agree(uint64_t seed, bool with_event)
{
    emulator_reset(seed);
    cudaStream_t copies = new_stream(), kernels = new_stream();
    cudaEvent_t arrived = nullptr;
    void *pinned = nullptr;
    CHECK_INT(cudaEventCreateWithFlags(&arrived, cudaEventDisableTiming), 0);
    CHECK_INT(cudaHostAlloc(&pinned, 32 * sizeof(float), cudaHostAllocDefault), 0);
    float *values = device_copy(std::vector<float>(32)), *host = (float *)pinned;
    for (int i = 0; i < 32; i++)
        host[i] = 10.0f;
    cudaMemcpyAsync(values, host, 32 * sizeof(float), cudaMemcpyHostToDevice, copies);
    cudaEventRecord(arrived, copies);
    if (with_event)
        cudaStreamWaitEvent(kernels, arrived, 0);
    launch(add_one, dim3(1), dim3(32), 0, kernels, values);
    cudaMemcpyAsync(host, values, 32 * sizeof(float), cudaMemcpyDeviceToHost, kernels);
    CHECK_INT(cudaStreamSynchronize(kernels), 0);
    const bool right = host[31] == 11.0f;
    cudaFree(values);
    cudaFreeHost(pinned);
    cudaEventDestroy(arrived);
    cudaStreamDestroy(copies);
    cudaStreamDestroy(kernels);
    CHECK_INT(emulator_live_objects(), 0);
    CHECK_TEXT(emulator_fault(), "");
    return right;
}

void streams_that_do_not_wait_for_each_other_are_found_out()
{
    int wrong = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        CHECK(streams_agree(seed, true));
        wrong += !streams_agree(seed, false);
    }
    CHECK(wrong > 0);
}

void a_graph_runs_what_was_recorded_each_time_it_is_launched()
{
    emulator_reset(1);
    cudaStream_t stream = new_stream();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    void *more = nullptr;
    float *values = device_copy(std::vector<float>(32, 1.0f));
    CHECK_INT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), 0);
    CHECK_INT(launch(add_one, dim3(1), dim3(32), 0, stream, values), 0);
    CHECK_INT(launch(add_one, dim3(1), dim3(32), 0, stream, values), 0);
    CHECK_INT(cudaStreamEndCapture(stream, &graph), 0);
    CHECK(host_copy(values, 32)[31] == 1.0f);
    CHECK_INT(cudaGraphInstantiate(&exec, graph, 0), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(cudaGraphLaunch(exec, stream), 0);
    CHECK_INT(cudaStreamSynchronize(stream), 0);
    CHECK(host_copy(values, 32)[31] == 7.0f);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    // memory cannot be had while one is recorded
    CHECK_INT(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), 0);
    CHECK_INT(cudaMalloc(&more, 16), cudaErrorStreamCaptureUnsupported);
    CHECK_INT(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    cudaFree(values);
    cudaStreamDestroy(stream);
    CHECK_INT(emulator_live_objects(), 0);
}

void calls_fail_as_a_test_orders_and_memory_ends()
{
    void *p = nullptr, *q = nullptr;
    emulator_reset(1);
    emulator_set_memory(1000);
    CHECK_INT(cudaMalloc(&p, 600), 0);
    CHECK_INT(cudaMalloc(&q, 600), cudaErrorMemoryAllocation);
    CHECK_INT(cudaMalloc(&q, 400), 0);
    CHECK_INT((int)emulator_device_bytes(), 1000);
    CHECK_INT(emulator_live_objects(), 2);
    cudaFree(p);
    cudaFree(q);
    emulator_fail_memory(2);
    CHECK_INT(cudaMalloc(&p, 600), 0);
    CHECK_INT(cudaMalloc(&q, 1), cudaErrorMemoryAllocation);
    CHECK_INT(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_INT(cudaGetLastError(), 0);
    cudaStream_t stream = new_stream();
    emulator_fail_any(1);
    CHECK_INT(launch(add_one, dim3(1), dim3(32), 0, stream, (float *)p), cudaErrorLaunchFailure);
    CHECK_INT(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    emulator_reset(1);
    CHECK_INT(launch(add_one, dim3(1), dim3(2048), 0, stream, (float *)p),
              cudaErrorInvalidConfiguration);
    CHECK_INT(launch(add_one, dim3(1), dim3(32), 1 << 20, stream, (float *)p),
              cudaErrorInvalidConfiguration);
    emulator_set_capability(70);
    CHECK_INT(launch(add_one, dim3(1), dim3(32), 0, stream, (float *)p),
              cudaErrorNoKernelImageForDevice);
    cudaStreamDestroy(stream);
    cudaFree(p);
    CHECK_INT(emulator_live_objects(), 0);
}

void halves_round_to_the_nearest_even_one()
{
    CHECK_INT(__float2half_rn(1.0f).bits, 0x3c00);
    CHECK_INT(__float2half_rn(1.0f + 0x1p-11f).bits, 0x3c00);
    CHECK_INT(__float2half_rn(1.0f + 0x1.8p-10f).bits, 0x3c02);
    CHECK_INT(__float2half_rn(65519.0f).bits, 0x7bff);
    CHECK_INT(__float2half_rn(65520.0f).bits, 0x7c00);
    CHECK_INT(__float2half_rn(0x1p-25f).bits, 0);
    CHECK_INT(__float2half_rn(-0x1.8p-24f).bits, 0x8002);
    CHECK_INT(__float2bfloat16_rn(1.0f + 0x1p-8f).bits, 0x3f80);
    CHECK_INT(__float2bfloat16_rn(1.0f + 0x1.8p-7f).bits, 0x3f82);
    CHECK(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
    for (int bits = 0; bits < 0x10000; bits++) {
        const float value = __half2float(__half{(uint16_t)bits});
        if (!std::isnan(value) && __float2half_rn(value).bits != bits)
            CHECK_INT(bits, -1);
    }
}

} // namespace

int main(void)
{
    RUN(a_barrier_orders_the_threads_of_a_block_and_its_lack_shows);
    RUN(an_access_outside_of_an_allocation_is_a_fault_that_stays);
    RUN(collectives_that_some_threads_miss_are_faults);
    RUN(an_asynchronous_copy_lands_when_it_is_waited_for_and_not_before);
    RUN(fragments_of_ldmatrix_and_mma_lie_as_the_manual_says);
#if PTX_HAS_WGMMA
    RUN(warpgroups_multiply_when_they_wait_and_need_their_fences);
#endif
    RUN(streams_that_do_not_wait_for_each_other_are_found_out);
    RUN(a_graph_runs_what_was_recorded_each_time_it_is_launched);
    RUN(calls_fail_as_a_test_orders_and_memory_ends);
    RUN(halves_round_to_the_nearest_even_one);
    return check_report();
}
