/* SPDX-License-Identifier: MIT
 *
 * The page of a job, and the one that asks before it is deleted. */
#include "dispatcher/call.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

void page_job(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    if (call_public_id(call, public_id))
        page_send(call, 200, "job.html", NULL);
}

void page_delete(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    if (call_public_id(call, public_id))
        page_send(call, 200, "delete.html", NULL);
}
