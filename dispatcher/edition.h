/* SPDX-License-Identifier: MIT
 *
 * The models and what is made of them: the list, the pages, the names of another service. A reload
 * brings a new edition; requests go on with the one that they began with, threads among them, and
 * an old one goes with its last request.
 *
 *     rc = edition_open(settings, models, public_url, &edition, &err);
 *     edition_publish(dispatcher, &edition);                // from now on
 *     call->edition = edition_hold(dispatcher);
 *     edition_release(dispatcher, call->edition);
 *     editions_close(dispatcher);
 *
 * What counts models by their place in the list (forecast, samples, marks of events) is made anew
 * when an edition is published, which must not be while a question that does so is under way
 * (fanout.h). Loop's thread; the manifests of an edition that is held may be read by any. */
#ifndef DARKROOM_DISPATCHER_EDITION_H
#define DARKROOM_DISPATCHER_EDITION_H

#include "common/manifest.h"

struct dispatcher;
struct err;
struct pages;
struct selfie2anime;
struct settings;

struct edition {
    struct manifest_set models;
    struct pages *pages;               /* owned */
    struct selfie2anime *selfie2anime; /* owned; NULL: its routes are not served */
    unsigned calls;                    /* requests that go on with it */
    struct edition *older;             /* of the dispatcher's list */
};

/* The manifests of the folder `models`, all else as the settings say. */
int edition_open(const struct settings *settings, const char *models, const char *public_url,
                 struct edition **out, struct err *err);
void edition_close(struct edition **edition); /* harmless on NULL */

/* Takes it, and sets it to NULL. */
void edition_publish(struct dispatcher *dispatcher, struct edition **edition);

struct edition *edition_hold(struct dispatcher *dispatcher);
void edition_release(struct dispatcher *dispatcher, struct edition *edition);
void editions_close(struct dispatcher *dispatcher);

#endif
