/* SPDX-License-Identifier: MIT */
#include "common/keys.h"

#include "common/base64.h"
#include "common/err.h"
#include "common/queue_limits.h"
#include "common/queue_scripts.h"
#include "common/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "{k}"
#define SECRET_BYTES 32
#define COMMAND_MAX 8192
#define LISTED_MS (90LL * 24 * 3600 * 1000)
#define LIST_STEP 100
#define MAX_RATE 1000000000
#define DIGITS_HEX "0123456789abcdef"

int keys_slot(void)
{
    return redis_key_slot(PREFIX, sizeof PREFIX - 1);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum scope scope;
} scopes[] = {{"submit", SCOPE_SUBMIT},
              {"read", SCOPE_READ},
              {"operate", SCOPE_OPERATE},
              {"scale", SCOPE_SCALE}};
#define SCOPE_COUNT (sizeof scopes / sizeof scopes[0])
#define SCOPES_ALL (SCOPE_SUBMIT | SCOPE_READ | SCOPE_OPERATE | SCOPE_SCALE)

/* Of base64url. Looked at with every request, so no strspn(), which makes a table first. */
static bool is_digit(char c)
{
    char lower = (char)(c | 0x20);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool key_text_valid(const char *text)
{
    if (strncmp(text, "dk_", 3) != 0 || strlen(text) != KEY_TEXT_SIZE - 1)
        return false;
    for (text += 3; *text; text++)
        if (!is_digit(*text))
            return false;
    return true;
}

int key_digest(const char *text, char out[CRYPTO_SHA256_HEX_SIZE])
{
    return crypto_sha256_hex(text, strlen(text), out);
}

/* A letter and 16 hex digits. */
static bool is_name(const char *text, char letter)
{
    return text[0] == letter && strlen(text) == 17 && strspn(text + 1, DIGITS_HEX) == 16;
}

void key_scopes_format(unsigned bits, char out[KEY_SCOPES_SIZE])
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (bits & scopes[i].scope)
            used += (size_t)snprintf(out + used, KEY_SCOPES_SIZE - used, "%s%s", used ? " " : "",
                                     scopes[i].name);
}

static unsigned scope_of(const char *text, size_t size)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (strlen(scopes[i].name) == size && memcmp(scopes[i].name, text, size) == 0)
            return scopes[i].scope;
    return 0;
}

int key_scopes_parse(const char *text, unsigned *out_scopes, struct err *err)
{
    unsigned bits = 0;
    for (text += strspn(text, " ,"); *text; text += strspn(text, " ,")) {
        size_t size = strcspn(text, " ,");
        unsigned bit = scope_of(text, size);
        if (!bit)
            return err_set(err, ERR_INVALID, "scopes",
                           "scopes are submit, read, operate and scale");
        bits |= bit;
        text += size;
    }
    if (!bits)
        return err_set(err, ERR_INVALID, "scopes",
                       "a key needs one of submit, read, operate and scale");
    *out_scopes = bits;
    return 0;
}

bool key_origin_valid(const char *text, size_t size)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t used = strncmp(text, "https://", 8) == 0 ? 8 : 7;
    if (size > 255 || (used == 7 && strncmp(text, "http://", 7) != 0))
        return false;
    size_t length = strspn(text + used, host);
    if (text[used] == '[') { /* an IPv6 address */
        length = 1 + strspn(text + used + 1, "0123456789abcdef:.");
        if (text[used + length++] != ']')
            return false;
    }
    used += length;
    if (length == 0 || used > size)
        return false;
    if (used < size && text[used] == ':') {
        length = strspn(text + used + 1, "0123456789");
        used += length > 0 && length <= 5 ? 1 + length : 0;
    }
    return used == size;
}

bool key_allows_origin(const struct key *key, const char *origin)
{
    size_t size = strlen(origin);
    for (const char *text = key->origins; *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        if (length == size && memcmp(text, origin, size) == 0)
            return true;
        text += length;
    }
    return false;
}

static int check_origins(const char *text, struct err *err)
{
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t size = strcspn(text, " ");
        if (!key_origin_valid(text, size))
            return err_set(err, ERR_INVALID, "origins",
                           "'%.80s' is no origin such as https://example.org", text);
        text += size;
    }
    return 0;
}

