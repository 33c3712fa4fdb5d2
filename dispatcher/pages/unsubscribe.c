/* SPDX-License-Identifier: MIT
 *
 * /u/{token}, where the owner of an address says that it wants no more mails: GET asks, POST acts,
 * and POST to /again undoes it. The token alone is the right to it, so a mail program may POST for
 * its user (RFC 8058) without cookies, and whatever stands in the body does not matter. */
#include "common/unsubscribe.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mail_ledger.h"
#include "common/redis.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

#define MAX_BODY_BYTES 16384

/* What the page shows; the names of the template's sections and of the titles' texts. */
static const struct {
    const char *section, *title;
} views[] = {{"ask", "mail.stop.title"},
             {"done", "mail.stop.done_title"},
             {"again", "mail.stop.again_title"},
             {"bad", "mail.stop.bad_title"}};
enum view { ASK, DONE, AGAIN, BAD };

static void show(struct call *call, enum view view)
{
    char token[UNSUBSCRIBE_TOKEN_SIZE] = "";
    if (view != BAD)
        router_capture(&call->match, 0, token, sizeof token);
    struct answer *answer =
        page_make(call->dispatcher, call->exchange, "unsubscribe.html",
                  json_pack("{s:b, s:s, s:s}", views[view].section, 1, "title",
                            page_text(call, views[view].title), "token", token));
    if (answer)
        exchange_respond(call->exchange, view == BAD ? 404 : 200, answer);
    else if (view == DONE || view == AGAIN) /* no pages here, but what was asked is done */
        exchange_respond(call->exchange, 204, NULL);
    else
        call_refuse(call, PROBLEM_NOT_FOUND, NULL);
}

/* False: it is no link of ours, and the page says so. */
static bool read_link(struct call *call, char id[UNSUBSCRIBE_ID_SIZE])
{
    char token[UNSUBSCRIBE_TOKEN_SIZE];
    if (router_capture(&call->match, 0, token, sizeof token) &&
        unsubscribe_open(call->dispatcher->unsubscribe, token, id))
        return true;
    show(call, BAD);
    return false;
}

static void on_known(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    else
        show(call, mail_ledger_unwanted_reply(reply) ? DONE : ASK);
}

void page_unsubscribe(struct dispatcher *dispatcher, struct call *call)
{
    char id[UNSUBSCRIBE_ID_SIZE];
    if (!read_link(call, id))
        return;
    mail_ledger_unwanted_command(id, &dispatcher->command);
    if (dispatcher_send(dispatcher, on_known, call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

static void on_stopped(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    if (rc < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    log_event(LOG_INFO, "address.unsubscribed", NULL);
    show(call, DONE);
}

static void on_wanted(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    if (rc < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    log_event(LOG_INFO, "address.subscribed", NULL);
    show(call, AGAIN);
}

static void act(struct dispatcher *dispatcher, struct call *call, bool wanted)
{
    char id[UNSUBSCRIBE_ID_SIZE];
    if (!read_link(call, id))
        return;
    mail_ledger_want_command(id, wanted, clock_wall_ms(), &dispatcher->command);
    if (dispatcher_send(dispatcher, wanted ? on_wanted : on_stopped, call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

static void pass_over(void *context, struct exchange *exchange, const void *data, size_t size)
{
}

void unsubscribe_headers(struct dispatcher *dispatcher, struct call *call)
{
    exchange_set_body(call->exchange, MAX_BODY_BYTES, pass_over);
}

void page_unsubscribe_act(struct dispatcher *dispatcher, struct call *call)
{
    act(dispatcher, call, false);
}

void page_subscribe_act(struct dispatcher *dispatcher, struct call *call)
{
    act(dispatcher, call, true);
}
