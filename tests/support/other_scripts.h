/* SPDX-License-Identifier: MIT
 *
 * A program as its next versions will be: linked with --wrap=redis_command_script, it sends the
 * scripts of another version of the protocol, which are other scripts to Redis.
 *
 *     other_scripts_use(3);      // as DARKROOM_TEST_PROTOCOL=3 does from outside
 *     other_scripts_use(0);      // some of ours and some of 3's, at random
 *
 * 2: ours. One thread. */
#ifndef DARKROOM_TESTS_OTHER_SCRIPTS_H
#define DARKROOM_TESTS_OTHER_SCRIPTS_H

#include "common/redis.h"

extern const struct redis_script *const queue_scripts_3[], *const queue_scripts_4[];

void other_scripts_use(int version);

/* What --wrap makes of a call, and of the function that was meant. */
void __wrap_redis_command_script(struct redis_command *command, const struct redis_script *script,
                                 const char *prefix);
void __real_redis_command_script(struct redis_command *command, const struct redis_script *script,
                                 const char *prefix);

#endif
