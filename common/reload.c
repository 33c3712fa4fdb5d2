/* SPDX-License-Identifier: MIT */
#include "common/reload.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/supervisor.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int event_fd = -1;
static atomic_bool successful = true;
static atomic_llong success_ms;

static void on_signal(int number)
{
    uint64_t one = 1;
    (void)number;
    /* Only async-signal-safe calls. */
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written;
}

void reload_init(void)
{
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0)
        abort();
    atomic_store(&success_ms, clock_wall_ms());
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGHUP, &action, NULL);
}

int reload_fd(void)
{
    return event_fd;
}

bool reload_take(void)
{
    uint64_t count;
    if (read(event_fd, &count, sizeof count) != (ssize_t)sizeof count)
        return false;
    supervisor_reloading();
    return true;
}

void reload_tell(int rc, const char *fixed, const struct err *err)
{
    if (rc < 0)
        log_event(LOG_ERROR, "config.refused", "code", LOG_S, err_name(rc), "option", LOG_S,
                  err->field, "detail", LOG_S, err->text, NULL);
    else
        log_event(*fixed ? LOG_WARN : LOG_INFO, "config.reloaded", *fixed ? "want_restart" : NULL,
                  LOG_S, fixed, NULL);
    atomic_store(&successful, rc == 0);
    if (rc == 0)
        atomic_store(&success_ms, clock_wall_ms());
    supervisor_reloaded();
}

int reload_write_metrics(struct buf *out)
{
    if (event_fd < 0)
        return 0;
    int rc = metrics_write_gauge(out, "darkroom_config_last_reload_successful",
                                 "1 unless the last SIGHUP found a configuration that was refused.",
                                 atomic_load(&successful));
    if (rc == 0)
        rc = metrics_write_gauge(out, "darkroom_config_last_reload_success_timestamp_seconds",
                                 "When the configuration in force was read, since 1970.",
                                 (double)atomic_load(&success_ms) / 1000);
    return rc;
}
