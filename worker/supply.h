/* SPDX-License-Identifier: MIT
 *
 * Fetches the weights of models that have only a URL, beside everything else: neither jobs of other
 * models nor the loader wait for it.
 *
 *     rc = supply_start(pipeline, &supply, &err);    // NULL where there is nothing to fetch
 *     supply_quiet(supply);                          // what is under way stops within a second
 *     supply_end(&supply);
 *
 * Those that the cache has come first, the others one after the other. A model whose weights do not
 * come is left out as one whose weights are broken. The loop's thread. */
#ifndef DARKROOM_WORKER_SUPPLY_H
#define DARKROOM_WORKER_SUPPLY_H

#include <stdbool.h>

struct err;
struct pipeline;
struct supply;

/* `pipeline` is borrowed until supply_end(). ERR_NOMEM, ERR_IO (no thread). */
int supply_start(struct pipeline *pipeline, struct supply **out_supply, struct err *err);

/* True where nothing is being fetched, or NULL. */
bool supply_is_done(const struct supply *supply);

/* Both are harmless on NULL, and twice. */
void supply_quiet(struct supply *supply);
void supply_end(struct supply **supply);

#endif
