// SPDX-License-Identifier: MIT
//
// What PTX does asynchronously or for a whole warp; include/gpu/cuda/ptx.cuh gives it its names.
//
// Fragments as the PTX manual draws them (9.7.14, 9.7.15): with g = lane / 4 and t = lane % 4, A of
// m16n8k16 holds rows g and g + 8, columns 2t, 2t+1 and 8 further; B the same of its columns; C
// rows g and g + 8, columns 2t, 2t+1. Sums are in float, k ascending.
#ifndef DARKROOM_EMULATOR_TENSOR_CORE_H
#define DARKROOM_EMULATOR_TENSOR_CORE_H

#include <cstdint>

namespace emulator
{

enum half_kind { HALF_F16, HALF_BF16 };

// 16 bytes, both aligned to 16; zeros where !valid. `to` holds NaN until the copy's group is waited
// for, but `at_once`.
void async_copy(void *to, const void *from, bool valid, bool at_once);
void async_commit();
void async_wait(int groups_left);

// `matrices` 1, 2 or 4 of 8 x 8 halves; out[matrices].
void load_matrices(uint32_t *out, const void *row, int matrices, bool transposed);

// k: 8 or 16; a[k/4], b[k/8], c[4].
void multiply(half_kind kind, int k, float *c, const uint32_t *a, const uint32_t *b);

// As a descriptor counts: bytes from the start of shared memory.
uint32_t shared_address(const void *pointer);

// d[n/2] += A (64 x 16) B (16 x n), both K-major in shared memory, by descriptor; A from registers
// (a[4]) where `a` is given. d holds NaN until the group is waited for.
void warpgroup_multiply(half_kind kind, int n, float *d, const uint32_t *a, uint64_t a_descriptor,
                        uint64_t b_descriptor, bool add_to_d);
void warpgroup_fence();
void warpgroup_commit();
void warpgroup_wait(int groups_left);
void proxy_fence();

} // namespace emulator

#endif
