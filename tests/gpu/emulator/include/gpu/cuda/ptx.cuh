// SPDX-License-Identifier: MIT
//
// gpu/cuda/ptx.cuh, on the emulator: the same functions. Before sm_80 a copy is made at once.
#ifndef DARKROOM_EMULATOR_PTX_CUH
#define DARKROOM_EMULATOR_PTX_CUH

#include "tests/gpu/emulator/tensor_core.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

#define PTX_HAS_WGMMA (EMULATED_ARCH == 900)

static inline uint32_t ptx_shared_address(const void *shared)
{
    return emulator::shared_address(shared);
}

static inline void ptx_cp_async_16(void *shared, const void *global, bool inside)
{
    emulator::async_copy(shared, global, inside, EMULATED_ARCH < 800);
}

static inline void ptx_cp_async_16_cached(void *shared, const void *global, bool inside)
{
    emulator::async_copy(shared, global, inside, EMULATED_ARCH < 800);
}

static inline void ptx_cp_async_commit()
{
    emulator::async_commit();
}

template <int N> static inline void ptx_cp_async_wait()
{
    emulator::async_wait(N);
}

static inline void ptx_ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    emulator::load_matrices(r, row, 4, false);
}

template <typename T> constexpr emulator::half_kind ptx_half_kind()
{
    return std::is_same<T, __half>::value ? emulator::HALF_F16 : emulator::HALF_BF16;
}

template <typename T>
static inline void ptx_mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    const uint32_t b[2] = {b0, b1};
    if (EMULATED_ARCH < 800 && std::is_same<T, __nv_bfloat16>::value)
        emulator::kernel_fault("there is no bfloat16 before sm_80");
    emulator::multiply(ptx_half_kind<T>(), 16, d, a, b);
}

#if PTX_HAS_WGMMA

static inline void ptx_fence_proxy_async()
{
    emulator::proxy_fence();
}

static inline uint64_t ptx_wgmma_descriptor(const void *tile)
{
    return (uint64_t)((ptx_shared_address(tile) & 0x3ffff) >> 4) | (uint64_t)1 << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

static inline void ptx_wgmma_fence()
{
    emulator::warpgroup_fence();
}

static inline void ptx_wgmma_commit()
{
    emulator::warpgroup_commit();
}

template <int N> static inline void ptx_wgmma_wait()
{
    emulator::warpgroup_wait(N);
}

template <int N> static inline void ptx_wgmma_hold(float (&)[N])
{
}

template <typename T, int N>
static inline void ptx_wgmma_m64k16(float (&d)[N / 2], uint64_t a, uint64_t b)
{
    emulator::warpgroup_multiply(ptx_half_kind<T>(), N, d, nullptr, a, b, true);
}

#endif

#endif
