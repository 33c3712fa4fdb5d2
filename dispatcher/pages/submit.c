/* SPDX-License-Identifier: MIT
 *
 * Where a picture is handed in to a model. */
#include "common/manifest.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

void page_model(struct dispatcher *dispatcher, struct call *call)
{
    char name[MANIFEST_MAX_NAME + 1];
    if (router_capture(&call->match, 0, name, sizeof name) &&
        manifest_set_find(&dispatcher->models, name))
        page_send(call, 200, "submit.html", NULL);
    else
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no model of this name");
}
