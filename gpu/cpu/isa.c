/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"

#include <dnnl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#include <cpuid.h>
#endif

#define AMX_BF16 (1u << 22)
#define AMX_TILE (1u << 24)
#define AMX_INT8 (1u << 25)
#define OSXSAVE (1u << 27)
#define XCR0_TILES (1u << 17 | 1u << 18)

/* arch_prctl(2): the 8 KiB of a thread's tiles are saved for those only who asked. */
#define REQUEST_PERMISSION 0x1023
#define TILE_DATA 18

bool isa_amx_is_a_trap(const struct isa_registers *registers)
{
    if (!(registers->leaf7_edx & (AMX_BF16 | AMX_TILE | AMX_INT8)))
        return false;
    return registers->max_leaf < 0x1d || registers->leaf1d_eax == 0 ||
           (registers->palette1_eax & 0xffff) == 0 || registers->palette1_ebx == 0;
}

bool isa_amx_may_be_asked_for(const struct isa_registers *registers)
{
    const uint32_t needed = AMX_BF16 | AMX_TILE;
    return (registers->leaf7_edx & needed) == needed && (registers->leaf1_ecx & OSXSAVE) &&
           (registers->xcr0 & XCR0_TILES) == XCR0_TILES;
}

void isa_read_registers(struct isa_registers *out)
{
    *out = (struct isa_registers){0};
#if defined __x86_64__
    uint32_t a, b, c, d;
    out->max_leaf = (uint32_t)__get_cpuid_max(0, NULL);
    if (__get_cpuid(1, &a, &b, &c, &d))
        out->leaf1_ecx = c;
    if (out->leaf1_ecx & OSXSAVE)
        __asm__ volatile("xgetbv" : "=a"(out->xcr0), "=d"(d) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        out->leaf7_edx = d;
    if (__get_cpuid_count(0x1d, 0, &a, &b, &c, &d))
        out->leaf1d_eax = a;
    if (__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) {
        out->palette1_eax = a;
        out->palette1_ebx = b;
    }
#endif
}

static void limit(void)
{
    struct isa_registers registers;
    isa_read_registers(&registers);
    /* Fails only where primitives exist already, or the environment has capped it: both keep. */
    if (isa_amx_is_a_trap(&registers))
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
}

void isa_limit_onednn(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, limit);
}

enum isa_vectors isa_vectors(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return ISA_AVX2;
#endif
    return ISA_PLAIN;
}

bool isa_has_bf16_vectors(void)
{
#if defined __x86_64__
    return isa_vectors() == ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

static bool amx_permitted;

static void ask_for_amx(void)
{
#if defined __x86_64__
    struct isa_registers registers;
    isa_read_registers(&registers);
    amx_permitted = isa_amx_may_be_asked_for(&registers) &&
                    syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#endif
}

bool isa_amx_permitted(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask_for_amx);
    return amx_permitted;
}
