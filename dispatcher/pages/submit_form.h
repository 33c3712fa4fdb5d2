/* SPDX-License-Identifier: MIT
 *
 * POST /m/{model}: the form of the page as a browser without scripts sends it. It goes the way of
 * any submission (jobs/submit.c), which asks here where a person is owed another answer than a
 * program:
 *
 *     if (call->page && !page_form_settle(call, form, idem_key)) return;   // a field was refused
 *     if (call->page) return page_form_accepted(call, public_id);          // 303 to the job's page
 *     if (call->page) return page_form_again(call, problem);               // the form, filled in
 *
 * Parts: `input`, `email`, `consent` (demanded), `crop`, `param.<name>`, and `key`, which the page
 * was sent with: pressed twice, the button hands in once. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_SUBMIT_FORM_H
#define DARKROOM_DISPATCHER_PAGES_SUBMIT_FORM_H

#include "common/queue_idem.h"

#include <stdbool.h>

struct answer;
struct call;
struct form;
struct page_form;
struct problem;

void page_form_destroy(struct page_form **page);

/* What the form says becomes what intake.h reads, and out_key its Idempotency-Key ("": none).
 * False: a field is wrong, and it was answered. */
bool page_form_settle(struct call *call, struct form *form, char out_key[QUEUE_IDEM_HASH_SIZE]);

/* On failure nothing was answered. */
int page_form_accepted(struct call *call, const char *public_id);

/* The page with what was typed and the problem beside its field; NULL for want of memory. */
struct answer *page_form_again(struct call *call, const struct problem *problem);

#endif
