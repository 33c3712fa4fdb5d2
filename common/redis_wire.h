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
struct redis_reply;
struct redis_target;

#define REDIS_WIRE_MAX (64u * 1024 * 1024)

/* Appends the command as Redis reads it; `with_body` sends EVAL and the script's text in place of
 * EVALSHA and its hash. The command's own failure, ERR_NOMEM, ERR_LIMIT. */
int redis_wire_append(struct buf *out, const struct redis_command *command, bool with_body);

/* A copy of its own, in which nothing can be added; 0 or ERR_NOMEM. */
int redis_command_copy(struct redis_command *out, const struct redis_command *command);

/* True for the error that asks for the script's text. */
bool redis_reply_is_noscript(const struct redis_reply *reply);
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
