/* SPDX-License-Identifier: MIT
 *
 * How a job's way is shown on standard error: a line that redraws itself on a terminal, a plain
 * line for each change elsewhere, nothing for programs (--json).
 *
 *     cli_view_init(&view, quiet);
 *     cli_view_upload(&view, sent, total);
 *     cli_view_status(&view, &status);
 *     cli_view_end(&view);          // leaves the line: text may follow
 *
 * One thread. */
#ifndef DARKROOM_DISPATCHER_CLI_VIEW_H
#define DARKROOM_DISPATCHER_CLI_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_status {
    char id[64];
    char model[65];
    char state[16];
    int64_t position, eta_s; /* -1: unknown */
    double progress;         /* 0 … 1 */
    char error_code[64];     /* "" unless failed */
    char error_detail[300];
    char page[640];
};

struct cli_view {
    bool quiet, terminal;
    bool open;      /* the cursor stands behind a line of ours */
    char last[160]; /* what was shown last */
};

void cli_view_init(struct cli_view *view, bool quiet);
void cli_view_upload(struct cli_view *view, int64_t sent, int64_t total);
void cli_view_status(struct cli_view *view, const struct cli_status *status);
/* A remark, such as that the server is away. */
void cli_view_note(struct cli_view *view, const char *text);
void cli_view_end(struct cli_view *view);

/* True for succeeded, failed and cancelled. */
bool cli_status_is_final(const struct cli_status *status);

/* The line for a status; a bar only where `bar` is set. For tests. */
void cli_view_format(const struct cli_status *status, bool bar, char *out, size_t size);

#endif
