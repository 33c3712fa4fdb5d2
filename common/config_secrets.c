/* SPDX-License-Identifier: MIT
 *
 * Where secrets come from beside files: the environment, and systemd's credentials. One that the
 * environment brings is copied into a file in memory, and its variable replaced by the one that
 * names this file: what reads files reads it as well, at a reload too; it stands neither in
 * /proc/PID/environ nor in what our children are given. */
#include "common/config.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX "-file"
#define VARIABLE_SUFFIX "_FILE"
#define MAX_SECRETS 16

static int files[MAX_SECRETS];
static size_t file_count;

/* How long the name of the secret itself is; 0 for an option that names none. */
static size_t stem(const struct config_option *option)
{
    size_t length = strlen(option->name), suffix = sizeof SUFFIX - 1;
    return option->traits & CONFIG_SECRET && length > suffix ? length - suffix : 0;
}

const struct config_option *config_secret_named(const struct config_spec *spec, const char *name,
                                                size_t length)
{
    for (size_t i = 0; i < spec->option_count; i++)
        if (length > 0 && stem(&spec->options[i]) == length &&
            strncmp(spec->options[i].name, name, length) == 0)
            return &spec->options[i];
    return NULL;
}

/* The variable of the secret itself, and the one of its file. */
static void variables(const struct config_option *option, char value[CONFIG_NAME_MAX + 16],
                      char path[CONFIG_NAME_MAX + 16])
{
    config_environment_name(option, path);
    config_environment_name(option, value);
    value[strlen(value) - (sizeof VARIABLE_SUFFIX - 1)] = 0;
}

int config_refuse_secret(const struct config_option *option, const char *source, struct err *err)
{
    char value[CONFIG_NAME_MAX + 16], path[CONFIG_NAME_MAX + 16];
    bool typed = !strcmp(source, "command line");
    variables(option, value, path);
    return err_set(err, ERR_INVALID, typed ? NULL : "config",
                   "%s: %.*s is a secret%s: put it into a file for --%s, or into the variable %s",
                   source, (int)stem(option), option->name,
                   typed ? ", which the process list would show" : "", option->name, value);
}

static int write_secret(int fd, const char *text)
{
    size_t size = strlen(text);
    if (fchmod(fd, S_IRUSR) < 0)
        return -1;
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0)
            return -1;
        text += written;
        size -= (size_t)written;
    }
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

static int hide(const struct config_option *option, struct err *err)
{
    char value[CONFIG_NAME_MAX + 16], path[CONFIG_NAME_MAX + 16], place[32];
    variables(option, value, path);
    char *text = getenv(value);
    if (!text)
        return 0;
    if (!*text)
        return err_set(err, ERR_INVALID, "config", "%s is empty", value);
    if (getenv(path))
        return err_set(err, ERR_INVALID, "config", "%s and %s are both set: one of them is meant",
                       value, path);
    if (file_count == MAX_SECRETS)
        return err_set(err, ERR_LIMIT, option->name, "more than %d secrets", MAX_SECRETS);
    int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write_secret(fd, text) < 0) {
        int rc = err_set_errno(err, option->name, "no memory for what %s holds", value);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    files[file_count++] = fd;
    /* The environment's own bytes: /proc/PID/environ shows them as they are, for life. */
    explicit_bzero(text, strlen(text));
    unsetenv(value);
    snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
    return setenv(path, place, 1) < 0 ? err_set(err, ERR_NOMEM, NULL, "no memory") : 0;
}

int config_hide_secrets(const struct config_spec *spec, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->option_count; i++)
        if (stem(&spec->options[i]) > 0)
            rc = hide(&spec->options[i], err);
    return rc;
}

bool config_credential(const struct config_option *option, char *out, size_t size)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (!folder || stem(option) == 0)
        return false;
    int n = snprintf(out, size, "%s/%.*s", folder, (int)stem(option), option->name);
    return n > 0 && (size_t)n < size && access(out, F_OK) == 0;
}

void config_keep_secrets(void)
{
    for (size_t i = 0; i < file_count; i++)
        fcntl(files[i], F_SETFD, 0);
}
