// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/fiber.h"

#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATOR_RACES
#include <sanitizer/tsan_interface.h>
#endif

// A sanitizer's frames are wider.
#if defined(__SANITIZE_ADDRESS__) || defined(EMULATOR_RACES)
static const size_t STACK_BYTES = 256 << 10;
#else
static const size_t STACK_BYTES = 64 << 10;
#endif
static const size_t GUARD_BYTES = 4096;

// Saves what the calling convention says a callee keeps, and continues where the other stood.
extern "C" void emulator_switch_stack(void **from, void *to);
asm(R"(
.text
.type emulator_switch_stack, @function
emulator_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch_stack, .-emulator_switch_stack
)");

static fiber *switched_from;

static void arrived(fiber &here)
{
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(here.sanitizer, &bottom, &size);
    if (!switched_from->stack) {
        switched_from->bottom = bottom;
        switched_from->size = size;
    }
#else
    (void)here;
#endif
}

static void (*first_entry)();

static void begin()
{
    fiber unused;
    arrived(unused);
    first_entry();
    abort();
}

void fiber::start(void (*entry)())
{
    if (!stack) {
        void *memory = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE) != 0)
            abort();
        stack = static_cast<char *>(memory) + GUARD_BYTES;
        bottom = stack;
        size = STACK_BYTES;
#ifdef EMULATOR_RACES
        sanitizer = __tsan_create_fiber(0);
#endif
    }
#ifdef __SANITIZE_ADDRESS__
    // The calls that it stood in are abandoned, and what they left poisoned is no concern of the
    // next. After a bad access it stood on the signal handler's stack.
    char *left = static_cast<char *>(stack_pointer);
    if (left < stack || left > stack + STACK_BYTES)
        left = stack;
    __asan_unpoison_memory_region(left, (size_t)(stack + STACK_BYTES - left));
    sanitizer = nullptr;
#endif
    // As if begin() were about to be returned to: six registers, its address, an aligned stack.
    first_entry = entry;
    uintptr_t *top = reinterpret_cast<uintptr_t *>(stack + STACK_BYTES) - 1;
    *top = 0;
    *--top = reinterpret_cast<uintptr_t>(begin);
    for (int i = 0; i < 6; i++)
        *--top = 0;
    stack_pointer = top;
}

void fiber::adopt()
{
#ifdef EMULATOR_RACES
    sanitizer = __tsan_get_current_fiber();
#endif
}

fiber::~fiber()
{
    if (!stack)
        return;
#ifdef EMULATOR_RACES
    __tsan_destroy_fiber(sanitizer);
#endif
    munmap(stack - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
}

void fiber_switch(fiber &from, fiber &to)
{
    switched_from = &from;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from.sanitizer, to.bottom, to.size);
#endif
#ifdef EMULATOR_RACES
    // No happens-before of its own: only barriers order threads.
    __tsan_switch_to_fiber(to.sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
    emulator_switch_stack(&from.stack_pointer, to.stack_pointer);
    arrived(from);
}
