/* SPDX-License-Identifier: MIT */
#include "common/id.h"

#include "tests/unit/check.h"

static void a_public_id_carries_its_shard(void)
{
    char id[ID_PUBLIC_SIZE];
    id_public_create(0xa7, id);
    CHECK_INT(strlen(id), 34);
    CHECK(id_public_valid(id));
    CHECK_INT(id_public_shard(id), 0xa7);
    CHECK_INT(id_public_small("0a123456789abc00000000000000000000"), 0x123456789abc);
}

static void ids_do_not_repeat_and_every_digit_varies(void)
{
    char ids[200][ID_PUBLIC_SIZE];
    for (int i = 0; i < 200; i++)
        id_public_create(0, ids[i]);
    for (int i = 1; i < 200; i++)
        CHECK(strcmp(ids[0], ids[i]) != 0);
    for (int digit = 2; digit < 34; digit++) {
        unsigned seen = 0;
        for (int i = 0; i < 200; i++) {
            char one[2] = {ids[i][digit], 0};
            seen |= 1u << strtoul(one, NULL, 16);
        }
        /* Two hundred throws miss one of sixteen values in 4 of a million digits; three, never. */
        CHECK(__builtin_popcount(seen) >= 14);
    }
}

static void what_is_no_id_is_refused(void)
{
    static const char *const bad[] = {"",
                                      "00",
                                      "zz123456789abc00000000000000000000",
                                      "0A123456789abc00000000000000000000",
                                      "0a123456789abc000000000000000000000",
                                      "0a123456789abc0000000000000000000\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!id_public_valid(bad[i]));
    CHECK(!id_public_valid(NULL));
}

static void a_worker_has_a_name_of_its_own(void)
{
    char first[ID_NAME_SIZE], second[ID_NAME_SIZE], nonce[ID_NAME_SIZE];
    id_worker_create(first);
    id_worker_create(second);
    id_nonce_create(nonce);
    CHECK(id_worker_valid(first));
    CHECK(strcmp(first, second) != 0);
    CHECK(!id_worker_valid(nonce));
    CHECK_INT(strlen(nonce), 32);
}

int main(void)
{
    RUN(a_public_id_carries_its_shard);
    RUN(ids_do_not_repeat_and_every_digit_varies);
    RUN(what_is_no_id_is_refused);
    RUN(a_worker_has_a_name_of_its_own);
    return check_report();
}
