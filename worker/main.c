/* SPDX-License-Identifier: MIT
 *
 * darkroom-worker: without a subcommand, jobs from the queue until a signal; `run`, one picture;
 * `bench`, how fast; `self-test`, whether it draws what it should; `weights`, what is in a file of
 * weights. */
#include "common/err.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/reload.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "worker/bench.h"
#include "worker/crash.h"
#include "worker/inspect.h"
#include "worker/loop.h"
#include "worker/run.h"
#include "worker/self_test_command.h"
#include "worker/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void report(int rc, const struct err *err)
{
    if (rc < 0)
        fprintf(stderr, "darkroom-worker: %s%s%s\n", err->field, err->field[0] ? ": " : "",
                err->text[0] ? err->text : err_name(rc));
}

static int serve(int argc, char **argv)
{
    struct settings settings = {0};
    enum config_next next;
    struct err err = {0};
    int rc = settings_load(argc, argv, &settings, &next, &err);
    if (rc < 0 || next == CONFIG_EXIT) {
        report(rc, &err);
        return settings_exit_status(argc, argv, rc, &err);
    }
    log_init("worker", settings.texts.debug ? LOG_DEBUG : LOG_INFO);
    stop_init();
    reload_init();
    supervisor_init();
    crash_init(argc, argv);
    bool abandoned;
    rc = loop_run(&settings, argc, argv, &abandoned, &err);
    report(rc, &err);
    int status = settings_exit_status(argc, argv, rc, &err);
    if (abandoned)
        _exit(status); /* threads are still at work on what they hold */
    settings_fini(&settings);
    return status;
}

/* `name` stands for the program and the subcommand in --help. */
static const struct command {
    const char *word;
    char *name;
    int (*run)(int argc, char **argv, struct err *err);
} commands[] = {
    {"run", (char[]){"darkroom-worker run"}, run_command},
    {"bench", (char[]){"darkroom-worker bench"}, bench_command},
    {"self-test", (char[]){"darkroom-worker self-test"}, self_test_command},
    {"weights", (char[]){"darkroom-worker weights"}, inspect_command},
};

static int run_subcommand(const struct command *command, int argc, char **argv)
{
    struct err err = {0};
    argv[1] = command->name;
    int rc = command->run(argc - 1, argv + 1, &err);
    report(rc, &err);
    return err_exit_status(rc);
}

int main(int argc, char **argv)
{
    memory_keep_tidy();
    if (argc > 1 && !strcmp(argv[1], CRASH_COMMAND))
        return crash_mourn(argc, argv);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(argv[1], commands[i].word))
            return run_subcommand(&commands[i], argc, argv);
    return serve(argc, argv);
}
