/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/isa.h"

#include "tests/unit/check.h"

/* A bare Sapphire Rapids; the cases below take something away. */
static const struct isa_registers whole = {
    .max_leaf = 0x20,
    .leaf1_ecx = 1u << 27,
    .leaf7_edx = 1u << 22 | 1u << 24 | 1u << 25,
    .leaf1d_eax = 1,
    .palette1_eax = 1024u << 16 | 8192,
    .palette1_ebx = 8u << 16 | 64,
    .xcr0 = 0x602e7,
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

static void amx_is_asked_for_even_where_its_leaves_are_hidden(void)
{
    struct isa_registers r = whole;
    CHECK(isa_amx_may_be_asked_for(&r));
    r.max_leaf = 0x1c;
    r.leaf1d_eax = r.palette1_eax = r.palette1_ebx = 0;
    CHECK(isa_amx_is_a_trap(&r) && isa_amx_may_be_asked_for(&r));
    r.leaf7_edx = 1u << 22 | 1u << 24; /* bytes are not needed */
    CHECK(isa_amx_may_be_asked_for(&r));
}

static void amx_is_not_asked_for_without_bf16_tiles_or_a_system_that_saves_them(void)
{
    struct isa_registers r = whole;
    r.leaf7_edx = 1u << 24 | 1u << 25;
    CHECK(!isa_amx_may_be_asked_for(&r));
    r.leaf7_edx = 1u << 22 | 1u << 25;
    CHECK(!isa_amx_may_be_asked_for(&r));
    r = whole;
    r.leaf1_ecx = 0; /* then XCR0 cannot be read */
    CHECK(!isa_amx_may_be_asked_for(&r));
    r = whole;
    r.xcr0 = 0xe7; /* vectors of 512 bits, no tiles */
    CHECK(!isa_amx_may_be_asked_for(&r));
    r.xcr0 = 0x200e7; /* the configuration without the data */
    CHECK(!isa_amx_may_be_asked_for(&r));
    CHECK(!isa_amx_may_be_asked_for(&(struct isa_registers){0}));
}

static void this_machine_is_read_and_limited_without_harm(void)
{
    struct isa_registers r;
    isa_read_registers(&r);
    isa_limit_onednn();
    isa_limit_onednn();
    CHECK(isa_vectors() < ISA_VECTORS_COUNT);
    CHECK(isa_vectors() == ISA_AVX512 || !isa_has_bf16_vectors());
    CHECK(isa_amx_may_be_asked_for(&r) || !isa_amx_permitted());
    CHECK(isa_amx_permitted() == isa_amx_permitted());
}

int main(void)
{
    RUN(amx_with_described_tiles_is_used);
    RUN(a_machine_without_amx_needs_no_cap);
    RUN(amx_advertised_without_tile_leaves_is_a_trap);
    RUN(amx_is_asked_for_even_where_its_leaves_are_hidden);
    RUN(amx_is_not_asked_for_without_bf16_tiles_or_a_system_that_saves_them);
    RUN(this_machine_is_read_and_limited_without_harm);
    return check_report();
}
