/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/reload.h"

#include "common/crypto.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/reload.h"
#include "common/secret.h"
#include "common/smtp.h"
#include "dispatcher/notifier/hook_sender.h"
#include "dispatcher/notifier/notify.h"

#include <string.h>

#define MAX_PASSWORD 257

int notifier_open_smtp(const struct notifier_settings *settings, struct smtp **out, struct err *err)
{
    char password[MAX_PASSWORD] = "";
    int rc = 0;
    if (settings->smtp_password_file)
        rc = err_blame(
            secret_read_line(settings->smtp_password_file, 1, password, sizeof password, err),
            "smtp-password-file", err);
    if (rc == 0)
        rc = smtp_create(&(struct smtp_options){.url = settings->smtp,
                                                .user = settings->smtp_user,
                                                .password = password,
                                                .ca_file = settings->smtp_ca_file,
                                                .allow_plain = settings->smtp_allow_plain,
                                                .timeout_ms = settings->smtp_timeout_ms},
                         out, err);
    crypto_wipe(password, sizeof password);
    return rc;
}

/* What is made of new settings. */
struct parts {
    struct mail_sender sender;
    struct manifest_set models;
    struct smtp *smtp; /* owned; NULL: mails go to a folder */
};

static int prepare(const struct notifier_running *running, struct notifier_settings *fresh,
                   struct parts *parts, struct err *err)
{
    int rc = notifier_settings_check(fresh, err);
    if (rc == 0 && !fresh->outbox != !running->settings->outbox)
        rc = err_set(err, ERR_INVALID, "outbox", "from --smtp to --outbox or back takes a restart");
    if (rc == 0)
        rc = mail_sender_parse(fresh->mail_from, &parts->sender, err);
    if (rc == 0 && fresh->models)
        rc = err_blame(manifest_set_load(fresh->models, &parts->models, err), "models", err);
    if (rc < 0 || !*running->smtp)
        return rc;
    /* It goes with the lease of a mail, which stays. */
    struct notifier_settings merged = *fresh;
    merged.smtp_timeout_ms = running->settings->smtp_timeout_ms;
    return notifier_open_smtp(&merged, &parts->smtp, err);
}

static void apply(const struct notifier_running *running, struct notifier_settings *fresh,
                  struct parts *parts)
{
    struct notifier_settings *settings = running->settings;
    struct manifest_set old = *running->models;
    config_take_over(&notifier_settings_spec, settings, fresh);
    *running->sender = parts->sender;
    *running->models = parts->models;
    parts->models = old;
    if (parts->smtp) {
        struct smtp *before = *running->smtp;
        *running->smtp = parts->smtp;
        *running->courier = courier_smtp(parts->smtp);
        parts->smtp = before;
    }
    notify_limit(running->notify,
                 &(struct notify_limits){.per_address_hour = settings->per_address_hour,
                                         .quota_hour = settings->quota_hour,
                                         .quota_day = settings->quota_day,
                                         .hold_ms = settings->hold_ms,
                                         .retry_ms = settings->retry_ms});
    hook_sender_limit(running->hooks, (int)settings->webhook_per_receiver,
                      settings->webhook_retry_ms);
}

void notifier_reload(const struct notifier_running *running)
{
    struct notifier_settings fresh;
    struct parts parts = {0};
    struct err err = {0};
    char fixed[256] = "";
    enum config_next next;
    int words;
    int rc = config_load(&notifier_settings_spec, running->argc, running->argv, &fresh, &next,
                         &words, &err);
    if (rc == 0)
        rc = prepare(running, &fresh, &parts, &err);
    if (rc == 0) {
        config_fixed_changes(&notifier_settings_spec, running->settings, &fresh, fixed,
                             sizeof fixed);
        apply(running, &fresh, &parts);
    }
    smtp_destroy(&parts.smtp);
    manifest_set_fini(&parts.models);
    config_fini(&notifier_settings_spec, &fresh);
    reload_tell(rc, fixed, &err);
}
