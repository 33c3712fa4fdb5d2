/* SPDX-License-Identifier: MIT
 *
 * What guard.c and its sources share.
 *
 *     rc = guard_aws_tell(&guard, GUARD_BUSY, &err);   // 0: it is known now
 *
 * tell() runs on a thread of its own and may block until guard_ended(). */
#ifndef DARKROOM_WORKER_GUARD_SOURCE_H
#define DARKROOM_WORKER_GUARD_SOURCE_H

#include "worker/guard.h"

const char *guard_word_name(enum guard_word word);

/* Nobody waits for this telling any more. on_progress: the same, as a http_request wants it. */
bool guard_ended(const struct guard *guard);
int guard_on_progress(void *guard, int64_t sent_bytes, int64_t received_bytes);

int guard_command_open(const struct guard *guard, struct err *err);
/* Starts the program; 0 or an errno. */
int guard_command_start(const struct guard *guard, enum guard_word word, pid_t *out_pid);

int guard_kubernetes_open(const struct guard *guard, struct err *err);
int guard_kubernetes_tell(struct guard *guard, enum guard_word word, struct err *err);

int guard_aws_open(struct guard *guard, struct err *err);
int guard_aws_tell(struct guard *guard, enum guard_word word, struct err *err);
void guard_aws_close(struct guard *guard);

#endif
