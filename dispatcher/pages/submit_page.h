/* SPDX-License-Identifier: MIT
 *
 * What submit.html is filled with.
 *
 *     data = submit_page_data(&(struct submit_page){.call = call, .model = model, ...});
 *     page_send(call, 200, "submit.html", data);
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_SUBMIT_PAGE_H
#define DARKROOM_DISPATCHER_PAGES_SUBMIT_PAGE_H

#include "common/json.h"

#include <stdbool.h>

struct again;
struct call;
struct forecast;
struct manifest;
struct problem;

/* All borrowed for the call. */
struct submit_page {
    const struct call *call;
    const struct manifest *model;
    const struct forecast *forecast; /* NULL: nothing is known of the queue */
    const struct again *again;       /* whose crop is the picture; NULL: one is chosen */
    /* What was typed and sent before; NULL, "" and false where nothing was. */
    const json_t *params;
    const char *email;
    bool consent;
    const struct problem *problem; /* with it; NULL: none */
};

/* Owned by the caller; NULL for want of memory. */
json_t *submit_page_data(const struct submit_page *page);

#endif
