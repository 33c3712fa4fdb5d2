// SPDX-License-Identifier: MIT
//
// Threads that give way only when they say so: one stack each, switched by hand.
//
//     fiber.start(entry, argument);
//     fiber_switch(scheduler, fiber);   // runs until somebody switches back
//
// Sanitizers are told of each switch. x86-64 only: that is where the tests run.
#ifndef DARKROOM_EMULATOR_FIBER_H
#define DARKROOM_EMULATOR_FIBER_H

#include <cstddef>

struct fiber {
    void *stack_pointer = nullptr;
    char *stack = nullptr; // owned; lowest byte; nullptr: the thread that was there first
    void *sanitizer = nullptr;
    const void *bottom = nullptr; // as the sanitizer knows the first thread's stack
    size_t size = 0;

    ~fiber();
    // The next switch to it calls entry(), which never returns.
    void start(void (*entry)());
    // Adopts the thread that calls.
    void adopt();
};

void fiber_switch(fiber &from, fiber &to);

#endif
