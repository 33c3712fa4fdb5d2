/* SPDX-License-Identifier: MIT
 *
 * Programs that the tests of the networks run: writers of files and independent references.
 *
 *     int status = command_run("%s %s/models/reference_cgan.py %s", command_torch(),
 *                              command_tests(), path);
 *     if (status == COMMAND_SKIPPED) check_skip("python3-torch is not installed");
 *
 * Paths come from the environment that meson sets. In a header as the tests' helpers are. */
#ifndef DARKROOM_TESTS_MODELS_COMMAND_H
#define DARKROOM_TESTS_MODELS_COMMAND_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define COMMAND_SKIPPED 77 /* exit status of a reference that lacks its library */

static inline const char *command_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

/* The folder of the tests, and the interpreter that python3-torch and python3-h5py are for. */
static inline const char *command_tests(void)
{
    return command_environment("DARKROOM_TESTS", "tests");
}

static inline const char *command_torch(void)
{
    return command_environment("DARKROOM_TORCH_PYTHON", "python3");
}

/* The exit status; -1 where it ended otherwise. */
__attribute__((format(printf, 1, 2))) static inline int command_run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    fflush(stdout);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
