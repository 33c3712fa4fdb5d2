/* SPDX-License-Identifier: MIT
 *
 * The tokens of a job that was handed in without scripts. The link of its page has the token to
 * view; those to manage and to delete it travel in cookies that only this job's pages are sent, no
 * script sees, and no other site can make a browser send.
 *
 *     job_cookies_put(dispatcher, public_id, answer);                        // 303 to /j/{id}
 *     if (job_cookies_allow(call, TOKEN_DELETE, public_id)) ...              // of /j/{id}/…
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_JOB_COOKIES_H
#define DARKROOM_DISPATCHER_PAGES_JOB_COOKIES_H

#include "common/token.h"

#include <stdbool.h>

struct answer;
struct call;
struct dispatcher;

/* Sets "manage" and "delete" for as long as a job and its result are kept. ERR_NOMEM and the like:
 * then without cookies, and the job is reached by its link alone. */
int job_cookies_put(const struct dispatcher *dispatcher, const char *public_id,
                    struct answer *answer);

/* Does the request bring the cookie of this right, and is it this job's? Whoever acts on it asks
 * cors_is_own_page() first. */
bool job_cookies_allow(const struct call *call, enum token_right right, const char *public_id);

/* Forgets both, for an answer that has deleted the job. */
void job_cookies_drop(const struct dispatcher *dispatcher, const char *public_id,
                      struct answer *answer);

#endif
