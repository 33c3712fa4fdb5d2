/* SPDX-License-Identifier: MIT
 *
 * What the two connections share; only common/redis*.c include this. */
#ifndef DARKROOM_COMMON_REDIS_WIRE_H
#define DARKROOM_COMMON_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct redis_command;
struct redis_library;
struct redis_reply;
struct redis_target;

#define REDIS_WIRE_MAX (64u * 1024 * 1024)

/* By what a server is told which script to run: FCALL and its name, EVALSHA and its hash, EVAL and
 * its text. */
enum redis_form { REDIS_BY_NAME, REDIS_BY_HASH, REDIS_BY_TEXT };

/* Appends the command as Redis reads it; a script without a function goes by its hash instead of
 * its name. The command's own failure, ERR_NOMEM, ERR_LIMIT. */
int redis_wire_append(struct buf *out, const struct redis_command *command, enum redis_form form);

/* True where the reply says that a script is unknown in the form in which it was sent, or that the
 * server has no such form or does not let us use it; then *out_form is the next one to try. */
bool redis_reply_wants_form(const struct redis_reply *reply, enum redis_form *out_form);

/* Loads a script's library. 0 where it is there after the reply; ERR_UNAVAILABLE: not now; another
 * code: not by us. */
void redis_command_load(struct redis_command *command, const struct redis_library *library);
int redis_load_check(const struct redis_reply *reply);

/* Where a server had no functions they are asked for again so much later: somebody else may have
 * loaded them. */
#define REDIS_FUNCTIONS_AGAIN_MS 2000

/* A copy of its own, in which nothing can be added; 0 or ERR_NOMEM. */
int redis_command_copy(struct redis_command *out, const struct redis_command *command);

/* True for an error that says that this server is not the one to talk to any more. */
bool redis_reply_is_demoted(const struct redis_reply *reply);

/* The commands that follow a connect, AUTH, SELECT, ROLE and PING: `step` counts from 0; false past
 * the last. */
bool redis_handshake(const struct redis_target *target, int step, struct redis_command *command);
/* 0 where the reply to one of them lets us go on. ERR_UNAVAILABLE also for a replica. */
int redis_handshake_check(const struct redis_reply *reply, struct err *err);

/* Which server that is, for people: a path, or host and port. */
#define REDIS_PLACE_SIZE 280
void redis_target_place(const struct redis_target *target, char out[REDIS_PLACE_SIZE]);

#endif
