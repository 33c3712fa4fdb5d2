/* SPDX-License-Identifier: MIT */
#include "worker/crash.h"

#include "common/err.h"
#include "common/log.h"
#include "common/queue_worker.h"
#include "worker/settings.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGUMENTS_MAX 256
#define MOURN_TIMEOUT_MS 5000

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static char program[] = "/proc/self/exe", command[] = CRASH_COMMAND;
static char worker[64], signal_text[4];
/* Made beforehand, as the handler may not. */
static char *arguments[ARGUMENTS_MAX + 4] = {program, command, worker, signal_text};

/* Only async-signal-safe calls. The handler is gone by now, so the signal raised again kills. */
static void on_crash(int number)
{
    signal_text[0] = (char)('0' + number / 10);
    signal_text[1] = (char)('0' + number % 10);
    /* Not fork(), which takes locks that the one who crashed may hold. */
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        config_keep_secrets();
        execv(program, arguments);
        _exit(EXIT_FAILURE);
    }
    raise(number);
}

void crash_init(int argc, char **argv)
{
    for (int i = 1; i < argc && i < ARGUMENTS_MAX; i++)
        arguments[3 + i] = argv[i];
}

void crash_arm(const char *worker_id)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER}, old;
    snprintf(worker, sizeof worker, "%s", worker_id);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
}

static int tell_queues(const struct settings *settings, const char *who, const char *how,
                       struct err *err)
{
    struct redis *redis = NULL;
    int all = 0;
    int rc = redis_create(&settings->redis, &redis, err);
    for (int64_t shard = 0; rc == 0 && shard < settings->shards; shard++) {
        struct queue queue;
        int jobs = 0;
        queue_init(&queue, (unsigned)shard, settings->lease_ms);
        rc = queue_mourn(&queue, redis, who, how, MOURN_TIMEOUT_MS, &jobs, err);
        all += jobs;
    }
    redis_destroy(&redis);
    log_event(LOG_ERROR, "worker.crashed", "worker", LOG_S, who, "how", LOG_S, how, "jobs", LOG_I,
              (int64_t)all, "code", LOG_S, err_name(rc), NULL);
    return rc;
}

int crash_mourn(int argc, char **argv)
{
    struct settings settings = {0};
    enum config_next next;
    struct err err = {0};
    char how[64];
    if (argc < 4)
        return err_exit_status(ERR_INVALID);
    int number = (int)strtol(argv[3], NULL, 10);
    snprintf(how, sizeof how, "signal %d (%s)", number, strsignal(number));
    log_init("worker", LOG_INFO);
    const char *who = argv[2];
    argv[3] = argv[0];
    int rc = settings_load(argc - 3, argv + 3, &settings, &next, &err);
    if (rc < 0 || next == CONFIG_EXIT)
        return err_exit_status(rc);
    rc = tell_queues(&settings, who, how, &err);
    settings_fini(&settings);
    return err_exit_status(rc);
}
