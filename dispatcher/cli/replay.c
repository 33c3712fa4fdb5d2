/* SPDX-License-Identifier: MIT
 *
 * darkroom replay and unsent: notifications sent again, and those that were given up. */
#include "common/err.h"
#include "dispatcher/cli/cli.h"

#include <stdio.h>

#define MAX_IDS 256
#define MAX_UNSENT 1000

/* NULL for want of memory. */
static json_t *question(const struct cli *cli)
{
    const struct cli_settings *settings = &cli->settings;
    json_t *body = json_pack("{s:s*, s:s*, s:s*, s:s*}", "since", settings->since, "until",
                             settings->until, "kind", settings->kind, "state", settings->state);
    json_t *ids = json_array();
    for (size_t i = 0; i < cli->word_count; i++)
        json_array_append_new(ids, json_string(cli->words[i]));
    if (body && cli->word_count)
        json_object_set(body, "ids", ids);
    json_decref(ids);
    return body;
}

int cli_replay(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    if (!cli->word_count == !cli->settings.since)
        return err_set(err, ERR_INVALID, NULL, "either ids of jobs or --since is needed");
    if (cli->word_count > MAX_IDS)
        return err_set(err, ERR_LIMIT, NULL, "at most %d ids at a time", MAX_IDS);
    json_t *result = NULL, *body = question(cli);
    int rc = body ? cli_ask(cli, "POST", "/v1/notifications/replay", body, &result, err)
                  : err_set(err, ERR_NOMEM, NULL, "no memory for the question");
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(result, err);
    else if (rc == 0)
        printf("%lld notifications of %lld jobs are sent again\n",
               (long long)json_integer_value(json_object_get(result, "notifications")),
               (long long)json_integer_value(json_object_get(result, "jobs")));
    json_decref(result);
    json_decref(body);
    return rc;
}

static long long count_of(const json_t *mail, const char *name)
{
    return (long long)json_integer_value(json_object_get(json_object_get(mail, "counts"), name));
}

/* How it stands with mails in general. */
static void print_mails(const json_t *mail)
{
    const json_t *failure = json_object_get(mail, "last_failure");
    printf("Mails: %lld sent, %lld times refused for now (4xx), %lld for good (5xx), %lld times no "
           "connection, %lld given up.\n",
           count_of(mail, "sent"), count_of(mail, "refused_4xx"), count_of(mail, "refused_5xx"),
           count_of(mail, "connection"), count_of(mail, "given_up"));
    if (json_is_object(failure))
        printf("The last that failed, %.19s: %s\n", cli_text(failure, "at"),
               cli_text(failure, "reason"));
    if (json_is_string(json_object_get(mail, "held_until")))
        printf("No mails go out until %.19s.\n", cli_text(mail, "held_until"));
}

int cli_unsent(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    json_t *result = NULL, *list = NULL;
    int rc = cli_ask(cli, "GET", "/v1/notifications", NULL, &result, err);
    if (rc == 0 && cli->settings.json)
        rc = cli_print_json(result, err);
    else if (rc == 0)
        rc = json_get_array(result, "unsent", MAX_UNSENT, &list, err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        printf("%s  %-7s  %-9s  %.19s  %s\n", cli_text(item, "job"), cli_text(item, "kind"),
               cli_text(item, "state"), cli_text(item, "given_up_at"), cli_text(item, "reason"));
    }
    if (list && json_array_size(list) == 0)
        puts("None was given up.");
    if (list)
        print_mails(json_object_get(result, "mail"));
    json_decref(result);
    return rc;
}
