/* SPDX-License-Identifier: MIT
 *
 * Problems as a person reads them. */
#include "common/catalogue.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/problem.h"
#include "dispatcher/http/server.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/pages.h"
#include "dispatcher/pages/submit_form.h"

#include <stdio.h>
#include <string.h>

/* Title and explanation are texts of the section "error"; what has none of its own is "other". */
static const char *words(enum problem_kind kind)
{
    switch (kind) {
    case PROBLEM_NOT_FOUND: return "not_found";
    case PROBLEM_UNAUTHORIZED:
    case PROBLEM_FORBIDDEN: return "forbidden";
    case PROBLEM_TOO_LARGE: return "too_large";
    case PROBLEM_RATE_LIMITED: return "rate_limited";
    case PROBLEM_UNAVAILABLE: return "unavailable";
    case PROBLEM_INTERNAL: return "internal";
    case PROBLEM_MALFORMED:
    case PROBLEM_METHOD:
    case PROBLEM_NOT_ACCEPTABLE:
    case PROBLEM_CONFLICT:
    case PROBLEM_IN_FLIGHT:
    case PROBLEM_KEY_REUSED:
    case PROBLEM_LENGTH_REQUIRED:
    case PROBLEM_MEDIA_TYPE:
    case PROBLEM_INVALID: return "other";
    }
    return "other";
}

static json_t *text_of(const struct catalogue_language *language, const char *word,
                       const char *ending)
{
    char name[64];
    snprintf(name, sizeof name, "error.%s_%s", word, ending);
    return json_string(catalogue_text(language, name));
}

struct answer *pages_problem(void *context, struct exchange *exchange,
                             const struct problem *problem)
{
    struct dispatcher *dispatcher = context;
    struct call *call = exchange_user(exchange);
    if (call && call->page)
        return page_form_again(call, problem);
    if (strncmp(exchange_path(exchange), "/v1/", 4) == 0 || !page_wanted(exchange))
        return NULL;
    const struct catalogue_language *language = page_language(dispatcher, exchange);
    const char *word = words(problem->kind);
    return page_make(dispatcher, exchange, "error.html",
                     json_pack("{s:o, s:o, s:i, s:s?}", "title", text_of(language, word, "title"),
                               "text", text_of(language, word, "text"), "status",
                               (int)problem_status(problem->kind), "detail",
                               strcmp(word, "other") == 0 ? problem->detail : NULL));
}
