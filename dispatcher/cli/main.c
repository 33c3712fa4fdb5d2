/* SPDX-License-Identifier: MIT
 *
 * darkroom: commands and their options. */
#include "dispatcher/cli/cli.h"

#include "common/aws_metadata.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/queue_limits.h"
#include "common/redis_options.h"
#include "common/secret.h"
#include "common/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMS 64

#define AT(member) offsetof(struct cli_settings, member)
#define SERVER                                                                                     \
    {                                                                                              \
        "server", CONFIG_TEXT, AT(server),                                                         \
            .help = "the dispatcher; http://127.0.0.1:8080, or where the job was submitted"        \
    }
#define TOKEN                                                                                      \
    {                                                                                              \
        "token-file", CONFIG_TEXT, AT(token_file),                                                 \
            .help = "file with a token, instead of the one that was kept at submit",               \
            .traits = CONFIG_SECRET                                                                \
    }
#define JSON                                                                                       \
    {                                                                                              \
        "json", CONFIG_BOOL, AT(json), "false", .help = "print what the server says, as JSON"      \
    }
#define OUTPUT                                                                                     \
    {                                                                                              \
        "output", CONFIG_TEXT, AT(output), .help = "save the result in this file; -: print it",    \
                                           .short_name = 'o'                                       \
    }
#define KEY_FILE                                                                                   \
    {                                                                                              \
        "key-file", CONFIG_TEXT, AT(key_file), .help = "file with an API key",                     \
                                               .traits = CONFIG_SECRET                             \
    }
#define TIMEOUT                                                                                    \
    {                                                                                              \
        "timeout", CONFIG_INT, AT(timeout_s), "0", 0, 31536000, "s",                               \
            "wait at most so long for the result; 0: for ever"                                     \
    }

#define REDIS REDIS_OPTIONS(struct cli_settings, redis, redis_password_file, redis_tls)

static const struct config_option submit_options[] = {
    {"model", CONFIG_TEXT, AT(model), .help = "which one; `darkroom models` lists them",
     .short_name = 'm'},
    {"email", CONFIG_TEXT, AT(email), .help = "who gets a mail with a link when it is ready"},
    {"lang", CONFIG_TEXT, AT(lang), .help = "language of that mail, such as nl; default: en"},
    {"crop", CONFIG_TEXT, AT(crop), .help = "x,y,width,height in pixels of the upright picture"},
    {"param", CONFIG_LIST, AT(params), NULL, 0, MAX_PARAMS, NULL,
     "name=value of a parameter of the model; repeat it", 'p'},
    {"from", CONFIG_TEXT, AT(from),
     .help = "a result of a model that takes no picture: its model and parameters once more"},
    {"idempotency-key", CONFIG_TEXT, AT(idempotency_key),
     .help = "asked again with the same key within a day, it is the same job"},
    {"wait", CONFIG_BOOL, AT(wait), "false", .help = "stay until the job has ended",
     .short_name = 'w'},
    OUTPUT,
    TIMEOUT,
    KEY_FILE,
    JSON,
    SERVER,
};
static const struct config_option info_options[] = {JSON};
static const struct config_option get_options[] = {OUTPUT, KEY_FILE, JSON, TOKEN, SERVER};
static const struct config_option watch_options[] = {OUTPUT, TIMEOUT, KEY_FILE,
                                                     JSON,   TOKEN,   SERVER};
static const struct config_option job_options[] = {KEY_FILE, JSON, TOKEN, SERVER};
static const struct config_option list_options[] = {
    {"limit", CONFIG_INT, AT(limit), "20", 1, 1000, "jobs", "the newest so many"},
    KEY_FILE,
    JSON,
    SERVER};
static const struct config_option models_options[] = {JSON, SERVER};
static const struct config_option operate_options[] = {KEY_FILE, JSON, SERVER};
static const struct config_option dead_options[] = {
    {"limit", CONFIG_INT, AT(limit), "20", 1, 200, "jobs", "the newest so many"},
    KEY_FILE,
    JSON,
    SERVER,
};

static const struct config_option replay_options[] = {
    {"since", CONFIG_TEXT, AT(since),
     .help = "of all jobs that ended then, as 2026-01-05T10:11:12Z"},
    {"until", CONFIG_TEXT, AT(until), .help = "and before then; default: now"},
    {"kind", CONFIG_TEXT, AT(kind), .help = "only mail, or only webhook"},
    {"state", CONFIG_TEXT, AT(state), .help = "unsent: only what was given up"},
    KEY_FILE,
    JSON,
    SERVER,
};