static bool name_is_clean(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

int key_check(const struct key *key, struct err *err)
{
    if (key->account[0] && !is_name(key->account, 'a'))
        return err_set(err, ERR_INVALID, "account", "an account is a and 16 hex digits");
    if (!name_is_clean(key->name))
        return err_set(err, ERR_INVALID, "name", "the name holds a control character");
    if (key->scopes == 0 || key->scopes > SCOPES_ALL)
        return err_set(err, ERR_INVALID, "scopes",
                       "a key needs one of submit, read, operate and scale");
    if ((unsigned)key->ceiling >= JOB_PRIORITY_COUNT)
        return err_set(err, ERR_INVALID, "priority", "must be high, normal or low");
    if (!(key->weight >= 0.01 && key->weight <= 1000))
        return err_set(err, ERR_INVALID, "weight", "must be 0.01 to 1000");
    if (key->per_minute < 0 || key->per_minute > MAX_RATE)
        return err_set(err, ERR_LIMIT, "per-minute", "must be 0 to %d", MAX_RATE);
    if (key->burst < 0 || key->burst > MAX_RATE || (key->per_minute > 0 && key->burst == 0))
        return err_set(err, ERR_LIMIT, "burst", "must be 1 to %d", MAX_RATE);
    if (key->concurrency < KEYS_AS_IT_WAS || key->concurrency > QUEUE_RUNNING_LIMIT)
        return err_set(err, ERR_LIMIT, "concurrency", "must be 0 to %d", QUEUE_RUNNING_LIMIT);
    if (key->max_queued < KEYS_AS_IT_WAS || key->max_queued > MAX_RATE)
        return err_set(err, ERR_LIMIT, "max-queued", "must be 0 to %d", MAX_RATE);
    return check_origins(key->origins, err);
}

/* ---- the hash in Redis ----------------------------------------------------------------------- */

enum field {
    ID,
    ACCOUNT,
    NAME,
    SCOPES,
    PRIORITY,
    WEIGHT,
    PER_MINUTE,
    BURST,
    ORIGINS,
    CREATED,
    REVOKED,
    FIELD_COUNT, /* of the key's hash; the account's come behind */
    CONCURRENCY = FIELD_COUNT,
    MAX_QUEUED,
    VALUE_COUNT
};
static const char *const fields[VALUE_COUNT] = {
    [ID] = "id",
    [ACCOUNT] = "account",
    [NAME] = "name",
    [SCOPES] = "scopes",
    [PRIORITY] = "priority",
    [WEIGHT] = "weight",
    [PER_MINUTE] = "per_minute",
    [BURST] = "burst",
    [CONCURRENCY] = "concurrency",
    [MAX_QUEUED] = "max_queued",
    [ORIGINS] = "origins",
    [CREATED] = "created",
    [REVOKED] = "revoked",
};

static int corrupt(enum field field, const char *expected, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "redis", PREFIX "key:…: %s of a key, expected %s",
                   fields[field], expected);
}

static int read_text(const struct redis_reply *values, enum field field, char *out, size_t size,
                     struct err *err)
{
    const struct redis_reply *value = redis_reply_at(values, field);
    size_t length = redis_reply_size(value);
    if (length >= size || strlen(redis_reply_text(value)) != length)
        return corrupt(field, "a shorter text", err);
    memcpy(out, redis_reply_text(value), length + 1);
    return 0;
}

static int64_t number_at(const struct redis_reply *values, enum field field)
{
    return redis_reply_int(redis_reply_at(values, field));
}

static int read_key(const struct redis_reply *values, struct key *out, struct err *err)
{
    struct key key = {
        .weight = strtod(redis_reply_text(redis_reply_at(values, WEIGHT)), NULL),
        .per_minute = number_at(values, PER_MINUTE),
        .burst = number_at(values, BURST),
        .concurrency = number_at(values, CONCURRENCY),
        .max_queued = number_at(values, MAX_QUEUED),
        .created_ms = number_at(values, CREATED),
        .revoked_ms = number_at(values, REVOKED),
    };
    int rc, priority = job_priority_from_name(redis_reply_text(redis_reply_at(values, PRIORITY)));
    if (priority < 0)
        return corrupt(PRIORITY, "high, normal or low", err);
    key.ceiling = (enum job_priority)priority;
    if ((rc = read_text(values, ID, key.id, sizeof key.id, err)) < 0 ||
        (rc = read_text(values, ACCOUNT, key.account, sizeof key.account, err)) < 0 ||
        (rc = read_text(values, NAME, key.name, sizeof key.name, err)) < 0 ||
        (rc = read_text(values, ORIGINS, key.origins, sizeof key.origins, err)) < 0)
        return rc;
    if (!is_name(key.id, 'k'))
        return corrupt(ID, "k and 16 hex digits", err);
    if (!is_name(key.account, 'a'))
        return corrupt(ACCOUNT, "a and 16 hex digits", err);
    struct err why = {0};
    if (key_scopes_parse(redis_reply_text(redis_reply_at(values, SCOPES)), &key.scopes, &why) < 0 ||
        key_check(&key, &why) < 0)
        return err_set(err, ERR_CORRUPT, "redis", PREFIX "key:… of %s: %s %.150s", key.id,
                       why.field, why.text);
    *out = key;
    return 0;
}

