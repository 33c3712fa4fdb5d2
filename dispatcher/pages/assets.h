/* SPDX-License-Identifier: MIT
 *
 * Files kept in memory and sent by exact name, so that no path of a visitor's ever meets the file
 * system; each with its type, its ETag and the compressed copies that lie beside it.
 *
 *     rc = assets_create(policy, &assets, &err);
 *     rc = assets_read_folder(assets, "build/dispatcher/web", "assets/", &err);
 *     rc = assets_add(assets, "models", "application/json", &contents, &err);
 *     assets_send(assets, call, "assets/style.css");
 *
 * "style.css.br" and "style.css.gz" are not files of their own: they are sent in place of
 * "style.css" to a client that accepts them. A changed file is seen after a restart. Loop's thread
 * only. */
#ifndef DARKROOM_DISPATCHER_PAGES_ASSETS_H
#define DARKROOM_DISPATCHER_PAGES_ASSETS_H

#include <stdbool.h>
#include <stddef.h>

#define ASSETS_MAX_NAME 160

struct assets;
struct buf;
struct call;
struct err;

/* `policy`: the Content-Security-Policy that goes with each file; copied. */
int assets_create(const char *policy, struct assets **out, struct err *err);
void assets_destroy(struct assets **assets);

/* The plain files of `folder`/`prefix` whose kind a browser knows, as `prefix` and their names;
 * prefix is "" or ends with a slash. ERR_LIMIT: more files or bytes than a website of this kind
 * has. */
int assets_read_folder(struct assets *assets, const char *folder, const char *prefix,
                       struct err *err);

/* The contents are taken; `type` has static storage. */
int assets_add(struct assets *assets, const char *name, const char *type, struct buf *contents,
               struct err *err);

/* The bytes of a file, followed by a zero; NULL: there is none. Borrowed. */
const char *assets_text(const struct assets *assets, const char *name);

bool assets_has(const struct assets *assets, const char *name);

/* Calls `visit` with each file as it is, until one gives a negative code. */
int assets_each(const struct assets *assets,
                int (*visit)(void *context, const char *name, const char *text), void *context);

/* Answers with the file, with 304 or with 404. */
void assets_send(const struct assets *assets, struct call *call, const char *name);

#endif
