/* SPDX-License-Identifier: MIT */
#include "tests/support/redis_server.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS_MAX 32
#define START_LIMIT_MS 10000
#define SERVER_VARIABLE "DARKROOM_REDIS_SERVER"

struct redis_server {
    char folder[64];
    char path[96];
    char url[104];
    const char *arguments[OPTIONS_MAX];
    pid_t pid;
    struct redis_server *next;
};

static struct redis_server *all;

static void end_process(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGCONT);
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    remove(path);
    return 0;
}

static void sweep(struct redis_server *server)
{
    end_process(server);
    /* All that redis-server left there, an append-only folder included. */
    nftw(server->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void sweep_all(void)
{
    for (struct redis_server *server = all; server; server = server->next)
        sweep(server);
}

static void die(const char *what)
{
    fprintf(stderr, "redis_server: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void run_server(struct redis_server *server, int failed_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *named = getenv(SERVER_VARIABLE);
    execvp(named && *named ? named : "redis-server", (char *const *)server->arguments);
    if (write(failed_fd, "x", 1) < 0)
        _exit(126);
    _exit(127);
}

/* Waits until it answers; the socket may be there before the server listens. */
static void wait_ready(struct redis_server *server)
{
    struct redis_target target;
    struct redis *redis = NULL;
    struct redis_command ping;
    struct err err = {0};
    redis_command_init(&ping, 64);
    redis_command_text(&ping, "PING");
    int rc = redis_target_init(&target, server->url, NULL, &err);
    if (rc == 0)
        rc = redis_create(&target, &redis, &err);
    if (rc == 0)
        rc = redis_call(redis, &ping, START_LIMIT_MS, NULL, &err);
    /* A server that asks for a password is up. */
    if (rc < 0 && rc != ERR_DENIED) {
        fprintf(stderr, "redis_server: %s\n", err.text);
        exit(EXIT_FAILURE);
    }
    redis_command_fini(&ping);
    redis_destroy(&redis);
}

static void launch(struct redis_server *server)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        die("pipe");
    server->pid = fork();
    if (server->pid < 0)
        die("fork");
    if (server->pid == 0)
        run_server(server, pipe_fds[1]);
    close(pipe_fds[1]);
    char failed = 0;
    ssize_t got = read(pipe_fds[0], &failed, 1);
    close(pipe_fds[0]);
    if (got == 1 && getenv(SERVER_VARIABLE)) {
        fprintf(stderr, "redis_server: " SERVER_VARIABLE " names no program\n");
        exit(EXIT_FAILURE);
    }
    if (got == 1) {
        printf("1..0 # SKIP redis-server is not installed\n");
        exit(0);
    }
    wait_ready(server);
}

struct redis_server *redis_server_start(const char *const *options)
{
    struct redis_server *server = calloc(1, sizeof *server);
    if (!server)
        die("memory");
    /* The program must survive a broken connection, as the real ones do (common/stop.h). */
    signal(SIGPIPE, SIG_IGN);
    snprintf(server->folder, sizeof server->folder, "/tmp/darkroom-redis-XXXXXX");
    if (!mkdtemp(server->folder))
        die("mkdtemp");
    snprintf(server->path, sizeof server->path, "%s/redis.sock", server->folder);
    snprintf(server->url, sizeof server->url, "unix:%s", server->path);
    const char *fixed[] = {"redis-server", "--port",     "0",      "--unixsocket", server->path,
                           "--save",       "",           "--dir",  server->folder, "--appendonly",
                           "no",           "--loglevel", "warning"};
    size_t count = sizeof fixed / sizeof fixed[0];
    memcpy(server->arguments, fixed, sizeof fixed);
    for (; options && *options && count < OPTIONS_MAX - 1; options++)
        server->arguments[count++] = *options;
    if (!all)
        atexit(sweep_all);
    server->next = all;
    all = server;
    launch(server);
    return server;
}

void redis_server_stop(struct redis_server **server)
{
    for (struct redis_server **link = &all; *server && *link; link = &(*link)->next)
        if (*link == *server) {
            *link = (*server)->next;
            break;
        }
    if (*server)
        sweep(*server);
    free(*server);
    *server = NULL;
}

const char *redis_server_url(const struct redis_server *server)
{
    return server->url;
}

void redis_server_pause(struct redis_server *server)
{
    kill(server->pid, SIGSTOP);
}

void redis_server_resume(struct redis_server *server)
{
    kill(server->pid, SIGCONT);
}

void redis_server_restart(struct redis_server *server)
{
    end_process(server);
    unlink(server->path);
    launch(server);
}
