/* SPDX-License-Identifier: MIT
 *
 * One table of options gives flags, environment variables, the configuration file, --help,
 * --dump-config, docs/configuration.md, and what SIGHUP changes.
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
 * value refuses to start and names where it stood.
 *
 * Secrets are never values, which process list and dumps would show: the option `key-file` holds
 * the path of a file. Its text may also come in DARKROOM_KEY, which is taken out of the environment
 * at once, or as systemd's credential `key` ($CREDENTIALS_DIRECTORY); `--key` is refused in words.
 *
 *     rc = config_load(&spec, argc, argv, &fresh, ...);          // SIGHUP came
 *     config_fixed_changes(&spec, &settings, &fresh, names, sizeof names);  // these want a restart
 *     config_take_over(&spec, &settings, &fresh);                // the others
 *     config_fini(&spec, &fresh);
 *
 * Main thread; the first config_load() before others start. */
#ifndef DARKROOM_COMMON_CONFIG_H
#define DARKROOM_COMMON_CONFIG_H

#include <stdbool.h>
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

enum config_trait {
    CONFIG_RELOADS = 1, /* SIGHUP takes a new value over */
    CONFIG_SECRET = 2   /* the path of a file that holds a secret; the name ends in "-file" */
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
    unsigned traits; /* of enum config_trait */
    /* A variable of the environment that other programs go by, too: the default where it is there
     * and not empty. Of texts only; NULL */
    const char *variable;
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

/* Fills `settings` (all of it is overwritten). `--help`, `--version`, `--dump-config`,
 * `--dump-reference` and `--check-config` print and give CONFIG_EXIT. Words that are no flags are
 * moved to the front of argv[1..]; their count comes in out_arguments. ERR_INVALID names the option
 * and its source. On failure nothing is owned by the settings. */
int config_load(const struct config_spec *spec, int argc, char **argv, void *settings,
                enum config_next *out_next, int *out_arguments, struct err *err);

/* Frees the texts and lists. */
void config_fini(const struct config_spec *spec, void *settings);

/* With which status a program ends that cannot start because of `rc`: what the command line says
 * wrongly is EX_USAGE, what file and environment say, or nobody, EX_CONFIG, what a file that an
 * option names says EX_DATAERR; all else as err_exit_status(). */
int config_exit_status(const struct config_spec *spec, int argc, char **argv, int rc,
                       const struct err *err);

/* ---- reload --------------------------------------------------------------------------------- */

/* Whether an option has another value in `b`. */
bool config_differs(const struct config_option *option, const void *a, const void *b);

/* Writes the names of the options without CONFIG_RELOADS that differ, separated by commas; false
 * where there is none. */
bool config_fixed_changes(const struct config_spec *spec, const void *current, const void *fresh,
                          char *out, size_t size);

/* Exchanges the values of those with CONFIG_RELOADS: the old ones go with `fresh`. */
void config_take_over(const struct config_spec *spec, void *current, void *fresh);

/* ---- secrets: config_secrets.c -------------------------------------------------------------- */

/* Takes the secrets out of the environment into files in memory, which nobody else can open. The
 * first call does it, those that follow find nothing. */
int config_hide_secrets(const struct config_spec *spec, struct err *err);
/* The credential of systemd that an option is filled with; false where there is none. */
bool config_credential(const struct config_option *option, char *out, size_t size);
/* Where `name` is what an option would be called that held the secret itself: that option. */
const struct config_option *config_secret_named(const struct config_spec *spec, const char *name,
                                                size_t length);
/* What to do instead of giving it so. ERR_INVALID. */
int config_refuse_secret(const struct config_option *option, const char *source, struct err *err);
/* Lets the program that is executed next have the files in memory. Async-signal-safe. */
void config_keep_secrets(void);

/* ---- texts: config_print.c ------------------------------------------------------------------ */

#define CONFIG_NAME_MAX 64
void config_environment_name(const struct config_option *option, char out[CONFIG_NAME_MAX + 16]);
void config_print_help(const struct config_spec *spec, const char *program);
/* What is in force, as a file. */
void config_print_settings(const struct config_spec *spec, const void *settings);
/* A line for each option, fields separated by tabs: name, short name, type, least, most, unit,
 * default, "reloads", "secret", "installed", the variable that others share (or nothing), help. */
void config_print_reference(const struct config_spec *spec);

#endif
