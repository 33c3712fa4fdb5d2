/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"
#include "gpu/cpu/tiles/tiles.h"

int tiles_available(const struct tile_functions *out[TILES_MAX_FUNCTIONS])
{
    int count = 0;
    out[count++] = &tiles_plain;
#if defined __x86_64__
    if (isa_vectors() >= ISA_AVX2)
        out[count++] = &tiles_avx2;
    if (isa_vectors() >= ISA_AVX512)
        out[count++] = &tiles_avx512;
    if (isa_has_bf16_vectors())
        out[count++] = &tiles_bf16;
    if (isa_amx_permitted())
        out[count++] = &tiles_amx;
#endif
    return count;
}
