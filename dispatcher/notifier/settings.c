/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/settings.h"

#include "common/crypto.h"
#include "common/err.h"
#include "common/queue.h"
#include "common/redis_options.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(struct notifier_settings, member)

static const struct config_option options[] = {
    REDIS_OPTIONS(struct notifier_settings, redis, redis_password_file, redis_tls),
    REDIS_SHARDS_OPTION(AT(shards)),
    {"public-url", CONFIG_TEXT, AT(public_url), "http://127.0.0.1:8080",
     .help = "where visitors reach the dispatcher; links begin with it"},
    {"models", CONFIG_TEXT, AT(models), .installed = "models",
     .help = "folder of manifests, for the models' titles; default: the installed one",
     .traits = CONFIG_RELOADS},
    {"secret-file", CONFIG_TEXT, AT(secret_file),
     .help = "64 hex digits, shared by dispatchers and notifiers", .traits = CONFIG_SECRET},
    {"mail-from", CONFIG_TEXT, AT(mail_from), .help = "'Name <address>' or address of the sender",
     .traits = CONFIG_RELOADS},
    {"smtp", CONFIG_TEXT, AT(smtp),
     .help = "smtps://HOST, smtp+starttls://HOST[:PORT] or smtp://HOST[:PORT]",
     .traits = CONFIG_RELOADS},
    {"smtp-user", CONFIG_TEXT, AT(smtp_user), .help = "for AUTH; none by default",
     .traits = CONFIG_RELOADS},
    {"smtp-password-file", CONFIG_TEXT, AT(smtp_password_file), .help = "for AUTH",
     .traits = CONFIG_SECRET | CONFIG_RELOADS},
    {"smtp-ca-file", CONFIG_TEXT, AT(smtp_ca_file),
     .help = "certificates to trust instead of the system's", .traits = CONFIG_RELOADS},
    {"smtp-allow-plain", CONFIG_BOOL, AT(smtp_allow_plain), "false",
     .help = "let smtp:// reach other machines than this one", .traits = CONFIG_RELOADS},
    {"smtp-timeout-ms", CONFIG_INT, AT(smtp_timeout_ms), "60000", 100, 600000, "ms",
     "the longest that handing over one mail may take"},
    {"outbox", CONFIG_TEXT, AT(outbox), .help = "write .eml files into this folder instead"},
    {"mail-per-address-hour", CONFIG_INT, AT(per_address_hour), "6", 1, 1000, "mails",
     "more wait until the hour is over", .traits = CONFIG_RELOADS},
    {"mail-quota-hour", CONFIG_INT, AT(quota_hour), "0", 0, 100000000, "mails",
     "of all notifiers together in any hour; more wait; 0: no limit", .traits = CONFIG_RELOADS},
    {"mail-quota-day", CONFIG_INT, AT(quota_day), "0", 0, 100000000, "mails",
     "the same in any 24 hours", .traits = CONFIG_RELOADS},
    {"mail-hold-ms", CONFIG_INT, AT(hold_ms), "900000", 100, 86400000, "ms",
     "how long no mail is sent after the mail server has said that it takes no more",
     .traits = CONFIG_RELOADS},
    {"mail-thumbnails", CONFIG_BOOL, AT(thumbnails), "true",
     .help = "put a small copy of the result into the mail; it is fetched from the public URL"},
    {"mail-retry-ms", CONFIG_INT, AT(retry_ms), "10000", 10, 3600000, "ms",
     "first wait after a failure; it doubles up to an hour, for three days",
     .traits = CONFIG_RELOADS},
    {"mail-lease-ms", CONFIG_INT, AT(mail_lease_ms), "120000", 1000, 3600000, "ms",
     "after this a mail of a notifier that died is taken over"},
    {"webhook-allow", CONFIG_TEXT, AT(webhook_allow),
     .help = "internal networks that webhooks may reach all the same: 10.1.2.0/24,127.0.0.1"},
    {"webhook-ca-file", CONFIG_TEXT, AT(webhook_ca_file),
     .help = "certificates to trust instead of the system's"},
    {"webhook-timeout-ms", CONFIG_INT, AT(webhook_timeout_ms), "15000", 100, 60000, "ms",
     "the longest that one request may take"},
    {"webhook-concurrency", CONFIG_INT, AT(webhook_slots), "256", 1, 4096, "requests", "at once"},
    {"webhook-per-receiver", CONFIG_INT, AT(webhook_per_receiver), "4", 1, 256, "requests",
     "at once to one receiver, from all notifiers together", .traits = CONFIG_RELOADS},
    {"webhook-retry-ms", CONFIG_INT, AT(webhook_retry_ms), "10000", 10, 3600000, "ms",
     "first wait after a failure; it doubles up to four hours, for three days",
     .traits = CONFIG_RELOADS},
    {"webhook-lease-ms", CONFIG_INT, AT(webhook_lease_ms), "60000", 1000, 3600000, "ms",
     "after this a request of a notifier that died is made again"},
    {"metrics", CONFIG_TEXT, AT(metrics),
     .help = "HOST:PORT where Prometheus fetches /metrics; off unless given"},
    TRACING_OPTIONS(AT(tracing)),
};

const struct config_spec notifier_settings_spec = {
    .usage = "--secret-file FILE --mail-from SENDER (--smtp URL | --outbox DIR) [OPTIONS]\n"
             "Sends the mails and webhooks of jobs that ended.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct notifier_settings),
    .max_arguments = 0,
};

int notifier_settings_check(struct notifier_settings *settings, struct err *err)
{
    if (!settings->secret_file || !settings->mail_from)
        return err_set(err, ERR_INVALID, settings->secret_file ? "mail-from" : "secret-file",
                       "--secret-file and --mail-from are needed");
    if (!settings->smtp == !settings->outbox)
        return err_set(err, ERR_INVALID, settings->smtp ? "smtp" : "outbox",
                       "one of --smtp and --outbox is needed");
    if (!settings->smtp_user != !settings->smtp_password_file)
        return err_set(err, ERR_INVALID, "smtp-user",
                       "--smtp-user and --smtp-password-file go together");
    if (settings->smtp && settings->mail_lease_ms <= settings->smtp_timeout_ms)
        return err_set(err, ERR_INVALID, "mail-lease-ms",
                       "mail-lease-ms must be more than smtp-timeout-ms, which is %lld",
                       (long long)settings->smtp_timeout_ms);
    if (settings->webhook_lease_ms <= settings->webhook_timeout_ms)
        return err_set(err, ERR_INVALID, "webhook-lease-ms",
                       "webhook-lease-ms must be more than webhook-timeout-ms, which is %lld",
                       (long long)settings->webhook_timeout_ms);
    const struct {
        const char *option, *path;
    } trusted[] = {{"smtp-ca-file", settings->smtp_ca_file},
                   {"webhook-ca-file", settings->webhook_ca_file}};
    for (size_t i = 0; i < sizeof trusted / sizeof trusted[0]; i++) {
        int rc = trusted[i].path ? crypto_check_certificates(trusted[i].path, err) : 0;
        if (rc < 0)
            return err_blame(rc, trusted[i].option, err);
    }
    size_t length = strlen(settings->public_url);
    while (length && settings->public_url[length - 1] == '/')
        settings->public_url[--length] = 0;
    if (strncmp(settings->public_url, "http://", 7) && strncmp(settings->public_url, "https://", 8))
        return err_set(err, ERR_INVALID, "public-url", "public-url wants http:// or https://");
    return 0;
}
