/* SPDX-License-Identifier: MIT */
#include "common/config.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <sysexits.h>
#include <unistd.h>

struct settings {
    int64_t port, limit;
    char *redis, *key_file, *title;
    bool stay;
    struct config_list params;
};

static const struct config_option options[] = {
    {"port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535, NULL, "TCP port"},
    {"redis-url", CONFIG_TEXT, offsetof(struct settings, redis), NULL, 0, 0, NULL, "server", 'r'},
    {"stay", CONFIG_BOOL, offsetof(struct settings, stay), "false", 0, 0, NULL, "keep running",
     's'},
    {"param", CONFIG_LIST, offsetof(struct settings, params), NULL, 0, 2, NULL, "repeatable", 'p'},
    {"key-file", CONFIG_TEXT, offsetof(struct settings, key_file), .help = "file with a key",
     .traits = CONFIG_SECRET},
    {"limit", CONFIG_INT, offsetof(struct settings, limit), "5", 0, 100, "jobs", "at once",
     .traits = CONFIG_RELOADS},
    {"title", CONFIG_TEXT, offsetof(struct settings, title), .traits = CONFIG_RELOADS},
};

static const struct config_spec spec = {
    .usage = "[OPTIONS]",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct settings),
    .max_arguments = 1,
};

static int load(struct settings *settings, struct err *err, int argc, const char **words)
{
    char *argv[16];
    enum config_next next;
    int arguments;
    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    argv[argc] = NULL;
    return config_load(&spec, argc, argv, settings, &next, &arguments, err);
}

