// SPDX-License-Identifier: MIT
//
// What the race detector is told: the emulator itself is compiled without it, so that only what
// the kernels do is watched, and only barriers order threads. Nothing in other builds.
#ifndef DARKROOM_EMULATOR_SANITIZER_H
#define DARKROOM_EMULATOR_SANITIZER_H

#ifdef EMULATOR_RACES
extern "C" void __tsan_acquire(void *);
extern "C" void __tsan_release(void *);
extern "C" void __tsan_read_range(void *, unsigned long);
extern "C" void __tsan_write_range(void *, unsigned long);
#endif

// What came before here comes before what follows order_after() of the same address.
static inline void order_before(void *address)
{
#ifdef EMULATOR_RACES
    __tsan_release(address);
#else
    (void)address;
#endif
}

static inline void order_after(void *address)
{
#ifdef EMULATOR_RACES
    __tsan_acquire(address);
#else
    (void)address;
#endif
}

static inline void race_read(const void *address, unsigned long bytes)
{
#ifdef EMULATOR_RACES
    __tsan_read_range(const_cast<void *>(address), bytes);
#else
    (void)address, (void)bytes;
#endif
}

static inline void race_write(void *address, unsigned long bytes)
{
#ifdef EMULATOR_RACES
    __tsan_write_range(address, bytes);
#else
    (void)address, (void)bytes;
#endif
}

#endif
