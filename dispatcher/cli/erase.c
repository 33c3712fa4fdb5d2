/* SPDX-License-Identifier: MIT
 *
 * darkroom erase: all that is known of an e-mail address. The server does some hundred jobs at a
 * time; begun again it goes on with what is left. */
#include "common/err.h"
#include "dispatcher/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define MAX_LINE 512

static const char *const counts[] = {"jobs",    "unfinished", "inputs",
                                     "results", "mails",      "unreadable"};
#define COUNTS (sizeof counts / sizeof counts[0])

/* The first line of a file, "-" for standard input, without its end. */
static int read_line(const char *path, char out[MAX_LINE], struct err *err)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!file)
        return err_set_errno(err, "email-file", "cannot read %s", path);
    bool read = fgets(out, MAX_LINE, file) != NULL;
    if (file != stdin)
        fclose(file);
    if (!read || strlen(out) == MAX_LINE - 1)
        return err_set(err, ERR_INVALID, "email-file", "%s: wanted one line with an address", path);
    out[strcspn(out, "\r\n")] = 0;
    return 0;
}

static int read_address(const struct cli_settings *settings, char out[MAX_LINE], struct err *err)
{
    if (!settings->email == !settings->email_file)
        return err_set(err, ERR_INVALID, NULL, "either --email or --email-file is needed");
    if (settings->email_file)
        return read_line(settings->email_file, out, err);
    if (!strcmp(settings->email, "-"))
        return read_line("-", out, err);
    if ((size_t)snprintf(out, MAX_LINE, "%s", settings->email) >= MAX_LINE)
        return err_set(err, ERR_INVALID, "email", "--email is too long");
    return 0;
}

static int ask(struct cli *cli, const char *address, json_t **cursor, json_t *sums, json_t **out,
               struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    json_t *answer = NULL;
    json_t *body =
        json_pack("{s:s, s:b, s:b, s:O*}", "email", address, "dry_run", settings->dry_run,
                  "forget_choice", settings->forget_choice, "cursor", *cursor);
    int rc = body ? cli_ask(cli, "POST", "/v1/addresses/erase", body, &answer, err) : ERR_NOMEM;
    json_decref(body);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < COUNTS; i++) {
        json_int_t now = json_integer_value(json_object_get(answer, counts[i]));
        json_int_t before = json_integer_value(json_object_get(sums, counts[i]));
        json_object_set_new(sums, counts[i], json_integer(before + now));
    }
    json_decref(*cursor);
    *cursor = json_is_string(json_object_get(answer, "next"))
                  ? json_incref(json_object_get(answer, "next"))
                  : NULL;
    *out = answer;
    return 0;
}

static void print(const struct cli_settings *settings, const json_t *sums, const char *choice)
{
    printf("%s: %lld jobs (%lld not finished), %lld inputs, %lld results, %lld mails\n",
           settings->dry_run ? "Would be erased" : "Erased",
           (long long)json_integer_value(json_object_get(sums, "jobs")),
           (long long)json_integer_value(json_object_get(sums, "unfinished")),
           (long long)json_integer_value(json_object_get(sums, "inputs")),
           (long long)json_integer_value(json_object_get(sums, "results")),
           (long long)json_integer_value(json_object_get(sums, "mails")));
    if (json_integer_value(json_object_get(sums, "unreadable")) > 0)
        printf("%lld records cannot be read and are still there: run darkroom fsck --mend\n",
               (long long)json_integer_value(json_object_get(sums, "unreadable")));
    if (!strcmp(choice, "kept"))
        puts("The address has unsubscribed, which is remembered so that it gets no mail again "
             "(--forget-choice forgets that, too).");
    else if (!strcmp(choice, "forgotten"))
        puts("That the address had unsubscribed is forgotten as well.");
}

int cli_erase(struct cli *cli, const char *unused, struct err *err)
{
    (void)unused;
    char address[MAX_LINE];
    json_t *sums = json_object(), *cursor = NULL, *answer = NULL;
    int rc = read_address(&cli->settings, address, err);
    do {
        json_decref(answer);
        answer = NULL;
        if (rc == 0)
            rc = ask(cli, address, &cursor, sums, &answer, err);
    } while (rc == 0 && cursor);
    if (rc == 0) {
        json_object_set(sums, "unsubscribed", json_object_get(answer, "unsubscribed"));
        json_object_set_new(sums, "dry_run", json_boolean(cli->settings.dry_run));
        if (cli->settings.json)
            rc = cli_print_json(sums, err);
        else
            print(&cli->settings, sums, cli_text(answer, "unsubscribed"));
    }
    json_decref(cursor);
    json_decref(answer);
    json_decref(sums);
    return rc;
}