static const struct config_option erase_options[] = {
    {"email", CONFIG_TEXT, AT(email), .help = "the address; - reads it from standard input"},
    {"email-file", CONFIG_TEXT, AT(email_file), .help = "a file with the address"},
    {"dry-run", CONFIG_BOOL, AT(dry_run), "false", .help = "only count what would be erased"},
    {"forget-choice", CONFIG_BOOL, AT(forget_choice), "false",
     .help = "also forget that the address has unsubscribed"},
    KEY_FILE,
    JSON,
    SERVER,
};

#define CONCURRENCY                                                                                \
    {                                                                                              \
        "concurrency", CONFIG_INT, AT(concurrency), "-1", -1, QUEUE_RUNNING_LIMIT, "jobs",         \
            "of the account that may run at once; 0: no limit, -1: as it was"                      \
    }
#define MAX_QUEUED                                                                                 \
    {                                                                                              \
        "max-queued", CONFIG_INT, AT(max_queued), "-1", -1, 1000000000, "jobs",                    \
            "of the account and one model that may wait; 0: as the dispatcher says, -1: as it was" \
    }

static const struct config_option keys_create_options[] = {
    {"account", CONFIG_TEXT, AT(account), .help = "whose; default: a new account"},
    {"name", CONFIG_TEXT, AT(name), .help = "a word for lists"},
    {"scopes", CONFIG_TEXT, AT(scopes), "submit,read", .help = "of submit, read, operate, scale"},
    {"priority", CONFIG_TEXT, AT(priority), "normal",
     .help = "the highest that its jobs may have: high, normal, low"},
    {"weight", CONFIG_TEXT, AT(weight), "1", .help = "share of the GPUs; 0.01 to 1000"},
    {"origins", CONFIG_TEXT, AT(origins),
     .help = "https://host of pages that may use it, separated by commas"},
    {"per-minute", CONFIG_INT, AT(per_minute), "0", 0, 1000000000, NULL,
     "submissions; 0: no limit"},
    {"burst", CONFIG_INT, AT(burst), "120", 1, 1000000000, NULL, "submissions at once"},
    CONCURRENCY,
    MAX_QUEUED,
    JSON,
    REDIS,
};
static const struct config_option keys_list_options[] = {
    {"account", CONFIG_TEXT, AT(account), .help = "only its keys"}, JSON, REDIS};
static const struct config_option keys_limit_options[] = {CONCURRENCY, MAX_QUEUED, REDIS};
static const struct config_option keys_revoke_options[] = {REDIS};

static const struct config_option fsck_options[] = {
    {"mend", CONFIG_BOOL, AT(mend), "false", .help = "put right what can be put right"},
    REDIS_SHARDS_OPTION(AT(shards)),
    STORE_OPTIONS(AT(store), NULL,
                  "local:FOLDER or s3://BUCKET; without it objects are not looked at"),
    {"secret-file", CONFIG_TEXT, AT(secret_file), NULL, .help = "a local store wants it",
     .traits = CONFIG_SECRET},
    JSON,
    REDIS,
};

#define AWS_METADATA_OPTION                                                                        \
    {                                                                                              \
        "aws-metadata", CONFIG_TEXT, AT(aws_metadata), AWS_METADATA,                               \
            .help = "the machine's metadata service"                                               \
    }
#define AWS_ENDPOINT                                                                               \
    {                                                                                              \
        "aws-endpoint", CONFIG_TEXT, AT(aws_endpoint),                                             \
            .help = "of AWS's service; default: the region's"                                      \
    }

