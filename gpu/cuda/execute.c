/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/execute.h"

static void *buffer(const struct execution *e, int i)
{
    if (i == BUFFER_INPUT)
        return (void *)(uintptr_t)e->in;
    return i < 0 ? NULL : e->arena + e->steps->buffer[i].offset * (size_t)e->pictures;
}

static const void *blob(const struct execution *e, int i)
{
    return i < 0 ? NULL : e->weights + e->steps->blob[i].offset;
}

static cudaError_t factors(const struct execution *e, const struct step *s)
{
    struct kernel_norm norm = s->norm;
    norm.pictures = e->pictures;
    const float *gamma = s->gamma >= 0 ? buffer(e, s->gamma) : blob(e, s->gamma_blob);
    const float *beta = s->beta >= 0 ? buffer(e, s->beta) : blob(e, s->beta_blob);
    return kernel_norm_factors(&norm, buffer(e, s->partials), blob(e, s->rho), gamma, beta,
                               buffer(e, s->scale), buffer(e, s->shift), e->bad, e->stream);
}

static cudaError_t apply(const struct execution *e, const struct step *s)
{
    const struct kernel_apply shape = {
        .type = e->steps->type,
        .pictures = e->pictures,
        .channels = s->channels,
        .pixels = s->pixels,
        .per_picture = s->scale >= 0,
        .act = s->act,
    };
    const float *scale = s->scale >= 0 ? buffer(e, s->scale) : blob(e, s->scale_blob);
    const float *shift = s->shift >= 0 ? buffer(e, s->shift) : blob(e, s->shift_blob);
    return kernel_apply(&shape, buffer(e, s->in), scale, shift, blob(e, s->slope_blob),
                        buffer(e, s->other), buffer(e, s->out), e->stream);
}

static cudaError_t run_step(const struct execution *e, const struct step *s)
{
    const enum kernel_type type = e->steps->type;
    const int n = e->pictures;
    const void *in = buffer(e, s->in);
    void *out = buffer(e, s->out);
    switch (s->kind) {
    case STEP_FROM_PLANES:
        return kernel_from_planes(type, n, s->channels, s->pixels, in, out, e->stream);
    case STEP_CONV:
        return kernel_conv(&s->conv, n, in, blob(e, s->weight), out, buffer(e, s->partials),
                           e->stream);
    case STEP_FACTORS: return factors(e, s);
    case STEP_APPLY: return apply(e, s);
    case STEP_MEAN:
        return kernel_mean(n, s->channels, s->tiles, buffer(e, s->partials), out, e->stream);
    case STEP_CONNECTED:
        return kernel_connected(n, s->inputs, s->outputs, s->act, in, blob(e, s->weight),
                                blob(e, s->bias), out, e->stream);
    case STEP_CONNECTED_PICTURE:
        return kernel_connected_pictures(&s->connected, n, in, blob(e, s->weight), blob(e, s->bias),
                                         e->workspace, out, e->stream);
    case STEP_TO_PLANES:
        return kernel_to_planes(type, n, s->channels, s->pixels, s->act, in, e->out, s->layer,
                                e->bad, e->stream);
    case STEP_TO_VECTOR:
        return cudaMemcpyAsync(e->out, in, (size_t)n * e->steps->out_values * sizeof *e->out,
                               cudaMemcpyDeviceToDevice, e->stream);
    case STEP_HEAT_MAP:
        return kernel_channel_sum(type, n, s->channels, s->pixels, in, e->heat, e->stream);
    }
    return cudaErrorInvalidValue;
}

cudaError_t execute(const struct execution *e)
{
    cudaError_t status = cudaMemsetAsync(e->bad, 0x7f, sizeof *e->bad, e->stream);
    for (int i = 0; status == cudaSuccess && i < e->steps->count; i++)
        status = run_step(e, &e->steps->step[i]);
    return status;
}
