/* SPDX-License-Identifier: MIT
 *
 * The pages and their assets, and the list of models: all of it read once at start and answered
 * from memory, by exact name, so that no path of a visitor's ever meets the file system.
 *
 *     rc = pages_open("dispatcher/web", &models, image_origin, &pages, &err);
 *
 * The folder holds index.html, job.html, delete.html and assets/. A changed file is seen after a
 * restart. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_H
#define DARKROOM_DISPATCHER_PAGES_H

struct err;
struct manifest_set;
struct pages;

/* `folder` NULL: no pages, only the list of models. `image_origin` (nullable): from where results
 * are shown when that is not this service, "https://host". ERR_LIMIT: more files or bytes than a
 * website of this kind has. */
int pages_open(const char *folder, const struct manifest_set *models, const char *image_origin,
               struct pages **out, struct err *err);
void pages_close(struct pages **pages);

#endif
