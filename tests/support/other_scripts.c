/* SPDX-License-Identifier: MIT */
#include "tests/support/other_scripts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OURS 2
#define UNKNOWN (-1)

static _Atomic int chosen = UNKNOWN;
static uint32_t dice = 1;

void other_scripts_use(int version)
{
    chosen = version;
}

static int version_now(void)
{
    const char *told = getenv("DARKROOM_TEST_PROTOCOL");
    if (chosen == UNKNOWN)
        chosen = told ? (int)strtol(told, NULL, 10) : OURS;
    if (chosen != 0)
        return chosen;
    dice = dice * 1664525 + 1013904223;
    return dice >> 31 ? OURS : OURS + 1;
}

void __wrap_redis_command_script(struct redis_command *command, const struct redis_script *script,
                                 const char *prefix)
{
    int version = version_now();
    const struct redis_script *const *others = version == OURS       ? NULL
                                               : version == OURS + 1 ? queue_scripts_3
                                                                     : queue_scripts_4;
    for (; others && *others; others++)
        if (strcmp((*others)->name, script->name) == 0) {
            script = *others;
            break;
        }
    __real_redis_command_script(command, script, prefix);
}