/* ---- create, revoke, list -------------------------------------------------------------------- */

static void begin(struct redis_command *command, const struct redis_script *script)
{
    redis_command_clear(command);
    redis_command_script(command, script, PREFIX);
}

static int run(struct redis *redis, struct redis_command *command, int64_t timeout_ms,
               struct redis_reply **out_reply, struct err *err)
{
    int rc = redis_call(redis, command, timeout_ms, out_reply, err);
    redis_command_fini(command);
    return rc;
}

static void add_field(struct redis_command *command, enum field field, const char *text)
{
    redis_command_text(command, fields[field]);
    redis_command_text(command, text);
}

static void add_number(struct redis_command *command, enum field field, int64_t number)
{
    redis_command_text(command, fields[field]);
    redis_command_int(command, number);
}

static void add_limit(struct redis_command *command, int64_t limit)
{
    if (limit < 0)
        redis_command_text(command, "");
    else
        redis_command_int(command, limit);
}

static int random_name(char letter, char out[KEY_ID_SIZE])
{
    unsigned char bytes[8];
    int rc = crypto_random(bytes, sizeof bytes);
    out[0] = letter;
    if (rc == 0)
        hex_encode(bytes, sizeof bytes, out + 1);
    return rc;
}

static int random_key(char out[KEY_TEXT_SIZE])
{
    unsigned char bytes[SECRET_BYTES];
    char text[BASE64_LENGTH(SECRET_BYTES) + 1];
    int rc = crypto_random(bytes, sizeof bytes);
    if (rc == 0) {
        base64_encode(BASE64_URL, bytes, sizeof bytes, text);
        snprintf(out, KEY_TEXT_SIZE, "dk_%.43s", text);
    }
    crypto_wipe(bytes, sizeof bytes);
    crypto_wipe(text, sizeof text);
    return rc;
}

static void create_command(const struct key *key, const char *digest, bool known,
                           struct redis_command *command)
{
    char text[KEY_SCOPES_SIZE], weight[32];
    key_scopes_format(key->scopes, text);
    snprintf(weight, sizeof weight, "%.6g", key->weight);
    begin(command, &queue_script_key_create);
    redis_command_text(command, digest);
    redis_command_text(command, key->id);
    redis_command_text(command, key->account);
    redis_command_int(command, known);
    redis_command_text(command, key->origins);
    add_limit(command, key->concurrency);
    add_limit(command, key->max_queued);
    add_field(command, NAME, key->name);
    add_field(command, SCOPES, text);
    add_field(command, PRIORITY, job_priority_name(key->ceiling));
    add_field(command, WEIGHT, weight);
    add_number(command, PER_MINUTE, key->per_minute);
    add_number(command, BURST, key->burst);
}

int keys_create(struct redis *redis, struct key *key, int64_t timeout_ms,
                char out_text[KEY_TEXT_SIZE], struct err *err)
{
    char digest[CRYPTO_SHA256_HEX_SIZE], text[KEY_TEXT_SIZE];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    bool known = key->account[0] != 0;
    int rc = key_check(key, err);
    if (rc < 0)
        return rc;
    if ((rc = random_key(text)) < 0 || (rc = key_digest(text, digest)) < 0 ||
        (rc = random_name('k', key->id)) < 0 ||
        (!known && (rc = random_name('a', key->account)) < 0))
        return err_set(err, rc, NULL, "no randomness for a key");
    redis_command_init(&command, COMMAND_MAX);
    create_command(key, digest, known, &command);
    rc = run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0 && redis_reply_int(redis_reply_at(reply, 0)) != 1)
        rc = err_set(err, ERR_NOT_FOUND, "account", "there is no account %s", key->account);
    if (rc == 0) {
        key->created_ms = redis_reply_int(redis_reply_at(reply, 1));
        key->concurrency = redis_reply_int(redis_reply_at(reply, 2));
        key->max_queued = redis_reply_int(redis_reply_at(reply, 3));
        memcpy(out_text, text, sizeof text);
    }
    crypto_wipe(text, sizeof text);
    redis_reply_free(&reply);
    return rc;
}

