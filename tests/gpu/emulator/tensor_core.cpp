// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/tensor_core.h"
#include "tests/gpu/emulator/block.h"
#include "tests/gpu/emulator/halves.h"
#include "tests/gpu/emulator/sanitizer.h"
#include "tests/gpu/emulator/shared.h"

#include <cstring>

namespace emulator
{

namespace
{

const unsigned ALL = 0xffffffff;

float half_value(half_kind kind, uint32_t pair, int which)
{
    const uint16_t bits = (uint16_t)(pair >> 16 * which);
    return kind == HALF_F16 ? f16_to_float(bits) : bf16_to_float(bits);
}

struct load_operand {
    const char *row; // 8 halves; nullptr where this lane brings none
    uint32_t *out;
    int matrices;
    bool transposed;
};

void load_act(int, void *const operands[WARP], unsigned)
{
    for (int lane = 0; lane < WARP; lane++) {
        const load_operand &mine = *(const load_operand *)operands[lane];
        for (int m = 0; m < mine.matrices; m++) {
            uint16_t pair[2];
            for (int i = 0; i < 2; i++) {
                const int row = mine.transposed ? lane % 4 * 2 + i : lane / 4;
                const int column = mine.transposed ? lane / 4 : lane % 4 * 2 + i;
                const auto &from = *(const load_operand *)operands[m * 8 + row];
                memcpy(&pair[i], from.row + column * 2, sizeof pair[i]);
            }
            mine.out[m] = pair[0] | (uint32_t)pair[1] << 16;
        }
    }
}

struct multiply_operand {
    half_kind kind;
    int k;
    float *c;
    const uint32_t *a, *b;
};

void multiply_act(int, void *const operands[WARP], unsigned)
{
    float a[16][16], b[16][8];
    const multiply_operand &first = *(const multiply_operand *)operands[0];
    const int k = first.k;
    for (int lane = 0; lane < WARP; lane++) {
        const multiply_operand &o = *(const multiply_operand *)operands[lane];
        const int g = lane / 4, t = lane % 4;
        if (o.k != k || o.kind != first.kind)
            kernel_fault("lanes of a warp multiply matrices of different kinds");
        for (int part = 0; part < k / 8; part++)
            for (int i = 0; i < 2; i++) {
                a[g][part * 8 + 2 * t + i] = half_value(o.kind, o.a[part * 2], i);
                a[g + 8][part * 8 + 2 * t + i] = half_value(o.kind, o.a[part * 2 + 1], i);
                b[part * 8 + 2 * t + i][g] = half_value(o.kind, o.b[part], i);
            }
    }
    float sum[16][8];
    for (int lane = 0; lane < WARP; lane++)
        for (int i = 0; i < 4; i++)
            sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] =
                ((const multiply_operand *)operands[lane])->c[i];
    for (int row = 0; row < 16; row++)
        for (int step = 0; step < k; step++)
            for (int column = 0; column < 8; column++)
                sum[row][column] += a[row][step] * b[step][column];
    for (int lane = 0; lane < WARP; lane++)
        for (int i = 0; i < 4; i++)
            ((const multiply_operand *)operands[lane])->c[i] =
                sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

} // namespace

void load_matrices(uint32_t *out, const void *row, int matrices, bool transposed)
{
    load_operand operand = {(const char *)row, out, matrices, transposed};
    if (running->number % WARP < matrices * 8) {
        shared_check(row, 16, 16, "ldmatrix");
        race_read(row, 16);
    }
    warp_meet(ALL, transposed ? "ldmatrix.trans" : "ldmatrix", &operand, load_act);
}

void multiply(half_kind kind, int k, float *c, const uint32_t *a, const uint32_t *b)
{
    multiply_operand operand = {kind, k, c, a, b};
    warp_meet(ALL, "mma", &operand, multiply_act);
}

uint32_t shared_address(const void *pointer)
{
    shared_check(pointer, 1, 1, "the address of shared memory");
    return (uint32_t)((const char *)pointer - block_shared());
}

} // namespace emulator
