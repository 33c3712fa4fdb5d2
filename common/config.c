/* SPDX-License-Identifier: MIT */
#include "common/config.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/installed.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define MAX_CONFIG_BYTES (1 << 20)

static void *slot(const struct config_option *option, void *settings)
{
    return (char *)settings + option->offset;
}

static const struct config_option *find(const struct config_spec *spec, const char *name,
                                        size_t length)
{
    for (size_t i = 0; i < spec->option_count; i++)
        if (strlen(spec->options[i].name) == length &&
            strncmp(spec->options[i].name, name, length) == 0)
            return &spec->options[i];
    return NULL;
}

static int set_text(const struct config_option *option, const char *value, void *settings)
{
    char *copy = strdup(value);
    if (!copy)
        return ERR_NOMEM;
    char **text = slot(option, settings);
    free(*text);
    *text = copy;
    return 0;
}

static int set_int(const struct config_option *option, const char *value, const char *source,
                   void *settings, struct err *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || number < option->min || number > option->max)
        return err_set(err, ERR_INVALID, option->name,
                       "%s: %s wants a whole number from %" PRId64 " to %" PRId64 "%s%s, not '%s'",
                       source, option->name, option->min, option->max, option->unit ? " " : "",
                       option->unit ? option->unit : "", value);
    *(int64_t *)slot(option, settings) = number;
    return 0;
}

static int set_bool(const struct config_option *option, const char *value, const char *source,
                    void *settings, struct err *err)
{
    bool yes = !strcmp(value, "true") || !strcmp(value, "yes") || !strcmp(value, "1");
    bool no = !strcmp(value, "false") || !strcmp(value, "no") || !strcmp(value, "0");
    if (!yes && !no)
        return err_set(err, ERR_INVALID, option->name, "%s: %s wants true or false, not '%s'",
                       source, option->name, value);
    *(bool *)slot(option, settings) = yes;
    return 0;
}

static int add_to_list(const struct config_option *option, const char *value, const char *source,
                       void *settings, struct err *err)
{
    struct config_list *list = slot(option, settings);
    if ((int64_t)list->count >= option->max)
        return err_set(err, ERR_INVALID, option->name, "%s: %s stands more than %" PRId64 " times",
                       source, option->name, option->max);
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return ERR_NOMEM;
    list->items = items;
    if (!(items[list->count] = strdup(value)))
        return ERR_NOMEM;
    list->count++;
    return 0;
}

/* `source` says where the value stood, for the message. */
static int set_value(const struct config_option *option, const char *value, const char *source,
                     void *settings, struct err *err)
{
    switch (option->type) {
    case CONFIG_TEXT: return set_text(option, value, settings);
    case CONFIG_INT: return set_int(option, value, source, settings, err);
    case CONFIG_BOOL: return set_bool(option, value, source, settings, err);
    case CONFIG_LIST: return add_to_list(option, value, source, settings, err);
    }
    return ERR_INTERNAL;
}

/* What the supervisor, a variable that other programs go by, or the installation has beats a
 * default that is not there. */
static const char *default_of(const struct config_option *option, char path[PATH_MAX])
{
    const char *value = option->default_value;
    const char *shared = option->variable ? getenv(option->variable) : NULL;
    if (config_credential(option, path, PATH_MAX))
        return path;
    if (shared && *shared)
        return shared;
    if (option->installed && (!value || access(value, F_OK) < 0) &&
        installed_path(option->installed, path, PATH_MAX) == 0)
        return path;
    return value;
}