static const struct config_option scale_options[] = {
    {"model", CONFIG_TEXT, AT(model), .help = "that the group's workers serve; default: all"},
    {"target-wait", CONFIG_INT, AT(target_wait_s), "60", 1, 86400, "s",
     "that a job should wait at most"},
    {"start", CONFIG_INT, AT(start_s), "120", 0, 86400, "s",
     "from the decision until a new machine claims"},
    {"least", CONFIG_INT, AT(least), "0", 0, 100000, "machines", "as the group has it"},
    {"most", CONFIG_INT, AT(most), "10", 0, 100000, "machines", "as the group has it"},
    {"every", CONFIG_INT, AT(every_s), "15", 1, 3600, "s", "between two looks"},
    {"down-after", CONFIG_INT, AT(down_after_s), "20", 0, 86400, "s",
     "for which fewer have to be wanted until fewer are told"},
    {"once", CONFIG_BOOL, AT(once), "false", .help = "look once, and say whether it worked"},
    AWS_ENDPOINT,
    AWS_METADATA_OPTION,
    KEY_FILE,
    SERVER,
};
static const struct config_option secrets_options[] = {AWS_ENDPOINT, AWS_METADATA_OPTION};
static const struct config_option objects_options[] = {
    STORE_OPTIONS(AT(store), NULL, "local:FOLDER or s3://BUCKET"),
    {"secret-file", CONFIG_TEXT, AT(secret_file), NULL, .help = "a local store wants it",
     .traits = CONFIG_SECRET},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct command {
    const char *name, *usage, *purpose;
    int words; /* how many it wants; -1: any number */
    int (*run)(struct cli *cli, const char *word, struct err *err);
    const struct config_option *options;
    size_t option_count;
} commands[] = {
    {"submit", "[FILE] --model MODEL | --from RESULT [OPTIONS]",
     "hand in a picture, or parameters where the model takes no picture", -1, cli_submit,
     submit_options, COUNT(submit_options)},
    {"info", "FILE", "what a result says of itself: model, weights, parameters", 1, cli_info,
     info_options, COUNT(info_options)},
    {"get", "ID [-o FILE]", "show a job, save its result", 1, cli_get, get_options,
     COUNT(get_options)},
    {"watch", "ID [-o FILE]", "follow a job until it has ended", 1, cli_watch, watch_options,
     COUNT(watch_options)},
    {"list", "", "the jobs that were submitted from here, or with a key", 0, cli_list, list_options,
     COUNT(list_options)},
    {"cancel", "ID", "stop a job", 1, cli_cancel, job_options, COUNT(job_options)},
    {"delete", "ID", "stop a job and erase all that is left of it", 1, cli_delete, job_options,
     COUNT(job_options)},
    {"models", "", "what the server can do", 0, cli_models, models_options, COUNT(models_options)},
    {"health", "URL", "does a program answer at its /healthz or /readyz?", 1, cli_health, NULL, 0},
    {"fsck", "[--mend] [--store STORE]", "does the queue hold together, and the store with it?", 0,
     cli_fsck, fsck_options, COUNT(fsck_options)},
    {"objects save", "FOLDER --store STORE", "the store's objects into a folder; prints their sums",
     1, cli_objects_save, objects_options, COUNT(objects_options)},
    {"objects load", "FOLDER --store STORE", "a folder's objects into the store", 1,
     cli_objects_load, objects_options, COUNT(objects_options)},
    {"keys create", "[OPTIONS]", "make an API key; it is shown once", 0, cli_keys_create,
     keys_create_options, COUNT(keys_create_options)},
    {"keys list", "[OPTIONS]", "the API keys, without the keys themselves", 0, cli_keys_list,
     keys_list_options, COUNT(keys_list_options)},
    {"keys limit", "ACCOUNT [OPTIONS]", "how many jobs of an account may run or wait", 1,
     cli_keys_limit, keys_limit_options, COUNT(keys_limit_options)},
    {"keys revoke", "KEY-ID", "an API key is none from now on", 1, cli_keys_revoke,
     keys_revoke_options, COUNT(keys_revoke_options)},
    {"queues", "", "what waits and runs, by model", 0, cli_queues, operate_options,
     COUNT(operate_options)},
    {"workers", "", "who is alive", 0, cli_workers, operate_options, COUNT(operate_options)},
    {"dead replay", "ID|all", "another chance for what was given up", 1, cli_dead_replay,
     operate_options, COUNT(operate_options)},
    {"dead", "", "jobs that were given up, and why", 0, cli_dead, dead_options,
     COUNT(dead_options)},
    {"replay", "ID… | --since TIME [--until TIME]", "send mails and webhooks of jobs again", -1,
     cli_replay, replay_options, COUNT(replay_options)},
    {"erase", "--email ADDRESS | --email-file FILE [--dry-run]",
     "all that is known of an e-mail address: its jobs, pictures, mails", 0, cli_erase,
     erase_options, COUNT(erase_options)},
    {"scale", "GROUP --key-file FILE [OPTIONS]",
     "keep an autoscaling group of AWS as large as /v1/scale wants it", 1, cli_scale, scale_options,
     COUNT(scale_options)},
    {"secrets", "ID FOLDER", "a secret of AWS's Secrets Manager as files", 2, cli_secrets,
     secrets_options, COUNT(secrets_options)},
    {"unsent", "", "mails and webhooks that were given up, and why", 0, cli_unsent, operate_options,
     COUNT(operate_options)},
    {"pause", "MODEL", "nobody begins its jobs until it is resumed", 1, cli_pause, operate_options,
     COUNT(operate_options)},
    {"resume", "MODEL", "its jobs are served again", 1, cli_resume, operate_options,
     COUNT(operate_options)},
};

static void print_usage(FILE *out)
{
    fputs("usage: darkroom COMMAND [OPTIONS]; darkroom COMMAND --help explains one\n\n", out);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].purpose);
    fputs("\nID is a job's id or the first characters of one that was submitted from here.\n"
          "DARKROOM_SERVER stands for --server, and so on for every option.\n"
          "Exit status: 0 done, 1 the job failed, 2 it was cancelled, 64 wrong usage, 65 input "
          "refused\n"
          "by the server, 66 no such file or job, 69 server away, 74 cannot read or write, 75 not "
          "now,\n"
          "76 data of another version, 77 not allowed, 78 wrong configuration, 130 interrupted.\n",
          out);
}

