/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 24

void cli_view_init(struct cli_view *view, bool quiet)
{
    *view = (struct cli_view){.quiet = quiet, .terminal = isatty(STDERR_FILENO)};
}

bool cli_status_is_final(const struct cli_status *status)
{
    return !strcmp(status->state, "succeeded") || !strcmp(status->state, "failed") ||
           !strcmp(status->state, "cancelled");
}

/* "[######      ]  25 %", or only the percentage. */
static void format_share(double share, bool bar, char *out, size_t size)
{
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    char drawn[BAR_WIDTH + 1];
    memset(drawn, ' ', BAR_WIDTH);
    memset(drawn, '#', (size_t)(share * BAR_WIDTH + 0.5));
    drawn[BAR_WIDTH] = 0;
    if (bar)
        snprintf(out, size, "[%s] %3d %%", drawn, (int)(share * 100));
    else
        snprintf(out, size, "%d %%", (int)(share * 100));
}

static void format_wait(const struct cli_status *status, char *out, size_t size)
{
    char before[64] = "", eta[64] = "";
    if (status->position == 0)
        snprintf(before, sizeof before, ": next in line");
    else if (status->position > 0)
        snprintf(before, sizeof before, ": %" PRId64 " before it", status->position);
    if (status->eta_s >= 120)
        snprintf(eta, sizeof eta, ", about %" PRId64 " min", (status->eta_s + 30) / 60);
    else if (status->eta_s >= 0)
        snprintf(eta, sizeof eta, ", about %" PRId64 " s", status->eta_s);
    snprintf(out, size, "Waiting%s%s", before, eta);
}

void cli_view_format(const struct cli_status *status, bool bar, char *out, size_t size)
{
    char share[64];
    if (!strcmp(status->state, "queued")) {
        format_wait(status, out, size);
    } else if (!strcmp(status->state, "running")) {
        format_share(status->progress, bar, share, sizeof share);
        snprintf(out, size, "Working %s", share);
    } else if (!strcmp(status->state, "delayed")) {
        snprintf(out, size, "Waiting to be tried again");
    } else if (!strcmp(status->state, "succeeded")) {
        snprintf(out, size, "Ready");
    } else if (!strcmp(status->state, "failed")) {
        snprintf(out, size, "Failed: %.200s",
                 status->error_detail[0] ? status->error_detail : status->error_code);
    } else if (!strcmp(status->state, "cancelled")) {
        snprintf(out, size, "Cancelled");
    } else {
        snprintf(out, size, "%s", status->state);
    }
}

static void show(struct cli_view *view, const char *text)
{
    if (view->quiet || !strncmp(view->last, text, sizeof view->last - 1))
        return;
    snprintf(view->last, sizeof view->last, "%.*s", (int)sizeof view->last - 1, text);
    if (view->terminal)
        fprintf(stderr, "\r\033[K%s", text);
    else
        fprintf(stderr, "%s\n", text);
    view->open = view->terminal;
}

void cli_view_upload(struct cli_view *view, int64_t sent, int64_t total)
{
    char share[64], text[128];
    /* In a log the beginning says enough. */
    if (!view->terminal)
        sent = 0;
    format_share(total > 0 ? (double)sent / (double)total : 0, true, share, sizeof share);
    if (view->terminal)
        snprintf(text, sizeof text, "Sending %s", share);
    else
        snprintf(text, sizeof text, "Sending %" PRId64 " bytes", total);
    show(view, text);
}

void cli_view_status(struct cli_view *view, const struct cli_status *status)
{
    char text[320];
    struct cli_status shown = *status;
    /* In a log a line for each quarter is enough. */
    if (!view->terminal)
        shown.progress = (int)(shown.progress * 4) / 4.0;
    cli_view_format(&shown, view->terminal, text, sizeof text);
    show(view, text);
}

void cli_view_note(struct cli_view *view, const char *text)
{
    show(view, text);
}

void cli_view_end(struct cli_view *view)
{
    if (view->open)
        fputc('\n', stderr);
    view->open = false;
}
