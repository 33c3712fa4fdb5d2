/* SPDX-License-Identifier: MIT
 *
 * darkroom keys: API keys, in Redis itself. Whoever reaches Redis may make them; nobody can over
 * HTTP. */
#include "dispatcher/cli/cli.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/keys.h"
#include "common/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define MAX_LISTED 100000

/* ---- how a key looks ------------------------------------------------------------------------- */

static int set_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(ms, text);
    return json_object_set_new(object, name, ms ? json_string(text) : json_null());
}

/* NULL: no memory. `text` is the key itself, or NULL. */
static json_t *view_of(const struct key *key, const char *text)
{
    char scopes[KEY_SCOPES_SIZE];
    key_scopes_format(key->scopes, scopes);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:s}", "id",
                               key->id, "account", key->account, "name", key->name, "scopes",
                               scopes, "priority", job_priority_name(key->ceiling), "weight",
                               key->weight, "per_minute", (json_int_t)key->per_minute, "burst",
                               (json_int_t)key->burst, "concurrency", (json_int_t)key->concurrency,
                               "max_queued", (json_int_t)key->max_queued, "origins", key->origins);
    if (object && (set_time(object, "created_at", key->created_ms) < 0 ||
                   set_time(object, "revoked_at", key->revoked_ms) < 0 ||
                   (text && json_object_set_new(object, "key", json_string(text)) < 0))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void print_line(const struct key *key)
{
    char scopes[KEY_SCOPES_SIZE];
    key_scopes_format(key->scopes, scopes);
    printf("%s  %s  %-19s  %-6s  %s%s\n", key->id, key->account, scopes,
           job_priority_name(key->ceiling), key->name, key->revoked_ms ? "  (revoked)" : "");
}

/* ---- create ---------------------------------------------------------------------------------- */

static int take_text(const char *name, const char *value, char *out, size_t size, struct err *err)
{
    if (value && strlen(value) >= size)
        return err_set(err, ERR_LIMIT, name, "--%s has more than %zu bytes", name, size - 1);
    snprintf(out, size, "%s", value ? value : "");
    return 0;
}

static int read_weight(const char *text, double *out, struct err *err)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end)
        return err_set(err, ERR_INVALID, "weight", "--weight wants a number");
    return 0;
}

static int read_key(const struct cli_settings *settings, struct key *out, struct err *err)
{
    struct key key = {.per_minute = settings->per_minute,
                      .burst = settings->burst,
                      .concurrency = settings->concurrency,
                      .max_queued = settings->max_queued};
    int rc, priority = job_priority_from_name(settings->priority);
    if (priority < 0)
        return err_set(err, ERR_INVALID, "priority", "--priority is high, normal or low");
    key.ceiling = (enum job_priority)priority;
    if ((rc = take_text("account", settings->account, key.account, sizeof key.account, err)) < 0 ||
        (rc = take_text("name", settings->name, key.name, sizeof key.name, err)) < 0 ||
        (rc = take_text("origins", settings->origins, key.origins, sizeof key.origins, err)) < 0 ||
        (rc = key_scopes_parse(settings->scopes, &key.scopes, err)) < 0 ||
        (rc = read_weight(settings->weight, &key.weight, err)) < 0)
        return rc;
    for (char *c = key.origins; *c; c++)
        *c = *c == ',' ? ' ' : *c;
    rc = key_check(&key, err);
    if (rc == 0)
        *out = key;
    return rc;
}

int cli_keys_create(struct cli *cli, const char *unused, struct err *err)
{
    struct key key;
    struct redis *redis = NULL;
    char text[KEY_TEXT_SIZE] = "";
    int rc = read_key(&cli->settings, &key, err);
    if (rc == 0)
        rc = cli_open_redis(cli, &redis, err);
    if (rc == 0)
        rc = keys_create(redis, &key, TIMEOUT_MS, text, err);
    if (rc == 0 && cli->settings.json) {
        json_t *view = view_of(&key, text);
        rc = view ? cli_print_json(view, err) : err_set(err, ERR_NOMEM, NULL, "no memory");
        json_decref(view);
    } else if (rc == 0) {
        fprintf(stderr, "Key %s of account %s; it is shown only now:\n", key.id, key.account);
        puts(text);
    }
    crypto_wipe(text, sizeof text);
    redis_destroy(&redis);
    return rc;
}

int cli_keys_limit(struct cli *cli, const char *account, struct err *err)
{
    struct redis *redis = NULL;
    int rc = cli_open_redis(cli, &redis, err);
    if (rc == 0)
        rc = keys_set_account(redis, account, cli->settings.concurrency, cli->settings.max_queued,
                              TIMEOUT_MS, err);
    redis_destroy(&redis);
    return rc;
}

/* ---- revoke, list ---------------------------------------------------------------------------- */

int cli_keys_revoke(struct cli *cli, const char *id, struct err *err)
{
    struct redis *redis = NULL;
    int rc = cli_open_redis(cli, &redis, err);
    if (rc == 0)
        rc = keys_revoke(redis, id, TIMEOUT_MS, err);
    redis_destroy(&redis);
    if (rc == 0)
        fprintf(stderr, "Key %s is revoked; every dispatcher knows within two seconds.\n", id);
    return rc;
}

struct list {
    struct key *keys; /* owned */
    size_t count, capacity;
    const char *account; /* borrowed; NULL: of all */
};

static int add_key(const struct key *key, void *data)
{
    struct list *list = data;
    if (list->account && strcmp(list->account, key->account) != 0)
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct key *keys =
            capacity <= 2 * MAX_LISTED ? realloc(list->keys, capacity * sizeof *keys) : NULL;
        if (!keys)
            return ERR_NOMEM;
        list->keys = keys;
        list->capacity = capacity;
    }
    list->keys[list->count++] = *key;
    return 0;
}

/* Oldest first; the same one twice stands side by side. */
static int by_age(const void *a, const void *b)
{
    const struct key *one = a, *two = b;
    if (one->created_ms != two->created_ms)
        return one->created_ms < two->created_ms ? -1 : 1;
    return strcmp(one->id, two->id);
}

static void sort_list(struct list *list)
{
    size_t kept = 0;
    if (list->count)
        qsort(list->keys, list->count, sizeof *list->keys, by_age);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || strcmp(list->keys[kept - 1].id, list->keys[i].id) != 0)
            list->keys[kept++] = list->keys[i];
    list->count = kept;
}

static int print_list(const struct list *list, bool json, struct err *err)
{
    json_t *all = json_array();
    int rc = all ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        if (!json)
            print_line(&list->keys[i]);
        else if (json_array_append_new(all, view_of(&list->keys[i], NULL)) < 0)
            rc = err_set(err, ERR_NOMEM, NULL, "no memory for the list");
    }
    if (rc == 0 && json)
        rc = cli_print_json(all, err);
    json_decref(all);
    return rc;
}

int cli_keys_list(struct cli *cli, const char *unused, struct err *err)
{
    struct list list = {.account = cli->settings.account};
    struct redis *redis = NULL;
    int rc = cli_open_redis(cli, &redis, err);
    if (rc == 0)
        rc = keys_list(redis, TIMEOUT_MS, add_key, &list, err);
    if (rc == 0) {
        sort_list(&list);
        rc = print_list(&list, cli->settings.json, err);
    }
    free(list.keys);
    redis_destroy(&redis);
    return rc;
}
