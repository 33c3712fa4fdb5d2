/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"
#include "gpu/cpu/rows.h"

const struct row_functions *rows_functions(void)
{
    switch (isa_vectors()) {
#if defined __x86_64__
    case ISA_AVX512: return &rows_avx512;
    case ISA_AVX2: return &rows_avx2;
#else
    case ISA_AVX512:
    case ISA_AVX2:
#endif
    case ISA_PLAIN:
    case ISA_VECTORS_COUNT: break;
    }
    return &rows_plain;
}
