/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/conv.cuh"

cudaError_t kernel_conv(const struct kernel_conv *shape, int pictures, const void *in,
                        const void *weight, void *out, float *partials, cudaStream_t stream)
{
    struct conv_plan plan;
    if (kernel_conv_refuses(shape) || pictures < 1)
        return cudaErrorInvalidValue;
    conv_plan_make(shape, &plan);
    if (!shape->statistics)
        partials = nullptr;
    const dim3 grid((unsigned)(plan.tiles * plan.output_tiles), 1, (unsigned)pictures);
    switch (plan.engine) {
    case CONV_FMA: return conv_run_fma(&plan, grid, in, weight, out, partials, stream);
    case CONV_MMA: return conv_run_mma(shape->type, &plan, grid, in, weight, out, partials, stream);
    case CONV_WGMMA:
        return conv_run_wgmma(shape->type, &plan, grid, in, weight, out, partials, stream);
    }
    return cudaErrorInvalidValue;
}
