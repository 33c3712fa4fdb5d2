/* SPDX-License-Identifier: MIT
 *
 * Lists: a visitor's or an account's pictures, and what operators see. Both are filled by their
 * scripts, from the API alone: the tokens of the one and the keys of either never come here. */
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

void page_history(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "history.html", json_pack("{s:o?}", "models", page_models(call)));
}

void page_fleet(struct dispatcher *dispatcher, struct call *call)
{
    page_send(call, 200, "fleet.html", json_pack("{s:o?}", "models", page_models(call)));
}
