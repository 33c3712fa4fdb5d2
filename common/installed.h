/* SPDX-License-Identifier: MIT
 *
 * Where `meson install` has put the folders that come with the programs.
 *
 *     char path[PATH_MAX];
 *     if (installed_path("models", path, sizeof path) == 0) ...   //
 * /usr/local/share/darkroom/models
 *
 * Seen from the program's own file, so that a tree that was moved or unpacked elsewhere works as
 * well. Any thread. */
#ifndef DARKROOM_COMMON_INSTALLED_H
#define DARKROOM_COMMON_INSTALLED_H

#include <stddef.h>

/* Writes where `name` is; ERR_NOT_FOUND where nothing is there, as in a folder of the build. */
int installed_path(const char *name, char *out, size_t size);

#endif
