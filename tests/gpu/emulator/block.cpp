// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/block.h"
#include "tests/gpu/emulator/sanitizer.h"

#include <algorithm>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator
{

thread *running;

namespace
{

struct warp {
    const char *name; // of the collective that lanes wait at; nullptr: none
    unsigned mask, arrived;
    unsigned live; // lanes whose threads have not ended
    void *operands[WARP];
    int ready;
};

struct barrier {
    int expected, arrived;
    unsigned generation;
    char order[2]; // what the race detector orders threads by, of even and odd generations
    std::vector<thread *> waiting;
};

struct {
    std::vector<std::unique_ptr<thread>> threads; // kept from block to block
    int count, alive;
    std::vector<warp> warps;
    barrier barriers[MAX_BARRIERS];
    fiber scheduler;
    const std::function<void()> *body;
    char *shared;                      // owned; a closed page behind what a block asked for
    size_t shared_bytes, shared_start; // its last bytes are what the block asked for
    char begun, ended; // what the race detector orders blocks by
    bool faulted;
} block;

// More than any architecture has.
const size_t SHARED_LIMIT = 256 << 10;
const size_t PAGE = 4096;

uint64_t dice_state = 1;
char fault[512];

void wake(thread *t)
{
    t->state = THREAD_READY;
    block.warps[t->number / WARP].ready++;
}

// Gives way until somebody calls wake().
void sleep_at(const char *where)
{
    thread *self = running;
    self->state = THREAD_WAITS;
    self->waits_at = where;
    block.warps[self->number / WARP].ready--;
    fiber_switch(self->context, block.scheduler);
}

void barrier_open(barrier &b)
{
    for (thread *t : b.waiting)
        wake(t);
    b.waiting.clear();
    b.arrived = 0;
    b.expected = 0;
    b.generation++;
}

void thread_main()
{
    order_after(&block.begun);
    (*block.body)();
    order_before(&block.ended);
    thread *self = running;
    warp &w = block.warps[self->number / WARP];
    if (w.name && (w.mask & 1u << self->number % WARP))
        kernel_fault("a thread ended while its warp waits for it at %s", w.name);
    self->state = THREAD_DONE;
    w.live &= ~(1u << self->number % WARP);
    w.ready--;
    block.alive--;
    barrier &all = block.barriers[0];
    if (!all.waiting.empty() && all.expected == 0 && (int)all.waiting.size() == block.alive)
        barrier_open(all);
    fiber_switch(self->context, block.scheduler);
    abort();
}

// Where all threads wait, for whoever looks for the barrier that is missing.
void tell_deadlock()
{
    char text[256] = "";
    for (int i = 0; i < block.count; i++) {
        const thread *t = block.threads[i].get();
        const thread *before = i > 0 ? block.threads[i - 1].get() : nullptr;
        if (t->state != THREAD_WAITS ||
            (before && before->state == THREAD_WAITS && !strcmp(before->waits_at, t->waits_at)))
            continue;
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, " %d: %s;", i, t->waits_at);
    }
    fault_keep("deadlock in block %u,%u,%u; from thread on:%s", blockIdx.x, blockIdx.y, blockIdx.z,
               text);
    block.faulted = true;
}

void run_warp(int number)
{
    warp &w = block.warps[number];
    const int first = number * WARP, last = std::min(first + WARP, block.count);
    while (w.ready > 0)
        for (int i = first; i < last && !block.faulted; i++) {
            thread *t = block.threads[i].get();
            if (t->state != THREAD_READY)
                continue;
            running = t;
            threadIdx = t->index;
            fiber_switch(block.scheduler, t->context);
            running = nullptr;
            if (block.faulted)
                return;
        }
}

void run_block(dim3 shape)
{
    block.warps.assign((block.count + WARP - 1) / WARP, warp{});
    order_after(&block.ended); // of the block before
    for (barrier &b : block.barriers) {
        b = barrier{};
        b.waiting.reserve(MAX_THREADS);
    }
    block.alive = block.count;
    memset(block_shared(), 0xff, block.shared_bytes);
    tensor_core_reset((int)block.warps.size());
    for (int i = 0; i < block.count; i++) {
        thread *t = block.threads[i].get();
        t->number = i;
        t->index = uint3{i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
        t->state = THREAD_READY;
        t->groups.assign(1, {});
        t->meetings = 0;
        t->context.start(thread_main);
        block.warps[i / WARP].ready++;
        block.warps[i / WARP].live |= 1u << i % WARP;
    }
    order_before(&block.begun);
    while (block.alive > 0 && !block.faulted) {
        const int warps = (int)block.warps.size(), lot = (int)dice((uint32_t)warps);
        int chosen = -1;
        for (int i = 0; i < warps && chosen < 0; i++)
            if (block.warps[(lot + i) % warps].ready > 0)
                chosen = (lot + i) % warps;
        if (chosen < 0)
            tell_deadlock();
        else
            run_warp(chosen);
    }
    if (!block.faulted)
        tensor_core_finish();
    block.faulted = fault_text()[0] != '\0';
}

// Memory that no access may touch: the pages around allocations, and addresses of nothing.
void on_bad_access(int, siginfo_t *info, void *)
{
    if (!running) {
        static const char text[] = "the host touched memory of the device, or none at all\n";
        signal(SIGSEGV, SIG_DFL);
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            abort();
        return; // and come here again, to die of it
    }
    kernel_fault("access to %p, which is in no allocation", info->si_addr);
}

void catch_bad_accesses()
{
    static char own_stack[64 << 10];
    stack_t stack = {};
    stack.ss_sp = own_stack;
    stack.ss_size = sizeof own_stack;
    struct sigaction action = {};
    action.sa_sigaction = on_bad_access;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaltstack(&stack, nullptr);
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

void make_room(int threads)
{
    while ((int)block.threads.size() < threads)
        block.threads.push_back(std::make_unique<thread>());
    if (block.shared)
        return;
    void *memory =
        mmap(nullptr, SHARED_LIMIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect((char *)memory + SHARED_LIMIT - PAGE, PAGE, PROT_NONE))
        abort();
    block.shared = (char *)memory;
}

} // namespace

void warp_meet(unsigned mask, const char *name, void *operand, warp_act act)
{
    const int number = running->number / WARP, lane = running->number % WARP;
    warp &w = block.warps[number];
    if (!(mask & 1u << lane))
        kernel_fault("lane %d calls %s with mask %08x, which leaves it out", lane, name, mask);
    if (w.name && ((w.name != name && strcmp(w.name, name)) || w.mask != mask))
        kernel_fault("lane %d is at %s (mask %08x), others of its warp at %s (%08x)", lane, name,
                     mask, w.name, w.mask);
    if (mask & ~w.live)
        kernel_fault("%s with mask %08x waits for lanes that are no more (alive: %08x)", name, mask,
                     w.live);
    w.name = name;
    w.mask = mask;
    w.operands[lane] = operand;
    w.arrived |= 1u << lane;
    if (w.arrived != mask) {
        sleep_at(name);
        return;
    }
    w.name = nullptr;
    w.arrived = 0;
    {
        race_pause quiet;
        act(number, w.operands, mask);
    }
    for (int i = 0; i < WARP; i++)
        if (i != lane && mask & 1u << i)
            wake(block.threads[number * WARP + i].get());
}

void warp_sync(unsigned mask)
{
    // Two in turn: a lane that is a whole meeting ahead must not order one that lags behind.
    static char order[MAX_THREADS / WARP][2];
    const int number = running->number / WARP;
    char *mine = &order[number][running->meetings++ % 2];
    order_before(mine);
    warp_meet(mask, "__syncwarp()", nullptr, [](int, void *const *, unsigned) {});
    order_after(mine);
}

namespace
{

struct shuffle_operand {
    uint32_t bits, result;
    shuffle_kind kind;
    int operand, width;
};

int shuffle_source(const shuffle_operand &o, int lane)
{
    const int first = lane / o.width * o.width;
    int from = lane;
    switch (o.kind) {
    case SHUFFLE_INDEX: return first + o.operand % o.width;
    case SHUFFLE_XOR: from = lane ^ o.operand; break;
    case SHUFFLE_DOWN: from = lane + o.operand; break;
    case SHUFFLE_UP: from = lane - o.operand; break;
    }
    return from < first || from >= first + o.width ? lane : from;
}

void shuffle_act(int, void *const operands[WARP], unsigned mask)
{
    for (int lane = 0; lane < WARP; lane++) {
        if (!(mask & 1u << lane))
            continue;
        auto &mine = *(shuffle_operand *)operands[lane];
        const int from = shuffle_source(mine, lane);
        if (!(mask & 1u << from))
            kernel_fault("lane %d shuffles from lane %d, which is not in mask %08x", lane, from,
                         mask);
        mine.result = ((const shuffle_operand *)operands[from])->bits;
    }
}

} // namespace

uint32_t shuffle_bits(unsigned mask, uint32_t bits, shuffle_kind kind, int operand, int width)
{
    shuffle_operand o = {bits, 0, kind, operand, width};
    warp_meet(mask, "a shuffle", &o, shuffle_act);
    return o.result;
}

void barrier_wait(int id, int count)
{
    if (id < 0 || id >= MAX_BARRIERS || count % WARP)
        kernel_fault("barrier %d of %d threads: 0 to 15, whole warps", id, count);
    barrier &b = block.barriers[id];
    if (b.arrived > 0 && b.expected != count)
        kernel_fault("barrier %d: %d threads here, %d there", id, count, b.expected);
    b.expected = count;
    b.arrived++;
    char *order = &b.order[b.generation % 2];
    order_before(order);
    if (b.arrived == (count ? count : block.alive)) {
        barrier_open(b);
    } else {
        b.waiting.push_back(running);
        sleep_at(id == 0 ? "__syncthreads()" : "a named barrier");
    }
    order_after(order);
}

void kernel_fault(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fault_keep("block %u,%u,%u thread %u,%u,%u: %s", blockIdx.x, blockIdx.y, blockIdx.z,
               threadIdx.x, threadIdx.y, threadIdx.z, text);
    block.faulted = true;
    order_before(&block.ended);
    fiber_switch(running->context, block.scheduler);
    abort();
}

char *block_shared()
{
    return block.shared + block.shared_start;
}

size_t block_shared_bytes()
{
    return block.shared_bytes;
}

bool grid_run(dim3 grid, dim3 shape, size_t shared_bytes, const std::function<void()> &body)
{
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    // In an order that nobody can rely on, and no list of it: a step coprime to their number.
    uint64_t step = blocks > 2 ? 1 + dice((uint32_t)blocks - 1) : 1, at = dice((uint32_t)blocks);
    while (blocks > 2 && std::__gcd(step, blocks) != 1)
        step = step % (blocks - 1) + 1;
    catch_bad_accesses();
    block.count = (int)(shape.x * shape.y * shape.z);
    make_room(block.count);
    block.shared_bytes = (shared_bytes + 15) / 16 * 16;
    block.shared_start = SHARED_LIMIT - PAGE - (shared_bytes + 1023) / 1024 * 1024;
    block.body = &body;
    block.faulted = false;
    block.scheduler.adopt();
    gridDim = grid;
    blockDim = shape;
    for (uint64_t i = 0; i < blocks && !block.faulted; i++, at = (at + step) % blocks) {
        blockIdx = uint3{(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                         (unsigned)(at / grid.x / grid.y)};
        run_block(shape);
    }
    order_after(&block.ended);
    return !block.faulted;
}

void dice_seed(uint64_t seed)
{
    dice_state = seed * 2 + 1;
}

// splitmix64's step and mix (Steele, Lea, Flood 2014)
uint32_t dice(uint32_t sides)
{
    uint64_t z = dice_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32) % sides;
}

void fault_keep(const char *format, ...)
{
    if (fault[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(fault, sizeof fault, format, args);
    va_end(args);
}

const char *fault_text()
{
    return fault;
}

void fault_forget()
{
    fault[0] = '\0';
}

} // namespace emulator
