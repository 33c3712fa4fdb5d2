/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"
#include "gpu/cpu/rows.h"
#include "gpu/cpu/winograd_steps.h"

/* The widest table of three: `avx512`, `avx2`, `plain`. */
#if defined __x86_64__
#define WIDEST(name)                                                                               \
    (isa_vectors() == ISA_AVX512 ? &name##_avx512                                                  \
     : isa_vectors() == ISA_AVX2 ? &name##_avx2                                                    \
                                 : &name##_plain)
#else
#define WIDEST(name) (&name##_plain)
#endif

const struct row_functions *rows_functions(void)
{
    return WIDEST(rows);
}

const struct winograd_steps *winograd_steps(void)
{
    return WIDEST(winograd);
}
