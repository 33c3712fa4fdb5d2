/* SPDX-License-Identifier: MIT
 *
 * Every machine instruction that C++ has no word for, as a small function; names and meanings are
 * those of NVIDIA's "Parallel Thread Execution ISA" (PTX). No other file has inline assembly.
 *
 *     ptx_cp_async_16(shared, global, inside);      // starts; zeros instead of what is outside
 *     ptx_cp_async_commit();
 *     ptx_cp_async_wait<1>();                       // all groups but the last one have landed …
 *     __syncthreads();                              // … those of the other threads as well
 *     ptx_ldmatrix_x4(a, row);
 *     ptx_mma_m16n8k16<__half>(d, a, b0, b1);
 *
 * On sm_75, which has neither cp.async nor m16n8k16, the same functions load and store at once and
 * multiply in two steps of k8; bfloat16 doesn't exist there. wgmma is sm_90a's alone: kernels that
 * use it have a body only where PTX_HAS_WGMMA is 1.
 * The tests have another ptx.cuh with the same functions in plain C++, in which whatever is
 * asynchronous happens as late as the machine may let it happen. */
#ifndef DARKROOM_GPU_CUDA_PTX_CUH
#define DARKROOM_GPU_CUDA_PTX_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>
#include <type_traits>

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PTX_HAS_WGMMA 1
#else
#define PTX_HAS_WGMMA 0
#endif

static __device__ __forceinline__ uint32_t ptx_shared_address(const void *shared)
{
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* Copies 16 bytes to shared memory, past the first-level cache: for what this multiprocessor reads
 * once. Both aligned to 16. Not `inside`: writes zeros and reads nothing. */
static __device__ __forceinline__ void ptx_cp_async_16(void *shared, const void *global,
                                                       bool inside)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    *(uint4 *)shared = inside ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(ptx_shared_address(shared)),
                 "l"(global), "r"(inside ? 16 : 0)
                 : "memory");
#endif
}

/* The same through the first-level cache: for what is read again soon. */
static __device__ __forceinline__ void ptx_cp_async_16_cached(void *shared, const void *global,
                                                              bool inside)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    ptx_cp_async_16(shared, global, inside);
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(ptx_shared_address(shared)),
                 "l"(global), "r"(inside ? 16 : 0)
                 : "memory");
#endif
}

/* Closes a group of this thread's copies; an empty group counts as well. */
static __device__ __forceinline__ void ptx_cp_async_commit()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Waits until at most N of this thread's groups are under way. */
template <int N> static __device__ __forceinline__ void ptx_cp_async_wait()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

/* Four 8×8 matrices of 16-bit values: lane l gives the address of row l % 8 of matrix l / 8 (16
 * bytes, aligned), and gets in r[i] the values 2 (l % 4) and the next of row l / 4 of matrix i. */
static __device__ __forceinline__ void ptx_ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(ptx_shared_address(row))
                 : "memory");
}

/* d[16][8] += a[16][16] * b[16][8] by one warp; T is __half or __nv_bfloat16. Lane l, with g = l /
 * 4 and t = l % 4, holds pairs of values (k and k + 1): a[0] row g, k 2t    a[1] row g + 8, k 2t
 * a[2] row g, k 2t + 8    a[3] row g + 8, k 2t + 8 b0 column g, k 2t   b1 column g, k 2t + 8 d[0],
 * d[1] row g, columns 2t, 2t + 1        d[2], d[3] row g + 8 */
template <typename T>
static __device__ __forceinline__ void ptx_mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4],
                                                        uint32_t b0, uint32_t b1)
{
    if constexpr (std::is_same<T, __half>::value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                     "{%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(b0));
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                     "{%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2]), "r"(a[3]), "r"(b1));
#else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                     "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
    } else {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                     "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
    }
}

#if PTX_HAS_WGMMA

/* What this thread wrote to shared memory, by stores or by copies that it waited for, becomes
 * visible to wgmma; before the barrier behind which wgmma is issued. */
