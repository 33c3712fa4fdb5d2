/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"

#include "tests/unit/check.h"

/* A bare Sapphire Rapids; the cases below take something away. */
static const struct isa_registers whole = {
    .max_leaf = 0x20,
    .leaf7_edx = 1u << 22 | 1u << 24 | 1u << 25,
    .leaf1d_eax = 1,
    .palette1_eax = 1024u << 16 | 8192,
    .palette1_ebx = 8u << 16 | 64,
};

static void amx_with_described_tiles_is_used(void)
{
    CHECK(!isa_amx_is_a_trap(&whole));
}

static void a_machine_without_amx_needs_no_cap(void)
{
    struct isa_registers r = {.max_leaf = 0x10};
    CHECK(!isa_amx_is_a_trap(&r));
    r = (struct isa_registers){.max_leaf = 0x20, .leaf7_edx = ~(1u << 22 | 1u << 24 | 1u << 25)};
    CHECK(!isa_amx_is_a_trap(&r));
}

static void amx_advertised_without_tile_leaves_is_a_trap(void)
{
    struct isa_registers r = {.max_leaf = 0x1c, .leaf7_edx = whole.leaf7_edx};
    CHECK(isa_amx_is_a_trap(&r));
    r = whole;
    r.max_leaf = 0x1c;
    CHECK(isa_amx_is_a_trap(&r));
    r = whole;
    r.leaf1d_eax = 0;
    CHECK(isa_amx_is_a_trap(&r));
    r = whole;
    r.palette1_eax = r.palette1_ebx = 0;
    CHECK(isa_amx_is_a_trap(&r));
    r = (struct isa_registers){.max_leaf = 0x1f, .leaf7_edx = 1u << 24};
    CHECK(isa_amx_is_a_trap(&r));
}

static void this_machine_is_read_and_limited_without_harm(void)
{
    struct isa_registers r;
    isa_read_registers(&r);
    isa_limit_onednn();
    isa_limit_onednn();
    CHECK(isa_vectors() < ISA_VECTORS_COUNT);
}

int main(void)
{
    RUN(amx_with_described_tiles_is_used);
    RUN(a_machine_without_amx_needs_no_cap);
    RUN(amx_advertised_without_tile_leaves_is_a_trap);
    RUN(this_machine_is_read_and_limited_without_harm);
    return check_report();
}