static int load_defaults(const struct config_spec *spec, void *settings, struct err *err)
{
    memset(settings, 0, spec->settings_size);
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        char path[PATH_MAX];
        const char *value = default_of(option, path);
        if (value) {
            int rc = set_value(option, value, "default", settings, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = 0;
    return text;
}

static int load_line(const struct config_spec *spec, char *line, const char *source, void *settings,
                     struct err *err)
{
    line = trim(line);
    if (!*line || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return err_set(err, ERR_INVALID, "config", "%s: wanted 'name = value'", source);
    *equals = 0;
    char *name = trim(line);
    const struct config_option *option = find(spec, name, strlen(name));
    const struct config_option *secret =
        option ? NULL : config_secret_named(spec, name, strlen(name));
    if (secret)
        return config_refuse_secret(secret, source, err);
    if (!option)
        return err_set(err, ERR_INVALID, "config", "%s: unknown option '%.64s'", source, name);
    return set_value(option, trim(equals + 1), source, settings, err);
}

static int load_file(const struct config_spec *spec, const char *path, void *settings,
                     struct err *err)
{
    struct buf file;
    buf_init(&file, MAX_CONFIG_BYTES);
    int rc = buf_read_file(&file, path, err);
    int number = 0;
    char *rest = (char *)file.data;
    while (rc == 0 && rest) {
        char source[512];
        snprintf(source, sizeof source, "%s line %d", path, ++number);
        char *line = strsep(&rest, "\n");
        rc = load_line(spec, line, source, settings, err);
    }
    buf_fini(&file);
    return rc;
}

static int load_environment(const struct config_spec *spec, void *settings, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->option_count; i++) {
        char name[CONFIG_NAME_MAX + 16];
        config_environment_name(&spec->options[i], name);
        const char *value = getenv(name);
        if (value)
            rc = set_value(&spec->options[i], value, name, settings, err);
    }
    return rc;
}

/* One flag of the command line: "--name value", "--name=value", "-n value", "-nvalue" or, for a
 * bool, "--name" or "-n". */
struct flag {
    const struct config_option *option;
    const char *value;
    int words; /* how many of argv it took */
};

static const struct config_option *find_short(const struct config_spec *spec, char name)
{
    for (size_t i = 0; i < spec->option_count; i++)
        if (name && spec->options[i].short_name == name)
            return &spec->options[i];
    return NULL;
}

static int parse_flag(const struct config_spec *spec, int left, char **argv, struct flag *out,
                      struct err *err)
{
    bool is_long = argv[0][1] == '-';
    const char *name = argv[0] + (is_long ? 2 : 1);
    size_t length = is_long ? strcspn(name, "=") : 1;
    const struct config_option *option =
        is_long ? find(spec, name, length) : find_short(spec, name[0]);
    const struct config_option *secret =
        option || !is_long ? NULL : config_secret_named(spec, name, length);
    if (secret)
        return config_refuse_secret(secret, "command line", err);
    if (!option || (!is_long && option->type == CONFIG_BOOL && name[1]))
        return err_set(err, ERR_INVALID, NULL, "unknown option '%.*s'; --help lists them",
                       is_long ? (int)length + 2 : 64, argv[0]);
    *out = (struct flag){option, name + length + (is_long ? 1 : 0), 1};
    if (name[length])
        return 0;
    if (option->type == CONFIG_BOOL) {
        out->value = "true";
        return 0;
    }
    if (left < 2)
        return err_set(err, ERR_INVALID, option->name, "--%s wants a value", option->name);
    out->value = argv[1];
    out->words = 2;
    return 0;
}

static int load_flags(const struct config_spec *spec, int argc, char **argv, void *settings,
                      int *out_arguments, struct err *err)
{
    int words = 0;
    bool only_words = false;
    for (int i = 1; i < argc;) {
        if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            argv[1 + words++] = argv[i++];
            continue;
        }
        if (!strcmp(argv[i], "--")) {
            only_words = true;
            i++;
            continue;
        }
        if (!strncmp(argv[i], "--config", 8) && (!argv[i][8] || argv[i][8] == '=')) {
            i += argv[i][8] ? 1 : 2; /* load_file() has read it */
            continue;
        }
        struct flag flag = {0};
        int rc = parse_flag(spec, argc - i, argv + i, &flag, err);
        if (rc == 0)
            rc = set_value(flag.option, flag.value, "command line", settings, err);
        if (rc < 0)
            return rc;
        i += flag.words;
    }
    if (spec->max_arguments >= 0 && words > spec->max_arguments)
        return err_set(err, ERR_INVALID, NULL, "unexpected argument '%s'",
                       argv[1 + spec->max_arguments]);
    *out_arguments = words;
    return 0;
}

/* The last --config of the command line, or DARKROOM_CONFIG; NULL where neither stands. */
static int config_path(int argc, char **argv, const char **out_path, struct err *err)
{
    *out_path = getenv("DARKROOM_CONFIG");
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strncmp(argv[i], "--config=", 9))
            *out_path = argv[i] + 9;
        else if (!strcmp(argv[i], "--config")) {
            if (i + 1 == argc)
                return err_set(err, ERR_INVALID, NULL, "--config wants a file");
            *out_path = argv[++i];
        }
    }
    return 0;
}

/* Takes `flag` out of argv; true where it stood there. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--"); i++) {
        if (strcmp(argv[i], flag))
            continue;
        memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
        --*argc;
        return true;
    }
    return false;
}

/* Whether argv has --NAME, with a value or alone, or its short form. */
static bool on_command_line(const struct config_option *option, int argc, char **argv)
{
    size_t length = strlen(option->name);
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        const char *word = argv[i];
        if (word[0] != '-')
            continue;
        if (word[1] == '-' && !strncmp(word + 2, option->name, length) &&
            (!word[2 + length] || word[2 + length] == '='))
            return true;
        if (option->short_name && word[1] == option->short_name)
            return true;
    }
    return false;
}