static void a_flag_beats_the_environment_which_beats_the_file(void)
{
    struct settings settings;
    struct err err = {0};
    char path[] = "/tmp/darkroom-config-XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "# a comment\n port = 1\nredis-url = file\n stay=yes\n";
    CHECK_INT(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("DARKROOM_PORT", "2", 1);
    setenv("DARKROOM_REDIS_URL", "environment", 1);
    const char *words[] = {"x", "--config", path, "--port=3"};
    CHECK_INT(load(&settings, &err, 4, words), 0);
    CHECK_INT(settings.port, 3);
    CHECK_TEXT(settings.redis, "environment");
    CHECK(settings.stay);
    config_fini(&spec, &settings);
    unsetenv("DARKROOM_PORT");
    unsetenv("DARKROOM_REDIS_URL");
    unlink(path);
}

static void a_bad_value_names_its_option_source_and_range(void)
{
    struct settings settings;
    struct err err = {0};
    const char *words[] = {"x", "--port", "70000"};
    CHECK_INT(load(&settings, &err, 3, words), ERR_INVALID);
    CHECK_TEXT(err.field, "port");
    CHECK_HAS(err.text, "command line");
    CHECK_HAS(err.text, "1 to 65535");
}

static void unknown_options_and_spare_words_are_refused(void)
{
    struct settings settings;
    struct err err = {0};
    const char *unknown[] = {"x", "--prot", "1"};
    CHECK_INT(load(&settings, &err, 3, unknown), ERR_INVALID);
    CHECK_HAS(err.text, "--prot");
    err = (struct err){0};
    const char *spare[] = {"x", "one", "two"};
    CHECK_INT(load(&settings, &err, 3, spare), ERR_INVALID);
    CHECK_HAS(err.text, "two");
    err = (struct err){0};
    const char *missing[] = {"x", "--redis-url"};
    CHECK_INT(load(&settings, &err, 2, missing), ERR_INVALID);
}

static void short_names_work_alone_joined_and_for_switches(void)
{
    struct settings settings;
    struct err err = {0};
    const char *words[] = {"x", "-r", "one", "-s", "word", "-ptwo"};
    CHECK_INT(load(&settings, &err, 6, words), 0);
    CHECK_TEXT(settings.redis, "one");
    CHECK(settings.stay);
    CHECK_INT(settings.params.count, 1);
    CHECK_TEXT(settings.params.items[0], "two");
    config_fini(&spec, &settings);
    const char *joined[] = {"x", "-sx"};
    CHECK_INT(load(&settings, &err, 2, joined), ERR_INVALID);
    CHECK_HAS(err.text, "-sx");
    err = (struct err){0};
    const char *unknown[] = {"x", "-z"};
    CHECK_INT(load(&settings, &err, 2, unknown), ERR_INVALID);
    CHECK_HAS(err.text, "'-z'");
}

static void a_repeated_option_keeps_every_value_up_to_its_limit(void)
{
    struct settings settings;
    struct err err = {0};
    const char *words[] = {"x", "--param", "a=1", "--param=b=2", "-p", "c"};
    CHECK_INT(load(&settings, &err, 4, words), 0);
    CHECK_INT(settings.params.count, 2);
    CHECK_TEXT(settings.params.items[0], "a=1");
    CHECK_TEXT(settings.params.items[1], "b=2");
    config_fini(&spec, &settings);
    CHECK_INT(load(&settings, &err, 6, words), ERR_INVALID);
    CHECK_HAS(err.text, "2 times");
}

static void a_secret_is_refused_where_others_would_see_it(void)
{
    struct settings settings;
    struct err err = {0};
    const char *words[] = {"x", "--key", "hunter2"};
    CHECK_INT(load(&settings, &err, 3, words), ERR_INVALID);
    CHECK_HAS(err.text, "--key-file");
    CHECK_HAS(err.text, "DARKROOM_KEY");
    CHECK(!strstr(err.text, "hunter2"));
    const char *joined[] = {"x", "--key=hunter2"};
    err = (struct err){0};
    CHECK_INT(load(&settings, &err, 2, joined), ERR_INVALID);
    CHECK_HAS(err.text, "--key-file");
    CHECK(!strstr(err.text, "hunter2"));
}

static void a_secret_of_the_environment_becomes_a_file_that_only_we_can_open(void)
{
    struct settings settings;
    struct err err = {0};
    char text[16] = "";
    setenv("DARKROOM_KEY", "hunter2", 1);
    const char *variable = getenv("DARKROOM_KEY");
    const char *words[] = {"x"};
    CHECK_INT(load(&settings, &err, 1, words), 0);
    CHECK(!getenv("DARKROOM_KEY"));
    CHECK_TEXT(variable, "");
    for (int i = 0; i < 2; i++) { /* it can be read again at a reload */
        FILE *file = fopen(settings.key_file, "r");
        CHECK(file);
        CHECK_INT(fread(text, 1, sizeof text, file), 7);
        CHECK(!memcmp(text, "hunter2", 7));
        fclose(file);
        config_fini(&spec, &settings);
        CHECK_INT(load(&settings, &err, 1, words), 0);
    }
    config_fini(&spec, &settings);
    setenv("DARKROOM_KEY", "hunter2", 1);
    CHECK_INT(load(&settings, &err, 1, words), ERR_INVALID);
    CHECK_HAS(err.text, "both");
    setenv("DARKROOM_KEY", "", 1);
    err = (struct err){0};
    CHECK_INT(load(&settings, &err, 1, words), ERR_INVALID);
    CHECK_HAS(err.text, "empty");
    unsetenv("DARKROOM_KEY");
    unsetenv("DARKROOM_KEY_FILE");
}

static void a_credential_of_the_supervisor_is_used_unless_another_file_is_named(void)
{
    struct settings settings;
    struct err err = {0};
    char folder[] = "/tmp/darkroom-config-XXXXXX", path[64];
    const char *words[] = {"x", "--key-file", "elsewhere"};
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    CHECK_INT(load(&settings, &err, 1, words), 0);
    CHECK(!settings.key_file);
    config_fini(&spec, &settings);
    fclose(fopen(path, "w"));
    CHECK_INT(load(&settings, &err, 1, words), 0);
    CHECK_TEXT(settings.key_file, path);
    config_fini(&spec, &settings);
    CHECK_INT(load(&settings, &err, 3, words), 0);
    CHECK_TEXT(settings.key_file, "elsewhere");
    config_fini(&spec, &settings);
    unsetenv("CREDENTIALS_DIRECTORY");
    unlink(path);
    rmdir(folder);
}

static void a_reload_takes_over_what_may_change_and_names_what_may_not(void)
{
    struct settings now, fresh;
    struct err err = {0};
    char names[64];
    const char *before[] = {"x", "--limit", "5", "--title", "old", "--port", "1", "-p", "a"};
    const char *after[] = {"x", "--limit", "6", "--title", "new", "--port", "2", "-p", "b"};
    CHECK_INT(load(&now, &err, 9, before), 0);
    CHECK_INT(load(&fresh, &err, 9, before), 0);
    CHECK(!config_fixed_changes(&spec, &now, &fresh, names, sizeof names));
    config_fini(&spec, &fresh);
    CHECK_INT(load(&fresh, &err, 9, after), 0);
    CHECK(config_fixed_changes(&spec, &now, &fresh, names, sizeof names));
    CHECK_TEXT(names, "port,param");
    config_take_over(&spec, &now, &fresh);
    CHECK_INT(now.limit, 6);
    CHECK_TEXT(now.title, "new");
    CHECK_INT(now.port, 1);
    CHECK_TEXT(now.params.items[0], "a");
    config_fini(&spec, &fresh);
    config_fini(&spec, &now);
}

static int status_of(const char *file, int argc, const char **words)
{
    struct settings settings;
    struct err err = {0};
    char *argv[4];
    char path[] = "/tmp/darkroom-config-XXXXXX";
    int fd = mkstemp(path);
    CHECK_INT(write(fd, file, strlen(file)), (ssize_t)strlen(file));
    close(fd);
    setenv("DARKROOM_CONFIG", path, 1);
    int rc = load(&settings, &err, argc, words);
    unsetenv("DARKROOM_CONFIG");
    unlink(path);
    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    if (rc == 0)
        config_fini(&spec, &settings);
    return config_exit_status(&spec, argc, argv, rc, &err);
}

static void what_the_command_line_says_wrongly_ends_otherwise_than_what_a_file_says(void)
{
    const char *nothing[] = {"x"}, *unknown[] = {"x", "--prot"}, *large[] = {"x", "--port=70000"};
    CHECK_INT(status_of("", 1, nothing), 0);
    CHECK_INT(status_of("", 2, unknown), EX_USAGE);
    CHECK_INT(status_of("", 2, large), EX_USAGE);
    CHECK_INT(status_of("port = 70000", 1, nothing), EX_CONFIG);
    CHECK_INT(status_of("prot = 1", 1, nothing), EX_CONFIG);
    CHECK_INT(status_of("key = hunter2", 1, nothing), EX_CONFIG);
    struct err inside = {.code = ERR_INVALID, .field = "input.size"};
    CHECK_INT(config_exit_status(&spec, 0, NULL, ERR_INVALID, &inside), EX_DATAERR);
}

int main(void)
{
    RUN(a_flag_beats_the_environment_which_beats_the_file);
    RUN(a_bad_value_names_its_option_source_and_range);
    RUN(unknown_options_and_spare_words_are_refused);
    RUN(short_names_work_alone_joined_and_for_switches);
    RUN(a_repeated_option_keeps_every_value_up_to_its_limit);
    RUN(a_secret_is_refused_where_others_would_see_it);
    RUN(a_secret_of_the_environment_becomes_a_file_that_only_we_can_open);
    RUN(a_credential_of_the_supervisor_is_used_unless_another_file_is_named);
    RUN(a_reload_takes_over_what_may_change_and_names_what_may_not);
    RUN(what_the_command_line_says_wrongly_ends_otherwise_than_what_a_file_says);
    return check_report();
}
