/* SPDX-License-Identifier: MIT
 *
 * Asking the dispatcher for presigned links: the body of POST /v1/grants and its answer
 * (docs/api.md, "Grants").
 *
 *     rc = grants_format(worker, tasks, count, &body, &err);
 *     ... POST ...
 *     rc = grants_parse(answer.data, answer.size, tasks, count, &err);
 *
 * Pure functions; any thread that owns the tasks. */
#ifndef DARKROOM_WORKER_GRANTS_H
#define DARKROOM_WORKER_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct task;

/* The most bytes that an answer for `count` tasks may have. */
size_t grants_max_bytes(size_t count);

/* Appends the JSON. ERR_LIMIT, ERR_NOMEM. */
int grants_format(const char *worker, struct task *const *tasks, size_t count, struct buf *out,
                  struct err *err);

/* Fills `grant` of every task that got one. Marks in out_lost (one for each task) those whose
 * lease the dispatcher found gone. ERR_CORRUPT for an answer that isn't one, or that leaves a
 * task out; then no task was changed. */
int grants_parse(const void *data, size_t size, struct task *const *tasks, size_t count,
                 bool *out_lost, struct err *err);

#endif