static __device__ __forceinline__ void ptx_fence_proxy_async()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Operand of wgmma: rows of 64 16-bit values (128 bytes, K runs along them), whose 16-byte pieces
 * lie at their number ^ (row % 8); groups of 8 rows follow each other. `tile` is aligned to 1,024
 * bytes plus 32 times the number of the k16 step within the row.
 * Bits: 0 address / 16, 16 leading offset (unused with a swizzle), 32 bytes between groups / 16,
 * 62 layout: 1 is the 128-byte swizzle. */
static __device__ __forceinline__ uint64_t ptx_wgmma_descriptor(const void *tile)
{
    return (uint64_t)((ptx_shared_address(tile) & 0x3ffff) >> 4) | (uint64_t)1 << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* Before the first wgmma, and after registers that it adds to were touched. */
static __device__ __forceinline__ void ptx_wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void ptx_wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Waits until at most N of this warpgroup's groups are under way. */
template <int N> static __device__ __forceinline__ void ptx_wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* The compiler may not move reads and writes of the sums across this place. */
template <int N> static __device__ __forceinline__ void ptx_wgmma_hold(float (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

/* Sums as operands, eight at a time. */
#define PTX_EIGHT(d, i)                                                                            \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),    \
        "+f"(d[i + 6]), "+f"(d[i + 7])

/* d[64][N] += a[64][16] * b[N][16] by one warpgroup of four warps; asynchronous. Thread i of the
 * warpgroup, with w = i / 32, g = i % 32 / 4 and t = i % 4, holds in d[4 j], d[4 j + 1] the columns
 * 8 j + 2 t and the next of row 16 w + g, and in d[4 j + 2], d[4 j + 3] those of row 16 w + g + 8.
 */
template <typename T, int N>
static __device__ __forceinline__ void ptx_wgmma_m64k16(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    static_assert(N == 32 || N == 64 || N == 128, "see below");
    if constexpr (N == 32 && std::is_same<T, __half>::value) {
        asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
                     "%16, %17, 1, 1, 1, 0, 0;"
                     : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8)
                     : "l"(a), "l"(b));
    } else if constexpr (N == 32 && std::is_same<T, __nv_bfloat16>::value) {
        asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
                     "%16, %17, 1, 1, 1, 0, 0;"
                     : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8)
                     : "l"(a), "l"(b));
    } else if constexpr (N == 64 && std::is_same<T, __half>::value) {
        asm volatile(
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "%32, %33, 1, 1, 1, 0, 0;"
            : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8), PTX_EIGHT(d, 16), PTX_EIGHT(d, 24)
            : "l"(a), "l"(b));
    } else if constexpr (N == 64 && std::is_same<T, __nv_bfloat16>::value) {
        asm volatile(
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "%32, %33, 1, 1, 1, 0, 0;"
            : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8), PTX_EIGHT(d, 16), PTX_EIGHT(d, 24)
            : "l"(a), "l"(b));
    } else if constexpr (N == 128 && std::is_same<T, __half>::value) {
        asm volatile(
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
            "%64, %65, 1, 1, 1, 0, 0;"
            : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8), PTX_EIGHT(d, 16), PTX_EIGHT(d, 24),
              PTX_EIGHT(d, 32), PTX_EIGHT(d, 40), PTX_EIGHT(d, 48), PTX_EIGHT(d, 56)
            : "l"(a), "l"(b));
    } else if constexpr (N == 128 && std::is_same<T, __nv_bfloat16>::value) {
        asm volatile(
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
            "%64, %65, 1, 1, 1, 0, 0;"
            : PTX_EIGHT(d, 0), PTX_EIGHT(d, 8), PTX_EIGHT(d, 16), PTX_EIGHT(d, 24),
              PTX_EIGHT(d, 32), PTX_EIGHT(d, 40), PTX_EIGHT(d, 48), PTX_EIGHT(d, 56)
            : "l"(a), "l"(b));
    }
}

#undef PTX_EIGHT

#endif

#endif
