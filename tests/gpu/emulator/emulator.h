/* SPDX-License-Identifier: MIT
 *
 * A GPU made of one CPU thread: the kernels of gpu/cuda, and the C code that launches them, run
 * without a GPU and without NVIDIA's toolkit. Kernels are compiled by the C++ compiler with the
 * headers of include/ in place of NVIDIA's, once for each architecture (EMULATED_ARCH 750, 800,
 * 900), so that each variant of a kernel is run.
 *
 *     emulator_reset(seed);              // a bare device; another seed, another legal order
 *     ... code that calls cudaMalloc(), launches, ...
 *     CHECK_TEXT(emulator_fault(), "");  // no kernel and no call broke a rule
 *     CHECK_INT(emulator_live_objects(), 0);
 *
 * What it shows where a test passes: the arithmetic; which thread computes what (fragments of
 * ldmatrix, mma and wgmma as the PTX manual lays them out); that nothing depends on the order of
 * blocks, warps and streams; that copies and matrix products are waited for (they land when their
 * wait is reached and not before, until then their place holds NaN); that shared memory and fresh
 * allocations are written before they are read (NaN too); that no access leaves an allocation
 * (pages around it are closed) or touches the device's memory from the host; 16-byte alignment;
 * collectives that part of a warp misses; limits on shared memory and blocks; what happens when a
 * call fails. Built with -fsanitize=thread, races inside a block are found.
 *
 * What it cannot show: speed; the rounding inside tensor cores (here the sums are in float, one
 * product after another); the weak memory model between blocks; register pressure; bank
 * conflicts; races between two warps that happen to run in a harmless order in every seed, but
 * under -fsanitize=thread; alignment of plain loads other than what a CPU traps.
 *
 * A fault is what a real device would not survive, or what our own rules forbid: it is kept as
 * text, and from then on every call fails with cudaErrorIllegalAddress. Any thread may call. */
#ifndef DARKROOM_TESTS_EMULATOR_H
#define DARKROOM_TESTS_EMULATOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Forgets faults and failures to come: one device of this capability, as 75 or 90, with 16 GiB.
 * What is allocated stays. */
void emulator_reset_as(int capability, uint64_t seed);

#ifdef EMULATED_ARCH
/* The device that this test's kernels were compiled for. */
static inline void emulator_reset(uint64_t seed)
{
    emulator_reset_as(EMULATED_ARCH / 10, seed);
}
#endif

/* The first fault since emulator_reset(); "" without one. */
const char *emulator_fault(void);

/* What the device says of itself; 0: there is no device. */
void emulator_set_capability(int capability);

void emulator_set_memory(size_t bytes);

/* Allocations (device and pinned), streams, events, graphs that nobody has given back. */
int emulator_live_objects(void);
size_t emulator_device_bytes(void);
size_t emulator_device_peak(void); /* since emulator_reset() */

/* The n-th call from now that may fail does so once: 1 is the next; 0: none. Memory: calls that
 * allocate; all: these, launches, copies, streams, graphs. */
void emulator_fail_memory(int nth);
void emulator_fail_any(int nth);
long emulator_calls(void);    /* that may fail, since emulator_reset() */
long emulator_launches(void); /* kernels that ran, since emulator_reset() */

#ifdef __cplusplus
}
#endif

#endif
