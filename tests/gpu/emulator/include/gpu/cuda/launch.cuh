// SPDX-License-Identifier: MIT
//
// gpu/cuda/launch.cuh, on the emulator: the same functions.
#ifndef DARKROOM_EMULATOR_LAUNCH_CUH
#define DARKROOM_EMULATOR_LAUNCH_CUH

#include "tests/gpu/emulator/runtime.h"

#include <cuda_runtime_api.h>
#include <tuple>

static inline unsigned char *launch_shared()
{
    return (unsigned char *)emulator::block_shared();
}

template <typename... Params, typename... Args>
cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Args... args)
{
    // Arguments are copied when a kernel is launched.
    std::tuple<std::decay_t<Params>...> values(args...);
    return emulator::launch_kernel(EMULATED_ARCH, grid, block, shared_bytes, stream,
                                   [kernel, values] { std::apply(kernel, values); });
}

#endif
