// SPDX-License-Identifier: MIT
//
// What the tests of kernels share: values of a type on the emulated device and back, activations in
// their stored layout, small whole numbers at random.
#ifndef DARKROOM_TESTS_KERNELS_SUPPORT_H
#define DARKROOM_TESTS_KERNELS_SUPPORT_H

#include "tests/gpu/emulator/emulator.h"
#include "tests/unit/check.h"

extern "C" {
#include "gpu/tensor.h"
}

#include "gpu/cuda/kernels.h"

#include <cstdlib>
#include <vector>

const int ARCH = EMULATED_ARCH / 10;

static const kernel_type types[] = {KERNEL_F32, KERNEL_F16, KERNEL_BF16};

static inline size_t size_of(kernel_type type)
{
    return type == KERNEL_F32 ? 4 : 2;
}

static inline const char *name_of(kernel_type type)
{
    return type == KERNEL_F32 ? "f32" : type == KERNEL_F16 ? "f16" : "bf16";
}

// What a value becomes when it is stored.
static inline float rounded(kernel_type type, float value)
{
    switch (type) {
    case KERNEL_F16: return tensor_f16_to_f32(tensor_f16_from_f32(value));
    case KERNEL_BF16: return tensor_bf16_to_f32(tensor_f32_to_bf16(value));
    case KERNEL_F32: break;
    }
    return value;
}

static inline float half_at(kernel_type type, const std::vector<char> &bytes, size_t i)
{
    uint16_t bits;
    float value;
    if (type == KERNEL_F32) {
        memcpy(&value, &bytes[i * 4], 4);
        return value;
    }
    memcpy(&bits, &bytes[i * 2], 2);
    return type == KERNEL_F16 ? tensor_f16_to_f32(bits) : tensor_bf16_to_f32(bits);
}

static inline std::vector<char> as_type(kernel_type type, const std::vector<float> &values)
{
    std::vector<char> bytes(values.size() * size_of(type));
    for (size_t i = 0; i < values.size(); i++) {
        uint16_t bits =
            type == KERNEL_F16 ? tensor_f16_from_f32(values[i]) : tensor_f32_to_bf16(values[i]);
        if (type == KERNEL_F32)
            memcpy(&bytes[i * 4], &values[i], 4);
        else
            memcpy(&bytes[i * 2], &bits, 2);
    }
    return bytes;
}

// A small generator of its own, so that a case is the same everywhere.
struct numbers {
    uint32_t state;
    int below(int limit)
    {
        state = state * 1664525u + 1013904223u;
        return (int)((state >> 8) % (uint32_t)limit);
    }
    std::vector<float> whole(size_t count, int most)
    {
        std::vector<float> v(count);
        for (float &x : v)
            x = (float)(below(2 * most + 1) - most);
        return v;
    }
    std::vector<float> real(size_t count, float most)
    {
        std::vector<float> v(count);
        for (float &x : v)
            x = most * ((float)below(1 << 20) / (1 << 19) - 1.0f);
        return v;
    }
};

// Memory of the emulated device.
struct device {
    void *at = nullptr;
    size_t bytes;
    explicit device(size_t bytes_) : bytes(bytes_)
    {
        CHECK_INT(cudaMalloc(&at, bytes), cudaSuccess);
    }
    explicit device(const std::vector<char> &from) : device(from.size())
    {
        CHECK_INT(cudaMemcpy(at, from.data(), bytes, cudaMemcpyHostToDevice), cudaSuccess);
    }
    explicit device(const std::vector<float> &from) : device(as_type(KERNEL_F32, from))
    {
    }
    device(const device &) = delete;
    ~device()
    {
        cudaFree(at);
    }
    float *floats() const
    {
        return (float *)at;
    }
    std::vector<char> read() const
    {
        std::vector<char> to(bytes);
        cudaMemcpy(to.data(), at, bytes, cudaMemcpyDeviceToHost);
        return to;
    }
    std::vector<float> read_floats() const
    {
        const std::vector<char> from = read();
        std::vector<float> to(bytes / 4);
        memcpy(to.data(), from.data(), bytes);
        return to;
    }
};

// [picture][c][pixel] to [picture][pixel][stored channels].
static inline std::vector<float> stored(const std::vector<float> &planes, int pictures,
                                        int channels, int pixels)
{
    const int wide = kernel_channels(channels);
    std::vector<float> to((size_t)pictures * pixels * wide, 0.0f);
    for (int n = 0; n < pictures; n++)
        for (int c = 0; c < channels; c++)
            for (int p = 0; p < pixels; p++)
                to[((size_t)n * pixels + p) * wide + c] =
                    planes[((size_t)n * channels + c) * pixels + p];
    return to;
}

// Waits; no kernel may have broken a rule.
static inline void finish(cudaStream_t stream)
{
    const cudaError_t status = cudaStreamSynchronize(stream);
    CHECK_TEXT(emulator_fault(), "");
    CHECK_INT(status, cudaSuccess);
}

#endif
