/* SPDX-License-Identifier: MIT */
#include "common/config.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <unistd.h>

struct settings {
    int64_t port;
    char *redis;
    bool stay;
    struct config_list params;
};

static const struct config_option options[] = {
    {"port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535, NULL, "TCP port"},
    {"redis-url", CONFIG_TEXT, offsetof(struct settings, redis), NULL, 0, 0, NULL, "server", 'r'},
    {"stay", CONFIG_BOOL, offsetof(struct settings, stay), "false", 0, 0, NULL, "keep running",
     's'},
    {"param", CONFIG_LIST, offsetof(struct settings, params), NULL, 0, 2, NULL, "repeatable", 'p'},
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
    CHECK_INT(load(&settings, &err, 6, words), ERR_LIMIT);
    CHECK_HAS(err.text, "2 times");
}

int main(void)
{
    RUN(a_flag_beats_the_environment_which_beats_the_file);
    RUN(a_bad_value_names_its_option_source_and_range);
    RUN(unknown_options_and_spare_words_are_refused);
    RUN(short_names_work_alone_joined_and_for_switches);
    RUN(a_repeated_option_keeps_every_value_up_to_its_limit);
    return check_report();
}
