/* SPDX-License-Identifier: MIT
 *
 * The tokens of submitted jobs, so that `darkroom get ID` needs nothing but the id:
 * $XDG_STATE_HOME/darkroom/jobs.json, readable by its owner only.
 *
 *     rc = cli_state_add(path, &job, &err);
 *     rc = cli_state_find(path, "6f1c", &job, &err);
 *
 * Newest first, CLI_STATE_MAX_JOBS of them; older ones are forgotten. Written as a whole under a
 * lock, so that commands may run at once. */
#ifndef DARKROOM_DISPATCHER_CLI_STATE_H
#define DARKROOM_DISPATCHER_CLI_STATE_H

#include "dispatcher/cli/cli.h"

#define CLI_STATE_MAX_JOBS 1000
#define CLI_STATE_MIN_PREFIX 4
#define CLI_STATE_PATH 1024

/* $XDG_STATE_HOME/darkroom/jobs.json, or ~/.local/state/… ERR_NOT_FOUND: neither is set. */
int cli_state_path(char out[CLI_STATE_PATH], struct err *err);

/* Puts a job in front, making folders where needed. */
int cli_state_add(const char *path, const struct cli_job *job, struct err *err);
/* Forgets a job; harmless when it is not there. */
int cli_state_remove(const char *path, const char *id, struct err *err);

/* By id or by the beginning of one. ERR_NOT_FOUND; ERR_CONFLICT where several begin so. */
int cli_state_find(const char *path, const char *id, struct cli_job *out_job, struct err *err);

/* Up to `max` newest jobs; *out_jobs is owned by the caller (free). No file is no job. */
int cli_state_list(const char *path, size_t max, struct cli_job **out_jobs, size_t *out_count,
                   struct err *err);

#endif
