/* SPDX-License-Identifier: MIT
 *
 * One table of options gives flags, environment variables, the configuration file, --help and
 * --dump-config.
 *
 *     struct settings { int64_t port; char *redis; bool drain; };
 *     static const struct config_option options[] = {
 *         {"port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535, NULL, "TCP
 * port"},
 *         {"redis", CONFIG_TEXT, offsetof(struct settings, redis), "redis://127.0.0.1:6379/0",
 *          .help = "..."},
 *     };
 *     rc = config_load(&(struct config_spec){...}, argc, argv, &settings, &err);
 *
 * `--redis-url X` is the flag, `DARKROOM_REDIS_URL` the variable, `redis-url = X` the line in the
 * file of `--config FILE`; a later one in file < environment < flag wins. An unknown key or a bad
 * value refuses to start and names where it stood. Secrets are never values: options hold the
 * path of a file. Main thread, before others start. */
#ifndef DARKROOM_COMMON_CONFIG_H
#define DARKROOM_COMMON_CONFIG_H

#include <stddef.h>
#include <stdint.h>

struct err;

enum config_type {
    CONFIG_TEXT, /* char *, owned by the settings; NULL where default is NULL */
    CONFIG_INT,  /* int64_t within [min, max] */
    CONFIG_BOOL, /* bool; the flag alone means true */
    CONFIG_LIST  /* struct config_list, owned by the settings; at most `max` items */
};

/* What an option that may be repeated holds: every occurrence adds, whatever its source. */
struct config_list {
    char **items; /* owned; NULL while count is 0 */
    size_t count;
};

struct config_option {
    const char *name; /* lower case with dashes */
    enum config_type type;
    size_t offset;
    const char *default_value; /* text form; NULL for a text without default */
    int64_t min, max;
    const char *unit; /* "ms", "bytes"; NULL */
    const char *help; /* one line */
    char short_name;  /* 'o' allows "-o X" and "-oX" on the command line; 0: none */
    /* A folder of the installation (installed.h), which is the default where `default_value` is
     * none or is not there; NULL */
    const char *installed;
};

struct config_spec {
    const char *usage; /* what follows the program's name, with a line of purpose */
    const struct config_option *options;
    size_t option_count;
    size_t settings_size;
    int max_arguments; /* how many words beside flags are allowed; -1: any number */
};

/* What config_load() wants the caller to do next. */
enum config_next { CONFIG_RUN, CONFIG_EXIT };

/* Fills `settings` (all of it is overwritten). `--help`, `--version`, `--dump-config` and
 * `--check-config` print and give CONFIG_EXIT. Words that are no flags are moved to the front of
 * argv[1..]; their count comes in out_arguments. ERR_INVALID names the option and its source. On
 * failure nothing is owned by the settings. */
int config_load(const struct config_spec *spec, int argc, char **argv, void *settings,
                enum config_next *out_next, int *out_arguments, struct err *err);

/* Frees the texts and lists. */
void config_fini(const struct config_spec *spec, void *settings);

#endif