/* Names have one word or two; how many the command line spent on it comes in *out_words. */
static const struct command *find_command(int argc, char **argv, int *out_words)
{
    for (size_t i = 0; i < COUNT(commands); i++) {
        const char *name = commands[i].name;
        size_t first = strcspn(name, " ");
        if (strlen(argv[1]) != first || strncmp(name, argv[1], first) != 0)
            continue;
        if (!name[first] || (argc > 2 && !strcmp(name + first + 1, argv[2]))) {
            *out_words = name[first] ? 2 : 1;
            return &commands[i];
        }
    }
    return NULL;
}

static int check_server(char *server, struct err *err)
{
    size_t length = strlen(server);
    while (length && server[length - 1] == '/')
        server[--length] = 0;
    if (length >= CLI_MAX_SERVER ||
        (strncmp(server, "http://", 7) && strncmp(server, "https://", 8)))
        return err_set(err, ERR_INVALID, "server",
                       "--server wants http://… or https://…, at most %d "
                       "bytes",
                       CLI_MAX_SERVER - 1);
    return 0;
}

static int run(const struct command *command, struct cli *cli, const char *word, struct err *err)
{
    int rc = 0;
    if (cli->settings.server)
        rc = check_server(cli->settings.server, err);
    if (rc == 0)
        rc = http_client_create(&(struct http_client_options){.use_environment_proxy = true},
                                &cli->http, err);
    if (rc == 0 && cli->settings.key_file)
        rc = secret_read_line(cli->settings.key_file, 8, cli->key, sizeof cli->key, err);
    if (rc == 0 && cli->settings.token_file)
        rc = secret_read_line(cli->settings.token_file, 1, cli->token, sizeof cli->token, err);
    cli_view_init(&cli->view, cli->settings.json);
    if (cli->settings.timeout_s)
        cli->deadline_ms = clock_ms() + cli->settings.timeout_s * 1000;
    if (rc == 0)
        rc = command->run(cli, word, err);
    cli_view_end(&cli->view);
    http_client_destroy(&cli->http);
    crypto_wipe(cli->key, sizeof cli->key);
    crypto_wipe(cli->token, sizeof cli->token);
    return rc;
}

/* What the server refused is no wrong usage, and too many requests is no absent server. */
static int exit_status(const struct cli *cli, int rc)
{
    if (rc == ERR_CANCELLED)
        return CLI_EXIT_INTERRUPTED;
    if (rc < 0 && cli->refusal == 429)
        return err_exit_status(ERR_TIMEOUT);
    if (rc == ERR_INVALID && cli->refusal)
        return err_exit_status(ERR_CORRUPT);
    return rc < 0 ? err_exit_status(rc) : cli->exit_status;
}

/* argv[0] is the command's own name. */
static int run_command(const struct command *command, int argc, char **argv, int *out_status,
                       struct err *err)
{
    char usage[256];
    struct cli cli = {0};
    enum config_next next;
    int words;
    snprintf(usage, sizeof usage, "%s\n%s", command->usage, command->purpose);
    const struct config_spec spec = {
        .usage = usage,
        .options = command->options,
        .option_count = command->option_count,
        .settings_size = sizeof cli.settings,
        .max_arguments = command->words,
    };
    int rc = config_load(&spec, argc, argv, &cli.settings, &next, &words, err);
    if (rc < 0 || next == CONFIG_EXIT) {
        *out_status = config_exit_status(&spec, argc, argv, rc, err);
        return rc;
    }
    cli.words = argv + 1;
    cli.word_count = (size_t)words;
    if (words < command->words)
        rc = err_set(err, ERR_INVALID, NULL, "usage: %s %s", argv[0], command->usage);
    else
        rc = run(command, &cli, command->words > 0 ? argv[1] : NULL, err);
    config_fini(&spec, &cli.settings);
    *out_status = exit_status(&cli, rc);
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    int status = 0;
    char name[64];
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? err_exit_status(ERR_INVALID) : EXIT_SUCCESS;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("darkroom " DARKROOM_VERSION);
        return EXIT_SUCCESS;
    }
    int spent = 1;
    const struct command *command = find_command(argc, argv, &spent);
    if (!command) {
        fprintf(stderr, "darkroom: unknown command '%.40s'; darkroom --help lists them\n", argv[1]);
        return err_exit_status(ERR_INVALID);
    }
    stop_init();
    snprintf(name, sizeof name, "darkroom %s", command->name);
    argv[spent] = name;
    int rc = run_command(command, argc - spent, argv + spent, &status, &err);
    if (rc < 0 && rc != ERR_CANCELLED)
        fprintf(stderr, "darkroom: %s\n", err.text[0] ? err.text : err_name(rc));
    return status;
}
