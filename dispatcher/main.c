/* SPDX-License-Identifier: MIT
 *
 * darkroom-dispatcher: the HTTP API, the pages and the housekeeping. */
#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/reload.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

/* One heap for a handful of threads, and large bodies in mappings of their own, given back as soon
 * as they are free: memory at rest stays what the program needs, not what its busiest second did.
 */
static void tame_memory(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

/* A stream that waits is an open file. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int announce(const struct dispatcher *dispatcher, const struct settings *settings,
                    struct err *err)
{
    char text[16];
    int rc = 0;
    unsigned port = http_server_port(dispatcher->server);
    snprintf(text, sizeof text, "%u\n", port);
    if (settings->port_file)
        rc = file_write(settings->port_file, text, strlen(text), 0644, err);
    if (rc == 0)
        supervisor_ready();
    if (rc == 0)
        log_event(LOG_INFO, "dispatcher.ready", "port", LOG_I, (int64_t)port, "url", LOG_S,
                  dispatcher->public_url, "models", LOG_I, (int64_t)dispatcher->models.count, NULL);
    return rc;
}

static int serve(struct settings *settings, int argc, char **argv, struct err *err)
{
    struct dispatcher *dispatcher = malloc(sizeof *dispatcher);
    if (!dispatcher)
        return err_set(err, ERR_NOMEM, NULL, "no memory");
    int rc = dispatcher_open(settings, argc, argv, dispatcher, err);
    if (rc == 0) {
        rc = announce(dispatcher, settings, err);
        if (rc == 0)
            rc = dispatcher_run(dispatcher);
        dispatcher_close(dispatcher);
    }
    free(dispatcher);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings;
    struct err err = {0};
    enum config_next next;
    enum log_level level = LOG_INFO;
    int words;
    int rc = config_load(&settings_spec, argc, argv, &settings, &next, &words, &err);
    if (rc < 0) {
        fprintf(stderr, "darkroom-dispatcher: %s\n", err.text);
        return config_exit_status(&settings_spec, argc, argv, rc, &err);
    }
    if (next == CONFIG_EXIT) {
        config_fini(&settings_spec, &settings);
        return EX_OK;
    }
    tame_memory();
    raise_file_limit();
    rc = log_level_parse(settings.log, &level, &err);
    if (rc == 0) {
        log_init("dispatcher", level);
        log_gather();
        stop_init();
        reload_init();
        supervisor_init();
        rc = serve(&settings, argc, argv, &err);
    }
    if (rc < 0)
        log_event(LOG_ERROR, "dispatcher.failed", "code", LOG_S, err_name(rc), "option", LOG_S,
                  err.field, "detail", LOG_S, err.text, NULL);
    log_flush();
    config_fini(&settings_spec, &settings);
    return config_exit_status(&settings_spec, argc, argv, rc, &err);
}
