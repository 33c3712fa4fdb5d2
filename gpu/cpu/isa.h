/* SPDX-License-Identifier: MIT
 *
 * Which instructions may be used on this machine.
 *
 * Some virtual machines advertise AMX but stop CPUID at leaf 0x1C, so that leaf 0x1D (the tile
 * palettes) reads zero. oneDNN then loads palette 0 and dies of SIGILL at its first tile. Hence:
 * isa_limit_onednn() before the first primitive is made. The units themselves work there, and our
 * own kernels use them: palette 1 is as every machine with AMX has it. Any thread. */
#ifndef DARKROOM_GPU_CPU_ISA_H
#define DARKROOM_GPU_CPU_ISA_H

#include <stdbool.h>
#include <stdint.h>

/* What CPUID says, as far as the decision needs it; a leaf past the greatest reads as zero. */
struct isa_registers {
    uint32_t max_leaf;     /* leaf 0, EAX */
    uint32_t leaf1_ecx;    /* leaf 1, ECX: bit 27 OSXSAVE, without which there is no XCR0 */
    uint32_t leaf7_edx;    /* leaf 7.0: bit 22 AMX-BF16, 24 AMX-TILE, 25 AMX-INT8 */
    uint32_t leaf1d_eax;   /* leaf 0x1D.0: the greatest palette */
    uint32_t palette1_eax; /* leaf 0x1D.1: total tile bytes, low half; bytes of a tile, high */
    uint32_t palette1_ebx; /* leaf 0x1D.1: bytes of a row, low half; tiles, high */
    uint32_t xcr0;         /* what the system saves: bits 17 and 18 the tiles */
};

/* True where AMX is advertised and yet its tiles are not described: it must not be used. */
bool isa_amx_is_a_trap(const struct isa_registers *registers);

/* True where the machine has bf16 tiles and the system saves them: then it may be asked for them.
 */
bool isa_amx_may_be_asked_for(const struct isa_registers *registers);

void isa_read_registers(struct isa_registers *out);

/* Caps oneDNN's instruction set below AMX where that is needed; the first call decides. */
void isa_limit_onednn(void);

/* The vector loops of ours, from plain to wide. */
enum isa_vectors { ISA_PLAIN, ISA_AVX2, ISA_AVX512, ISA_VECTORS_COUNT };
enum isa_vectors isa_vectors(void);

/* Products of bf16 in vectors of 512 bits. */
bool isa_has_bf16_vectors(void);

/* Whether this process may use bf16 tiles: the first call asks the system, which may refuse. */
bool isa_amx_permitted(void);

#endif
