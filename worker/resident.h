/* SPDX-License-Identifier: MIT
 *
 * One model that this worker serves: its manifest, what is known of its weights, and the network
 * where it is loaded.
 *
 *     resident_init(&resident, &settings, manifest);
 *     rc = resident_open(&resident, &settings, &model, &err);    // maps and checks the weights
 *     rc = resident_prepare(&resident, model, &err);             // all that costs time and memory
 *
 * Manifest and limits are read-only for any thread, and so is what the first resident_open() found
 * out, once a task of this model is about. The rest belongs to the residency, whose lock guards it;
 * `model` belongs to the inference stage while one of its tasks is in there, else to the loader. */
#ifndef DARKROOM_WORKER_RESIDENT_H
#define DARKROOM_WORKER_RESIDENT_H

#include "common/manifest.h"
#include "gpu/model.h"
#include "worker/self_test.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct err;
struct settings;
struct task;

enum resident_state {
    RESIDENT_ABSENT,  /* its weights are to be fetched first */
    RESIDENT_UNKNOWN, /* nobody has looked at its weights yet */
    RESIDENT_AWAY,    /* fit to be loaded */
    RESIDENT_LOADING,
    RESIDENT_READY,
    RESIDENT_BAD /* cannot be served: left out until the worker's end */
};

struct resident {
    const struct manifest *manifest; /* borrowed from the set */
    int batch_max;
    char *fetched; /* owned: where the cache has its weights; NULL: beside the manifest. Set before
                      the state is RESIDENT_UNKNOWN */

    /* Found out by the first resident_open(), never changed again. */
    const struct model_info *info; /* its own copy, below; NULL before */
    struct model_info known;
    struct pixels_format format; /* between its pictures and tensors */
    int size;                    /* side of the pictures that it takes, pixels */
    char weights_sha256[PICTURE_HASH_SIZE];
    struct stat file; /* of the weights: which file it was */

    /* The residency's. */
    enum resident_state state;
    struct model *model;               /* owned; NULL unless ready */
    size_t bytes;                      /* that it takes of the budget, while ready */
    size_t in_hand;                    /* tasks that it stays for */
    bool fit;                          /* it was ready once, or could have been */
    bool promised;                     /* while it is loaded: jobs of it are claimed already */
    bool retired;                      /* a reload has replaced it: no new tasks */
    bool leaving;                      /* its room is needed: it stays for no new task */
    uint64_t wanted;                   /* when a job of it came first; 0: nobody waits */
    uint64_t used;                     /* when a task came for it or left it last */
    struct task *parked, **parked_end; /* owned: tasks that wait for it, first come first */
};

void resident_init(struct resident *resident, const struct settings *settings,
                   const struct manifest *manifest);

/* After whoever used it. */
void resident_fini(struct resident *resident);

/* ERR_UNSUPPORTED where the manifest's jobs bring something else than the network needs. */
int resident_check(const struct manifest *manifest, const struct model_info *info, struct err *err);

/* Maps and checks the weights and hashes them the first time; afterwards ERR_CONFLICT where they
 * are another file than then, as results say what they were made with. Else as model_open() and
 * manifest_check_weights(). *out_model is owned by the caller. */
int resident_open(struct resident *resident, const struct settings *settings,
                  struct model **out_model, struct err *err);

/* Whether its weights are still the file that they were when they were looked at. */
bool resident_has_its_file(const struct resident *resident);

/* Plans for every batch size that is going to come, so that no job pays for one. */
int resident_prepare(const struct resident *resident, struct model *model, struct err *err);

/* What is between a prepared model and its first job: warm-up runs, and self_test.h. Nothing on the
 * device ref. The small one is for a worker that has no model yet, on a processor: ERR_UNSUPPORTED
 * where only the other one tells. */
int resident_self_test_small(const struct resident *resident, const struct settings *settings,
                             struct model *model, struct self_test_report *out_report,
                             struct err *err);
int resident_self_test(const struct resident *resident, const struct settings *settings,
                       struct model *model, struct self_test_report *out_report, struct err *err);

#endif
