// SPDX-License-Identifier: MIT
//
// wgmma: each warp of four multiplies its 16 rows when it waits, from what shared memory holds
// then.
#include "tests/gpu/emulator/block.h"
#include "tests/gpu/emulator/halves.h"
#include "tests/gpu/emulator/shared.h"
#include "tests/gpu/emulator/tensor_core.h"

#include <cmath>
#include <cstring>
#include <map>

namespace emulator
{

namespace
{

const unsigned ALL = 0xffffffff;

struct product {
    half_kind kind;
    int n;
    uint64_t a_descriptor, b_descriptor;
    bool a_in_registers, add;
    float *d[WARP];
    uint32_t a[WARP][4];
};

// What one lane brings to the collective.
struct product_operand {
    half_kind kind;
    int n;
    float *d;
    const uint32_t *a;
    uint64_t a_descriptor, b_descriptor;
    bool add;
};

typedef std::vector<std::vector<float>> fragments; // by lane

struct warp_queue {
    std::vector<std::vector<product>> groups; // the last is still open
    std::map<float *, fragments> sums;        // of lane 0's d: the true values while d is poison
    std::vector<uint64_t> issued;             // what the other warps of four must issue as well
    bool fenced;
};

std::vector<warp_queue> queues;

// Where the 8 halves lie that hold columns 8 * half .. + 7 of a row, K-major.
const char *core_row(uint64_t descriptor, int row, int half)
{
    const uint64_t start = (descriptor & 0x3fff) << 4, leading = (descriptor >> 16 & 0x3fff) << 4,
                   stride = (descriptor >> 32 & 0x3fff) << 4;
    const int swizzle = (int)(descriptor >> 62);
    uint64_t at = start + (uint64_t)(row / 8) * stride;
    if (descriptor >> 49 & 7)
        kernel_fault("wgmma: a base offset is not emulated");
    if (swizzle == 0)
        at += (uint64_t)half * leading + (uint64_t)(row % 8) * 16;
    else if (swizzle == 1)
        at += (uint64_t)(row % 8) * 128 + (uint64_t)half * 16;
    else
        kernel_fault("wgmma: swizzle %d is not emulated", swizzle);
    if (swizzle == 1)
        at ^= at >> 3 & 0x70;
    if (at + 16 > block_shared_bytes())
        kernel_fault("wgmma: a descriptor leads out of shared memory, to byte %zu", (size_t)at);
    return block_shared() + at;
}

void read_row(half_kind kind, uint64_t descriptor, int row, float out[16])
{
    for (int half = 0; half < 2; half++) {
        uint16_t values[8];
        memcpy(values, core_row(descriptor, row, half), sizeof values);
        for (int i = 0; i < 8; i++)
            out[half * 8 + i] =
                kind == HALF_F16 ? f16_to_float(values[i]) : bf16_to_float(values[i]);
    }
}

void read_a(const product &p, int warp_of_four, float out[16][16])
{
    for (int row = 0; row < 16 && !p.a_in_registers; row++)
        read_row(p.kind, p.a_descriptor, warp_of_four * 16 + row, out[row]);
    for (int lane = 0; lane < WARP && p.a_in_registers; lane++)
        for (int i = 0; i < 8; i++) {
            const uint16_t bits = (uint16_t)(p.a[lane][i / 2] >> 16 * (i % 2));
            out[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2] =
                p.kind == HALF_F16 ? f16_to_float(bits) : bf16_to_float(bits);
        }
}

void run_product(const product &p, int warp_of_four, fragments &sums)
{
    float a[16][16], b[16];
    read_a(p, warp_of_four, a);
    for (int column = 0; column < p.n; column++) {
        read_row(p.kind, p.b_descriptor, column, b);
        for (int row = 0; row < 16; row++) {
            float &d = sums[(size_t)(row % 8 * 4 + column % 8 / 2)]
                           [(size_t)(column / 8 * 4 + row / 8 * 2 + column % 2)];
            float sum = p.add ? d : 0.0f;
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k];
            d = sum;
        }
    }
}

void check_fenced(uint64_t descriptor, int first, int rows)
{
    for (int row = first; row < first + rows; row++)
        for (int half = 0; half < 2; half++)
            if (!shared_is_fenced(core_row(descriptor, row, half)))
                kernel_fault("wgmma reads shared memory whose writer made no fence.proxy.async");
}

void issue_act(int warp, void *const operands[WARP], unsigned)
{
    warp_queue &q = queues[(size_t)warp];
    const product_operand &first = *(const product_operand *)operands[0];
    product p = {
        first.kind, first.n, first.a_descriptor, first.b_descriptor, first.a != nullptr, first.add,
        {},         {}};
    if (!q.fenced)
        kernel_fault("wgmma without wgmma.fence before");
    for (int lane = 0; lane < WARP; lane++) {
        const product_operand &o = *(const product_operand *)operands[lane];
        if (o.a_descriptor != p.a_descriptor || o.b_descriptor != p.b_descriptor || o.n != p.n ||
            o.add != p.add)
            kernel_fault("wgmma: lanes of a warp disagree about the operands");
        p.d[lane] = o.d;
        if (o.a)
            memcpy(p.a[lane], o.a, sizeof p.a[lane]);
    }
    if (!p.a_in_registers)
        check_fenced(p.a_descriptor, warp % 4 * 16, 16);
    check_fenced(p.b_descriptor, 0, p.n);
    if (!q.sums.count(p.d[0])) {
        fragments &sums = q.sums[p.d[0]];
        for (int lane = 0; lane < WARP; lane++) {
            sums.emplace_back(p.d[lane], p.d[lane] + p.n / 2);
            memset(p.d[lane], 0xff, sizeof(float) * (size_t)p.n / 2);
        }
    }
    q.issued.insert(q.issued.end(), {p.a_descriptor, p.b_descriptor, (uint64_t)p.n * 2 + p.add});
    q.groups.back().push_back(p);
}

bool still_pending(const warp_queue &q, const float *d)
{
    for (const auto &group : q.groups)
        for (const product &p : group)
            if (p.d[0] == d)
                return true;
    return false;
}

void wait_act(int warp, void *const operands[WARP], unsigned)
{
    warp_queue &q = queues[(size_t)warp];
    const int left = *(const int *)operands[0];
    while ((int)q.groups.size() - 1 > left) {
        const std::vector<product> group = q.groups.front();
        q.groups.erase(q.groups.begin());
        for (const product &p : group)
            run_product(p, warp % 4, q.sums[p.d[0]]);
        for (const product &p : group) {
            if (still_pending(q, p.d[0]) || !q.sums.count(p.d[0]))
                continue;
            for (int lane = 0; lane < WARP; lane++)
                memcpy(p.d[lane], q.sums[p.d[0]][(size_t)lane].data(),
                       sizeof(float) * (size_t)p.n / 2);
            q.sums.erase(p.d[0]);
        }
        q.fenced = false;
    }
}

void fence_act(int warp, void *const[WARP], unsigned)
{
    queues[(size_t)warp].fenced = true;
}

void commit_act(int warp, void *const[WARP], unsigned)
{
    queues[(size_t)warp].groups.emplace_back();
}

} // namespace

