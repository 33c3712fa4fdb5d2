/* SPDX-License-Identifier: MIT
 *
 * darkroom-worker: without a subcommand, jobs from the queue until a signal; `run`, one picture. */
#include "common/err.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/stop.h"
#include "worker/crash.h"
#include "worker/loop.h"
#include "worker/run.h"
#include "worker/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int report(int rc, const struct err *err)
{
    if (rc < 0)
        fprintf(stderr, "darkroom-worker: %s%s%s\n", err->field, err->field[0] ? ": " : "",
                err->text[0] ? err->text : err_name(rc));
    return err_exit_status(rc);
}

static int serve(int argc, char **argv)
{
    struct settings settings = {0};
    enum config_next next;
    struct err err = {0};
    int rc = settings_load(argc, argv, &settings, &next, &err);
    if (rc < 0 || next == CONFIG_EXIT)
        return report(rc, &err);
    memory_keep_tidy();
    log_init("worker", settings.texts.debug ? LOG_DEBUG : LOG_INFO);
    stop_init();
    crash_init(argc, argv);
    bool abandoned;
    rc = loop_run(&settings, &abandoned, &err);
    int status = report(rc, &err);
    if (abandoned)
        _exit(status); /* threads are still at work on what they hold */
    settings_fini(&settings);
    return status;
}

static int run_one(int argc, char **argv)
{
    static char name[] = "darkroom-worker run";
    struct err err = {0};
    argv[1] = name;
    int rc = run_command(argc - 1, argv + 1, &err);
    return report(rc, &err);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], CRASH_COMMAND))
        return crash_mourn(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "run"))
        return run_one(argc, argv);
    return serve(argc, argv);
}
