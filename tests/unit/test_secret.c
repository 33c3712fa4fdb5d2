/* SPDX-License-Identifier: MIT */
#include "common/secret.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-secret-XXXXXX";
static char path[128];

static void write_file(const char *text, mode_t mode)
{
    unlink(path);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
    CHECK_INT(chmod(path, mode), 0);
}

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static void sixty_four_digits_with_or_without_a_newline_load(void)
{
    static const char *const texts[] = {DIGITS, DIGITS "\n"};
    for (int i = 0; i < 2; i++) {
        struct secret secret;
        write_file(texts[i], 0600);
        CHECK_INT(secret_load(path, &secret, NULL), 0);
        CHECK_INT(secret.bytes[31], 31);
    }
}

static void another_length_or_character_is_refused_without_repeating_it(void)
{
    static const char *const texts[] = {
        "",
        "\n",
        "00",
        DIGITS "0",
        DIGITS "\n\n",
        DIGITS "00",
        "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct secret secret;
        struct err err = {0};
        write_file(texts[i], 0600);
        CHECK_INT(secret_load(path, &secret, &err), ERR_CORRUPT);
        CHECK_HAS(err.text, path);
        CHECK_HAS(err.text, "64 hex digits");
        CHECK(strstr(err.text, "0001") == NULL);
    }
}

static void a_file_open_to_all_users_is_refused(void)
{
    struct secret secret;
    struct err err = {0};
    write_file(DIGITS, 0644);
    CHECK_INT(secret_load(path, &secret, &err), ERR_DENIED);
    CHECK_HAS(err.text, "chmod 600");
    write_file(DIGITS, 0640);
    CHECK_INT(secret_load(path, &secret, NULL), 0);
}

static void a_missing_file_is_named(void)
{
    struct secret secret;
    struct err err = {0};
    CHECK_INT(secret_load("/nonexistent/secret", &secret, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "/nonexistent/secret");
}

static void a_new_file_is_private_loads_and_is_never_overwritten(void)
{
    struct secret first, second;
    struct stat info;
    unlink(path);
    CHECK_INT(secret_create_file(path, NULL), 0);
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    CHECK_INT(info.st_nlink, 1);
    CHECK_INT(secret_load(path, &first, NULL), 0);
    CHECK_INT(secret_create_file(path, NULL), ERR_CONFLICT);
    CHECK_INT(secret_load(path, &second, NULL), 0);
    CHECK(crypto_equal(&first, &second, sizeof first));
    CHECK_INT(secret_create_file("/nonexistent/secret", NULL), ERR_IO);
}

static void a_line_is_read_within_its_bounds(void)
{
    char line[9];
    write_file("12345678\n", 0600);
    CHECK_INT(secret_read_line(path, 4, line, sizeof line, NULL), 0);
    CHECK_TEXT(line, "12345678");
    write_file("1234\r\n", 0600); /* an editor of Windows */
    CHECK_INT(secret_read_line(path, 4, line, sizeof line, NULL), 0);
    CHECK_TEXT(line, "1234");
    static const char *const bad[] = {"123",      "123456789",  "1234\n5678",
                                      "1234 678", "1234\r\r\n", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(bad[i], 0600);
        CHECK_INT(secret_read_line(path, 4, line, sizeof line, NULL), ERR_CORRUPT);
    }
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/secret", folder);
    RUN(sixty_four_digits_with_or_without_a_newline_load);
    RUN(another_length_or_character_is_refused_without_repeating_it);
    RUN(a_file_open_to_all_users_is_refused);
    RUN(a_missing_file_is_named);
    RUN(a_new_file_is_private_loads_and_is_never_overwritten);
    RUN(a_line_is_read_within_its_bounds);
    unlink(path);
    rmdir(folder);
    return check_report();
}