void warpgroup_multiply(half_kind kind, int n, float *d, const uint32_t *a, uint64_t a_descriptor,
                        uint64_t b_descriptor, bool add_to_d)
{
    product_operand operand = {kind, n, d, a, a_descriptor, b_descriptor, add_to_d};
    if (n < 8 || n > 256 || n % 8)
        kernel_fault("wgmma: n is %d", n);
    warp_meet(ALL, "wgmma", &operand, issue_act);
}

void warpgroup_fence()
{
    warp_meet(ALL, "wgmma.fence", nullptr, fence_act);
}

void warpgroup_commit()
{
    warp_meet(ALL, "wgmma.commit_group", nullptr, commit_act);
}

void warpgroup_wait(int groups_left)
{
    warp_meet(ALL, "wgmma.wait_group", &groups_left, wait_act);
}

void proxy_fence()
{
    shared_fenced();
}

void tensor_core_reset(int warps)
{
    shared_reset();
    queues.assign((size_t)warps, warp_queue());
    for (warp_queue &q : queues)
        q.groups.resize(1);
}

void tensor_core_finish()
{
    for (size_t i = 0; i < queues.size(); i++) {
        if (!queues[i].sums.empty())
            fault_keep("warp %zu ended without waiting for its wgmma", i);
        const size_t leader = i / 4 * 4;
        if (queues[i].issued != queues[leader].issued)
            fault_keep("warps %zu and %zu of a warpgroup issued different wgmma", leader, i);
    }
}

} // namespace emulator
