// SPDX-License-Identifier: MIT
//
// The threads of a block, and where they wait for each other.
//
// One fiber for each thread. A warp is chosen by lot among those that can go on and runs as far as
// it gets, lane after lane: a missing barrier lets it run far ahead of the others. Collectives of a
// warp (shuffles, matrix products) are met by all lanes of their mask; the last to come does the
// work for all. Blocks run one after another in an order drawn by lot.
// Everything here belongs to whoever holds the emulator's lock.
#ifndef DARKROOM_EMULATOR_BLOCK_H
#define DARKROOM_EMULATOR_BLOCK_H

#include "tests/gpu/emulator/fiber.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

namespace emulator
{

const int WARP = 32;
const int MAX_THREADS = 1024;
const int MAX_BARRIERS = 16;

struct pending_copy {
    char *to;
    const char *from;
    bool valid; // else zeros
};

enum thread_state { THREAD_READY, THREAD_WAITS, THREAD_DONE };

struct thread {
    fiber context;
    uint3 index;
    int number; // in its block
    enum thread_state state;
    const char *waits_at;                          // what for, for whoever reads of a deadlock
    unsigned meetings;                             // of __syncwarp()
    std::vector<std::vector<pending_copy>> groups; // of cp.async: the last is still open
};

// What each lane brings to a collective, and what is done when all have come.
typedef void (*warp_act)(int warp, void *const operands[WARP], unsigned mask);

// The thread that runs; nullptr: none does.
extern thread *running;

// Out of the calling kernel's thread. `mask`: the lanes that come.
void warp_meet(unsigned mask, const char *name, void *operand, warp_act act);
void warp_sync(unsigned mask); // and orders the memory of its lanes
// All threads of the block that are not done (count 0), or the first `count` to come.
void barrier_wait(int id, int count);
// Ends the grid: what a device would trap on.
[[noreturn]] void kernel_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Shared memory of the block that runs.
char *block_shared();
size_t block_shared_bytes();

// Runs body() in all threads of all blocks; false after a fault, which is kept.
bool grid_run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);

// The emulator's dice: the same for the same seed.
void dice_seed(uint64_t seed);
uint32_t dice(uint32_t sides);

// Keeps the first fault.
void fault_keep(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *fault_text();
void fault_forget();

enum shuffle_kind { SHUFFLE_INDEX, SHUFFLE_XOR, SHUFFLE_DOWN, SHUFFLE_UP };
// 32 bits of another lane, or the own where there is none in its `width` lanes.
uint32_t shuffle_bits(unsigned mask, uint32_t bits, shuffle_kind kind, int operand, int width);
template <typename T> T shuffle(unsigned mask, T value, shuffle_kind kind, int operand, int width)
{
    static_assert(sizeof(T) == sizeof(uint32_t), "shuffles move 32 bits");
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = shuffle_bits(mask, bits, kind, operand, width);
    memcpy(&value, &bits, sizeof bits);
    return value;
}

// Called at each start of a block, and when a warp's thread has nothing left to do.
void tensor_core_reset(int warps);
void tensor_core_finish();

} // namespace emulator

#endif