int keys_revoke(struct redis *redis, const char *id, int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    if (!is_name(id, 'k'))
        return err_set(err, ERR_INVALID, "key", "a key is named by k and 16 hex digits");
    redis_command_init(&command, COMMAND_MAX);
    begin(&command, &queue_script_key_revoke);
    redis_command_text(&command, id);
    redis_command_int(&command, LISTED_MS);
    int rc = run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0 && redis_reply_int(reply) == 0)
        rc = err_set(err, ERR_NOT_FOUND, "key", "there is no key %s", id);
    redis_reply_free(&reply);
    return rc;
}

int keys_set_account(struct redis *redis, const char *account, int64_t concurrency,
                     int64_t max_queued, int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct key key = {
        .scopes = SCOPE_READ, .weight = 1, .concurrency = concurrency, .max_queued = max_queued};
    if (!is_name(account, 'a'))
        return err_set(err, ERR_INVALID, "account", "an account is a and 16 hex digits");
    int rc = key_check(&key, err);
    if (rc < 0)
        return rc;
    redis_command_init(&command, COMMAND_MAX);
    begin(&command, &queue_script_account_set);
    redis_command_text(&command, account);
    add_limit(&command, concurrency);
    add_limit(&command, max_queued);
    rc = run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0 && redis_reply_int(reply) == 0)
        rc = err_set(err, ERR_NOT_FOUND, "account", "there is no account %s", account);
    redis_reply_free(&reply);
    return rc;
}

/* One step of the walk; gives the cursor of the next, "0" at the end. */
static int list_step(struct redis *redis, int64_t timeout_ms, char cursor[32], keys_each *each,
                     void *data, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct key key;
    redis_command_init(&command, COMMAND_MAX);
    begin(&command, &queue_script_key_list);
    redis_command_text(&command, cursor);
    redis_command_int(&command, LIST_STEP);
    for (int i = 0; i < FIELD_COUNT; i++)
        redis_command_text(&command, fields[i]);
    int rc = run(redis, &command, timeout_ms, &reply, err);
    for (size_t i = 1; rc == 0 && i < redis_reply_count(reply); i++) {
        rc = read_key(redis_reply_at(reply, i), &key, err);
        if (rc == 0)
            rc = each(&key, data);
    }
    if (rc == 0)
        snprintf(cursor, 32, "%s", redis_reply_text(redis_reply_at(reply, 0)));
    redis_reply_free(&reply);
    return rc;
}

int keys_list(struct redis *redis, int64_t timeout_ms, keys_each *each, void *data, struct err *err)
{
    char cursor[32] = "0";
    int rc;
    do
        rc = list_step(redis, timeout_ms, cursor, each, data, err);
    while (rc == 0 && cursor[0] && strcmp(cursor, "0") != 0);
    return rc;
}

/* ---- what the dispatcher asks ---------------------------------------------------------------- */

void keys_get_command(const char *digest, struct redis_command *command)
{
    begin(command, &queue_script_key_get);
    redis_command_text(command, digest);
    for (int i = 0; i < FIELD_COUNT; i++)
        redis_command_text(command, fields[i]);
}

int keys_get_reply(const struct redis_reply *reply, struct key *out, struct err *err)
{
    struct key key;
    if (redis_reply_count(reply) != VALUE_COUNT)
        return err_set(err, ERR_INTERNAL, "redis", "the reply to key_get has not %d values",
                       VALUE_COUNT);
    if (redis_reply_type(redis_reply_at(reply, ID)) == REDIS_NIL)
        return err_set(err, ERR_NOT_FOUND, "key", "there is no such key");
    int rc = read_key(reply, &key, err);
    if (rc == 0 && key.revoked_ms)
        rc = err_set(err, ERR_NOT_FOUND, "key", "the key was revoked");
    if (rc == 0)
        *out = key;
    return rc;
}

void keys_origin_command(const char *origin, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "HEXISTS");
    redis_command_text(command, PREFIX "origins");
    redis_command_text(command, origin);
}

bool keys_origin_reply(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_INT && redis_reply_int(reply) == 1;
}

void keys_take_command(const char *bucket, int64_t per_minute, int64_t burst, int64_t count,
                       struct redis_command *command)
{
    begin(command, &queue_script_rate_take);
    redis_command_text(command, bucket);
    redis_command_int(command, per_minute);
    redis_command_int(command, burst);
    redis_command_int(command, count);
}

int keys_take_reply(const struct redis_reply *reply, int64_t *out_taken, int64_t *out_wait_ms,
                    struct err *err)
{
    if (redis_reply_count(reply) != 2)
        return err_set(err, ERR_INTERNAL, "redis", "the reply to rate_take has not two numbers");
    *out_taken = redis_reply_int(redis_reply_at(reply, 0));
    *out_wait_ms = redis_reply_int(redis_reply_at(reply, 1));
    return 0;
}
