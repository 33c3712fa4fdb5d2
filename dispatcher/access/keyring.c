/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/keyring.h"

#include "common/base64.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/queue_limits.h"
#include "dispatcher/dispatcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 512
#define PLACES 4 /* of a row */
#define FRESH_MS 1000
#define OLD_MS 2000

struct entry {
    struct keyring *keyring;
    char digest[CRYPTO_SHA256_HEX_SIZE];
    bool known, asking; /* known: rc and key hold an answer */
    int rc;
    struct key key;
    int64_t asked_ms; /* when the question was sent that rc and key answer */
    int64_t sent_ms;  /* of the question under way */
    struct keyring_wait *waits;
};

struct keyring {
    struct dispatcher *dispatcher;       /* borrowed */
    struct entry *entries[ROWS][PLACES]; /* owned; NULL until needed */
};

int keyring_create(struct dispatcher *dispatcher, struct keyring **out)
{
    struct keyring *keyring = calloc(1, sizeof *keyring);
    if (!keyring)
        return ERR_NOMEM;
    keyring->dispatcher = dispatcher;
    *out = keyring;
    return 0;
}

void keyring_destroy(struct keyring **slot)
{
    struct keyring *keyring = *slot;
    *slot = NULL;
    for (size_t i = 0; keyring && i < ROWS * PLACES; i++) {
        struct entry *entry = keyring->entries[i / PLACES][i % PLACES];
        assert(!entry || !entry->waits);
        free(entry);
    }
    free(keyring);
}

/* The place of the digest, or else the one that has it longest; NULL: all of its row are being
 * asked for. */
static struct entry **place_of(struct keyring *keyring, const char *digest)
{
    unsigned char hash[2];
    hex_decode(digest, 4, hash, sizeof hash);
    struct entry **row = keyring->entries[(hash[0] << 8 | hash[1]) % ROWS];
    struct entry **best = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        if (!row[i])
            return &row[i]; /* places are filled in order */
        if (memcmp(row[i]->digest, digest, sizeof row[i]->digest) == 0)
            return &row[i];
        if (!row[i]->asking && (!best || row[i]->asked_ms < (*best)->asked_ms))
            best = &row[i];
    }
    return best;
}

static struct entry *entry_of(struct keyring *keyring, const char *digest)
{
    struct entry **place = place_of(keyring, digest);
    if (!place || (!*place && !(*place = calloc(1, sizeof **place))))
        return NULL;
    struct entry *entry = *place;
    if (memcmp(entry->digest, digest, sizeof entry->digest) != 0) {
        *entry = (struct entry){.keyring = keyring};
        memcpy(entry->digest, digest, sizeof entry->digest);
    }
    return entry;
}

static void tell_all(struct entry *entry, int rc)
{
    struct keyring_wait *wait = entry->waits;
    entry->waits = NULL;
    while (wait) {
        struct keyring_wait *next = wait->next;
        wait->done(wait, rc, rc == 0 ? &entry->key : NULL);
        wait = next;
    }
}

/* The queue counts the account's running jobs; its key says how many there may be. With each look,
 * so that a change or an emptied Redis is put right; before any job that waits for this answer. */
static void tell_limits(const struct entry *entry)
{
    struct dispatcher *dispatcher = entry->keyring->dispatcher;
    const struct key *key = &entry->key;
    if (!(key->scopes & SCOPE_SUBMIT))
        return;
    queue_flow_limits_command(dispatcher_queue_of_flow(dispatcher, key->account), key->account,
                              key->concurrency, 0, &dispatcher->command);
    dispatcher_send(dispatcher, NULL, NULL);
}

static void on_key(int rc, const struct redis_reply *reply, void *data)
{
    struct entry *entry = data;
    struct err err = {0};
    entry->asking = false;
    if (rc == 0)
        rc = keys_get_reply(reply, &entry->key, &err);
    else if (reply)
        redis_reply_check(reply, &err);
    if (rc < 0 && rc != ERR_NOT_FOUND && rc != ERR_UNAVAILABLE)
        log_event(LOG_ERROR, "key.unreadable", "code", LOG_S, err_name(rc), "detail", LOG_S,
                  err.text, NULL);
    /* An outage is no answer: what was known stays until it is too old. */
    if (rc != ERR_UNAVAILABLE) {
        entry->known = true;
        entry->rc = rc;
        entry->asked_ms = entry->sent_ms;
    }
    if (rc == 0)
        tell_limits(entry);
    tell_all(entry, rc);
}

static bool ask(struct entry *entry, int64_t now_ms)
{
    struct dispatcher *dispatcher = entry->keyring->dispatcher;
    keys_get_command(entry->digest, &dispatcher->command);
    entry->asking = dispatcher_send(dispatcher, on_key, entry) == 0;
    entry->sent_ms = now_ms;
    return entry->asking;
}

int keyring_ask(struct keyring *keyring, const char *text, int64_t now_ms,
                struct keyring_wait *wait, const struct key **out_key)
{
    char digest[CRYPTO_SHA256_HEX_SIZE];
    if (!key_text_valid(text))
        return ERR_NOT_FOUND;
    struct entry *entry = key_digest(text, digest) == 0 ? entry_of(keyring, digest) : NULL;
    if (!entry)
        return ERR_UNAVAILABLE;
    int64_t age_ms = now_ms - entry->asked_ms;
    if (entry->known && age_ms < OLD_MS) {
        if (age_ms >= FRESH_MS && !entry->asking)
            ask(entry, now_ms);
        *out_key = &entry->key;
        return entry->rc;
    }
    if (!entry->asking && !ask(entry, now_ms))
        return ERR_UNAVAILABLE;
    wait->next = entry->waits;
    entry->waits = wait;
    return KEYRING_WAITS;
}
