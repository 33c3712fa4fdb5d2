/* SPDX-License-Identifier: MIT
 *
 * Which models are loaded, and which one goes when another needs its room. One thread, the loader,
 * opens, prepares, tests and closes them, while the network runs others.
 *
 *     rc = residency_create(&settings, &residency, &err);
 *
 *     residency_expect(residency, task);                 // the loop: it was claimed
 *     switch (residency_enter(residency, task)) ...      // fetched: to the network, or parked
 *     residency_leave(residency, task);                  // it needs the network no more
 *
 *     while (residency_next(residency, &resident, &work) == 0) {       // the loader
 *         rc = residency_make_room(residency, resident, estimate, &err);
 *         tasks = residency_loaded(residency, resident, model, bytes); // that were parked: pass on
 *     }
 *     residency_close(residency);                        // nobody enters any more
 *     residency_destroy(&residency);
 *
 * The sum of what ready models take stays within the budget. For a new one the least recently used
 * go, but none with a task in hand: such a one stays for no new task, so that it is free soon, and
 * comes back for those who wait for it. Tasks wait for their model beside the road: nobody who
 * needs another one stands behind them. A model whose weights are still being fetched is not served
 * yet, and holds up nobody. A model whose weights cannot be served is left out until
 * the worker ends or a reload finds it changed, and so is one that does not fit when it is alone.
 * Any thread, but for the loader's part. */
#ifndef DARKROOM_WORKER_RESIDENCY_H
#define DARKROOM_WORKER_RESIDENCY_H

#include "worker/resident.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct residency;
struct settings;
struct task;

/* The manifests of the folder, or of those models that the settings name; no weights yet.
 * ERR_NOT_FOUND where there is none; else as manifest_set_load(). */
int residency_create(const struct settings *settings, struct residency **out_residency,
                     struct err *err);
/* After the threads have ended. Harmless on NULL. */
void residency_destroy(struct residency **residency);

/* The folder again (another one, perhaps): models that are gone take no new job, changed ones are
 * served by what is there now, and what their jobs have in hand is finished with what it began
 * with. The loop's. On failure nothing changes. */
int residency_renew(struct residency *residency, const char *folder, struct err *err);

size_t residency_count(const struct residency *residency);
int residency_batch_max(const struct residency *residency); /* the greatest of all */

/* ---- the loop ------------------------------------------------------------------------------- */

/* NULL where it is not served, or not any more. Borrowed. */
struct resident *residency_find(struct residency *residency, const char *name);

/* What can be said in one moment. */
struct residency_view {
    size_t served;    /* models that this worker has looked at and can serve */
    size_t loaded;    /* those that are there: the first of the served ones */
    size_t claimable; /* those that it should claim jobs of now: the first of the served ones */
    size_t parked;    /* tasks that wait for their model */
    bool busy;        /* the loader is at work, or going to be */
    unsigned changes; /* counts whatever changes one of the lists */
};

/* Writes the names of the served models, at most `max`; those that should be claimed first, in the
 * order in which to ask for them: loaded ones, one that is as good as loaded, then, unless
 * something is being loaded already, the others. */
struct residency_view residency_look(struct residency *residency, const char **out_names,
                                     size_t max);

/* A task was claimed: a model that is there stays for it, another one is wanted. */
void residency_expect(struct residency *residency, struct task *task);

/* ---- the stages ----------------------------------------------------------------------------- */

enum residency_door {
    RESIDENCY_OPEN,   /* the model is there, and stays until the task leaves */
    RESIDENCY_PARKED, /* the task is taken: the loader passes it on */
    RESIDENCY_SHUT    /* the model was left out meanwhile */
};

enum residency_door residency_enter(struct residency *residency, struct task *task);

/* However the task has ended; harmless twice. */
void residency_leave(struct residency *residency, struct task *task);

/* What a model takes now that it has run. */
void residency_weigh(struct residency *residency, struct resident *resident,
                     struct model_bytes bytes);

/* Nobody enters any more: the loader ends once nobody waits. */
void residency_close(struct residency *residency);

/* ---- who fetches weights --------------------------------------------------------------------- */

/* The next model behind `after` (NULL: the first) whose weights are still to be fetched; NULL:
 * there is none. Borrowed. */
struct resident *residency_absent(struct residency *residency, const struct resident *after);

/* Its weights are there: `path` is taken, and the loader looks at them. NULL: they do not come, and
 * it is left out. */
void residency_supply(struct residency *residency, struct resident *resident, char *path);

/* ---- the loader ----------------------------------------------------------------------------- */

enum residency_work {
    RESIDENCY_LOAD, /* load this one */
    RESIDENCY_CHECK /* only look whether it could be loaded */
};

/* Waits for work. ERR_CANCELLED at the end. */
int residency_next(struct residency *residency, struct resident **out_resident,
                   enum residency_work *out_work);

/* ERR_LIMIT where it doesn't fit even alone. */
int residency_fits(struct residency *residency, const struct resident *resident,
                   struct model_bytes need, struct err *err);

/* The same, and closes others until this model fits beside the rest; waits for those in use. */
int residency_make_room(struct residency *residency, const struct resident *resident,
                        struct model_bytes need, struct err *err);

/* The device had less than was thought: closes the least recently used one. False: there is none.
 */
bool residency_evict(struct residency *residency);

/* What is being loaded is sound as far as can be seen: jobs of it may be claimed, and wait for how
 * the work ends. */
void residency_promise(struct residency *residency, struct resident *resident);

/* How a work ended. Each gives the tasks that go on now, linked by `next`: those that are admitted
 * to the network, the others back to the queue. residency_loaded() takes the model. */
struct task *residency_loaded(struct residency *residency, struct resident *resident,
                              struct model *model);
struct task *residency_checked(struct residency *residency, struct resident *resident);
struct task *residency_left_out(struct residency *residency, struct resident *resident);

/* Whether any model is served or may yet be. */
bool residency_has_any(struct residency *residency);

#endif
