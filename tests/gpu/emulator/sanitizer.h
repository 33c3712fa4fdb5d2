// SPDX-License-Identifier: MIT
//
// What the race detector (ThreadSanitizer) is told: the emulator itself is compiled without it, so
// that only what the kernels do is watched, and what functions of the C library copy; and only
// barriers order threads. Nothing in other builds.
#ifndef DARKROOM_EMULATOR_SANITIZER_H
#define DARKROOM_EMULATOR_SANITIZER_H

#ifdef EMULATOR_RACES
extern "C" void __tsan_acquire(void *);
extern "C" void __tsan_release(void *);
extern "C" void __tsan_read_range(void *, unsigned long);
extern "C" void AnnotateIgnoreReadsBegin(const char *, int);
extern "C" void AnnotateIgnoreReadsEnd(const char *, int);
extern "C" void AnnotateIgnoreWritesBegin(const char *, int);
extern "C" void AnnotateIgnoreWritesEnd(const char *, int);
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

// Work of a whole warp that one lane does is no race.
struct race_pause {
#ifdef EMULATOR_RACES
    race_pause()
    {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    ~race_pause()
    {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
#else
    race_pause()
    {
    }
#endif
};

#endif