int config_exit_status(const struct config_spec *spec, int argc, char **argv, int rc,
                       const struct err *err)
{
    if (rc != ERR_INVALID)
        return err_exit_status(rc);
    if (!err->field[0])
        return EX_USAGE;
    if (!strcmp(err->field, "config"))
        return EX_CONFIG;
    const struct config_option *option = find(spec, err->field, strlen(err->field));
    if (!option)
        return EX_DATAERR;
    return on_command_line(option, argc, argv) ? EX_USAGE : EX_CONFIG;
}

int config_load(const struct config_spec *spec, int argc, char **argv, void *settings,
                enum config_next *out_next, int *out_arguments, struct err *err)
{
    *out_next = CONFIG_EXIT;
    *out_arguments = 0;
    memset(settings, 0, spec->settings_size);
    if (take_flag(&argc, argv, "--help") || take_flag(&argc, argv, "-h")) {
        config_print_help(spec, argv[0]);
        return 0;
    }
    if (take_flag(&argc, argv, "--version")) {
        puts("darkroom " DARKROOM_VERSION);
        return 0;
    }
    if (take_flag(&argc, argv, "--dump-reference")) {
        config_print_reference(spec);
        return 0;
    }
    bool dump_only = take_flag(&argc, argv, "--dump-config");
    bool check_only = take_flag(&argc, argv, "--check-config");

    const char *path = NULL;
    int rc = config_hide_secrets(spec, err);
    if (rc == 0)
        rc = config_path(argc, argv, &path, err);
    if (rc == 0)
        rc = load_defaults(spec, settings, err);
    if (rc == 0 && path)
        rc = load_file(spec, path, settings, err);
    if (rc == 0)
        rc = load_environment(spec, settings, err);
    if (rc == 0)
        rc = load_flags(spec, argc, argv, settings, out_arguments, err);
    if (rc < 0) {
        config_fini(spec, settings);
        return rc;
    }
    if (dump_only)
        config_print_settings(spec, settings);
    *out_next = dump_only || check_only ? CONFIG_EXIT : CONFIG_RUN;
    if (*out_next == CONFIG_EXIT)
        config_fini(spec, settings);
    return 0;
}

bool config_differs(const struct config_option *option, const void *a, const void *b)
{
    const void *one = (const char *)a + option->offset, *other = (const char *)b + option->offset;
    switch (option->type) {
    case CONFIG_TEXT: {
        const char *left = *(char *const *)one, *right = *(char *const *)other;
        return !left != !right || (left && strcmp(left, right) != 0);
    }
    case CONFIG_INT: return *(const int64_t *)one != *(const int64_t *)other;
    case CONFIG_BOOL: return *(const bool *)one != *(const bool *)other;
    case CONFIG_LIST: break;
    }
    const struct config_list *left = one, *right = other;
    bool differs = left->count != right->count;
    for (size_t i = 0; !differs && i < left->count; i++)
        differs = strcmp(left->items[i], right->items[i]) != 0;
    return differs;
}

bool config_fixed_changes(const struct config_spec *spec, const void *current, const void *fresh,
                          char *out, size_t size)
{
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        if (option->traits & CONFIG_RELOADS || !config_differs(option, current, fresh))
            continue;
        int n = snprintf(out + used, size - used, "%s%s", used ? "," : "", option->name);
        used = (size_t)n < size - used ? used + (size_t)n : size - 1;
    }
    return used > 0;
}

static size_t size_of(const struct config_option *option)
{
    switch (option->type) {
    case CONFIG_TEXT: return sizeof(char *);
    case CONFIG_INT: return sizeof(int64_t);
    case CONFIG_BOOL: return sizeof(bool);
    case CONFIG_LIST: return sizeof(struct config_list);
    }
    return 0;
}

void config_take_over(const struct config_spec *spec, void *current, void *fresh)
{
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        char kept[sizeof(struct config_list)];
        size_t size = size_of(option);
        if (!(option->traits & CONFIG_RELOADS))
            continue;
        memcpy(kept, slot(option, current), size);
        memcpy(slot(option, current), slot(option, fresh), size);
        memcpy(slot(option, fresh), kept, size);
    }
}

void config_fini(const struct config_spec *spec, void *settings)
{
    for (size_t i = 0; i < spec->option_count; i++) {
        void *value = slot(&spec->options[i], settings);
        if (spec->options[i].type == CONFIG_TEXT) {
            char **text = value;
            free(*text);
            *text = NULL;
        } else if (spec->options[i].type == CONFIG_LIST) {
            struct config_list *list = value;
            for (size_t k = 0; k < list->count; k++)
                free(list->items[k]);
            free(list->items);
            *list = (struct config_list){0};
        }
    }
}
