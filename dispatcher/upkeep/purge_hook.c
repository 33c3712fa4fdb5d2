/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/purge_hook.h"

#include "common/crypto.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE "{path}"
#define MAX_PATH 300
#define MAX_URL 2048
#define MAX_HEADER 1024
#define MAX_ANSWER 4096

extern char **environ;

struct purge_hook {
    char *command, *url; /* owned; one of them is NULL */
    enum http_method method;
    char header[MAX_HEADER]; /* "Name" NUL "value"; "" none */
    const char *header_value;
    struct http_client *client; /* owned; with a URL */
};

/* ---- options --------------------------------------------------------------------------------- */

static int open_command(struct purge_hook *hook, const char *command, struct err *err)
{
    if (command[0] != '/' || access(command, X_OK) < 0)
        return err_set(err, ERR_INVALID, "purge-command",
                       "must be the absolute path of a program that we may run");
    hook->command = strdup(command);
    return hook->command ? 0 : err_set(err, ERR_NOMEM, NULL, "no memory for a purge hook");
}

static int read_method(const char *name, enum http_method *out, struct err *err)
{
    static const struct {
        const char *name;
        enum http_method method;
    } rows[] = {{"PURGE", HTTP_PURGE},
                {"POST", HTTP_POST},
                {"PUT", HTTP_PUT},
                {"DELETE", HTTP_DELETE},
                {"GET", HTTP_GET}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(rows[i].name, name)) {
            *out = rows[i].method;
            return 0;
        }
    return err_set(err, ERR_INVALID, "purge-method", "must be PURGE, POST, PUT, DELETE or GET");
}

/* "Name: value", its end at a newline. */
static bool split_header(struct purge_hook *hook)
{
    char *text = hook->header, *colon = strchr(text, ':');
    text[strcspn(text, "\n")] = 0;
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    if (!colon || colon == text)
        return false;
    *colon = 0;
    hook->header_value = colon + 1 + strspn(colon + 1, " ");
    return hook->header_value[0] && !text[strcspn(text, " \t")];
}

static int read_header(struct purge_hook *hook, const char *path, struct err *err)
{
    struct buf text;
    struct err why = {0};
    buf_init(&text, sizeof hook->header - 1);
    int rc = secret_read_file(path, &text, &why);
    if (rc == 0)
        memcpy(hook->header, buf_text(&text), text.size);
    if (rc == 0 && !split_header(hook))
        rc = err_set(&why, ERR_INVALID, NULL, "%s must hold one line: Name: value", path);
    secret_wipe_buf(&text);
    buf_fini(&text);
    return rc < 0 ? err_set(err, ERR_INVALID, "purge-header-file", "%s", why.text) : 0;
}

static int open_url(struct purge_hook *hook, const struct purge_hook_options *options,
                    struct err *err)
{
    const char *url = options->url, *place = strstr(url, PLACE);
    if ((strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) || strlen(url) >= MAX_URL)
        return err_set(err, ERR_INVALID, "purge-url", "must start with http:// or https://");
    if (!place || strstr(place + 1, PLACE) || place < strchr(url, '/') + 3)
        return err_set(err, ERR_INVALID, "purge-url", "must hold " PLACE " once, behind the host");
    hook->url = strdup(url);
    if (!hook->url)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a purge hook");
    int rc = read_method(options->method ? options->method : "PURGE", &hook->method, err);
    if (rc == 0 && options->header_file && options->header_file[0])
        rc = read_header(hook, options->header_file, err);
    if (rc == 0)
        rc = http_client_create(&(struct http_client_options){.connect_timeout_ms = 5000},
                                &hook->client, err);
    return rc;
}

int purge_hook_open(const struct purge_hook_options *options, struct purge_hook **out,
                    struct err *err)
{
    bool command = options->command && options->command[0], url = options->url && options->url[0];
    *out = NULL;
    if (!command && !url)
        return 0;
    if (command && url)
        return err_set(err, ERR_INVALID, "purge-url", "either a command or a URL");
    struct purge_hook *hook = calloc(1, sizeof *hook);
    if (!hook)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a purge hook");
    int rc = command ? open_command(hook, options->command, err) : open_url(hook, options, err);
    if (rc < 0)
        purge_hook_close(&hook);
    *out = hook;
    return rc;
}

void purge_hook_close(struct purge_hook **slot)
{
    struct purge_hook *hook = *slot;
    *slot = NULL;
    if (!hook)
        return;
    http_client_destroy(&hook->client);
    free(hook->command);
    free(hook->url);
    crypto_wipe(hook->header, sizeof hook->header);
    free(hook);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int drop(void *context, const void *data, size_t size)
{
    return 0;
}

static int call_url(struct purge_hook *hook, const char *path, int64_t timeout_ms, struct err *err)
{
    char url[MAX_URL + MAX_PATH];
    const char *place = strstr(hook->url, PLACE);
    struct http_header header = {hook->header, hook->header_value};
    struct http_response response;
    snprintf(url, sizeof url, "%.*s%s%s", (int)(place - hook->url), hook->url, path,
             place + strlen(PLACE));
    http_response_init(&response, MAX_ANSWER);
    int rc = http_client_send(hook->client,
                              &(struct http_request){.method = hook->method,
                                                     .url = url,
                                                     .headers = &header,
                                                     .header_count = hook->header[0] != 0,
                                                     .total_timeout_ms = timeout_ms,
                                                     .on_data = drop},
                              &response, err);
    http_response_fini(&response);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int spawn(const char *command, const char *path, pid_t *out_pid, struct err *err)
{
    char *arguments[] = {(char *)command, (char *)path, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none); /* the pool's threads take no signals; a child would inherit that */
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    errno = posix_spawn(out_pid, command, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return errno ? err_set_errno(err, "purge-command", "%s", command) : 0;
}

/* 0 or 1: it has ended, or not in time. */
static int wait_until_ended(pid_t pid, int64_t timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ended;
    do
        ended = poll(&wait, 1, fd < 0 ? 0 : (int)timeout_ms);
    while (ended < 0 && errno == EINTR);
    if (fd >= 0)
        close(fd);
    return ended > 0 ? 0 : 1;
}

static int call_command(const struct purge_hook *hook, const char *path, int64_t timeout_ms,
                        struct err *err)
{
    pid_t pid;
    int status = 0;
    int rc = spawn(hook->command, path, &pid, err);
    if (rc < 0)
        return ERR_UNAVAILABLE;
    bool late = wait_until_ended(pid, timeout_ms);
    if (late)
        kill(-pid, SIGKILL); /* and whatever it has started */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (late)
        return err_set(err, ERR_TIMEOUT, "purge-command", "did not end in time");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_UNAVAILABLE, "purge-command", "ended with status %d",
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

static bool path_is_valid(const char *path)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
    return path[0] == '/' && strlen(path) < MAX_PATH && path[strspn(path, allowed)] == 0;
}

int purge_hook_call(struct purge_hook *hook, const char *path, int64_t timeout_ms, struct err *err)
{
    if (!path_is_valid(path))
        return err_set(err, ERR_INVALID, NULL, "not a path of ours");
    return hook->command ? call_command(hook, path, timeout_ms, err)
                         : call_url(hook, path, timeout_ms, err);
}
