/* SPDX-License-Identifier: MIT
 *
 * Which models stay and which go, with models of paper: the linker's --wrap puts them in the place
 * of the engine's. Each takes 100 bytes; what loads them is this test. */
#include "worker/residency.h"

#include "common/err.h"
#include "tests/unit/check.h"
#include "worker/settings.h"
#include "worker/task.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES = 100 };

void __wrap_model_close(struct model **model);
struct model_bytes __wrap_model_bytes(const struct model *model);

static int closed_models;

void __wrap_model_close(struct model **model)
{
    closed_models += *model != NULL;
    *model = NULL;
}

struct model_bytes __wrap_model_bytes(const struct model *model)
{
    return (struct model_bytes){.host = BYTES};
}

/* ---- a folder of manifests ------------------------------------------------------------------ */

static const char *const names[] = {"a", "b", "c"};
static char folder[] = "/tmp/darkroom-residency-XXXXXX";
static struct settings settings;

static void path_of(const char *name, char path[64])
{
    snprintf(path, 64, "%s/%s.json", folder, name);
}

static void write_manifests(void)
{
    CHECK(mkdtemp(folder) != NULL);
    for (int i = 0; i < 3; i++) {
        char path[64];
        path_of(names[i], path);
        FILE *file = fopen(path, "w");
        CHECK(file != NULL);
        fprintf(file,
                "{\"name\": \"%s\", \"title\": \"t\", \"description\": \"d\", \"architecture\": "
                "\"ugatit\", \"variant\": \"pytorch\", \"weights\": {\"file\": \"w\"}, \"input\": "
                "{\"kind\": \"image\", \"max_bytes\": 2000, \"max_megapixels\": 1, \"size\": 64}, "
                "\"params\": {\"type\": \"object\", \"properties\": {}, \"additionalProperties\": "
                "false}, \"output\": {\"kind\": \"image\", \"content_type\": \"image/png\"}, "
                "\"batch\": {\"max\": 1}, \"cost_ms\": 1, \"max_attempts\": 1, \"timeout_ms\": "
                "1000, \"license\": \"MIT\", \"training\": \"n\"}",
                names[i]);
        fclose(file);
    }
}

static void remove_manifests(void)
{
    for (int i = 0; i < 3; i++) {
        char path[64];
        path_of(names[i], path);
        unlink(path);
    }
    rmdir(folder);
}

/* ---- the loader, by hand -------------------------------------------------------------------- */

static struct residency *make(int64_t budget)
{
    struct residency *residency = NULL;
    struct err err = {0};
    settings = (struct settings){.texts.models = folder, .memory = budget, .depth = 1};
    if (residency_create(&settings, &residency, &err) < 0)
        printf("# %s\n", err.text);
    closed_models = 0;
    return residency;
}

/* A model of paper: only its address is ever used. */
static struct model *paper(void)
{
    static char sheet;
    return (struct model *)(void *)&sheet;
}

/* Does the next work as a loader would; gives the tasks that go on. */
static struct task *work(struct residency *residency, const char *want_name,
                         enum residency_work want_work)
{
    struct resident *resident = NULL;
    enum residency_work kind;
    CHECK_INT(residency_next(residency, &resident, &kind), 0);
    CHECK_TEXT(resident->manifest->name, want_name);
    CHECK_INT(kind, want_work);
    if (kind == RESIDENCY_CHECK)
        return residency_checked(residency, resident);
    const struct model_bytes need = {.host = BYTES};
    CHECK_INT(residency_make_room(residency, resident, need, NULL), 0);
    return residency_loaded(residency, resident, paper());
}

/* All three known, a loaded. */
static struct residency *make_known(int64_t budget)
{
    struct residency *residency = make(budget);
    CHECK(residency != NULL);
    CHECK(work(residency, "a", RESIDENCY_LOAD) == NULL);
    CHECK(work(residency, "b", RESIDENCY_CHECK) == NULL);
    CHECK(work(residency, "c", RESIDENCY_CHECK) == NULL);
    return residency;
}

static struct task *claim(struct residency *residency, const char *model)
{
    struct task *task = task_create();
    task->resident = residency_find(residency, model);
    CHECK(task->resident != NULL);
    residency_expect(residency, task);
    return task;
}

static void finish(struct residency *residency, struct task *task)
{
    residency_leave(residency, task);
    task_destroy(&task);
}

/* One job of a model from claim to end, loaded for it where it is away. */
static void one_job(struct residency *residency, const char *model)
{
    struct task *task = claim(residency, model);
    if (residency_enter(residency, task) == RESIDENCY_PARKED)
        CHECK(work(residency, model, RESIDENCY_LOAD) == task);
    CHECK(task->admitted);
    finish(residency, task);
}

static bool is_ready(struct residency *residency, const char *model)
{
    return residency_find(residency, model)->state == RESIDENT_READY;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void models_are_served_once_somebody_has_looked_at_them(void)
{
    const char *list[4] = {NULL};
    struct residency *residency = make(1000);
    CHECK(residency != NULL);
    CHECK_INT(residency_look(residency, list, 4).served, 0);
    CHECK(residency_find(residency, "a") == NULL);
    CHECK(work(residency, "a", RESIDENCY_LOAD) == NULL);
    struct residency_view view = residency_look(residency, list, 4);
    CHECK_INT(view.served, 1);
    CHECK_TEXT(list[0], "a");
    CHECK(view.busy);
    work(residency, "b", RESIDENCY_CHECK);
    work(residency, "c", RESIDENCY_CHECK);
    view = residency_look(residency, list, 4);
    CHECK_INT(view.served, 3);
    CHECK_INT(view.claimable, 3);
    CHECK(!view.busy);
    residency_destroy(&residency);
}

static void loaded_models_come_first_and_alone_while_another_is_loaded(void)
{
    const char *list[4] = {NULL};
    struct residency *residency = make_known(1000);
    one_job(residency, "c");
    residency_look(residency, list, 4);
    CHECK_TEXT(list[0], "a");
    CHECK_TEXT(list[1], "c");
    CHECK_TEXT(list[2], "b");
    struct task *task = claim(residency, "b");
    CHECK_INT(residency_look(residency, list, 4).claimable, 2);
    CHECK_INT(residency_enter(residency, task), RESIDENCY_PARKED);
    struct residency_view view = residency_look(residency, list, 4);
    CHECK_INT(view.claimable, 2);
    CHECK_INT(view.parked, 1);
    CHECK(work(residency, "b", RESIDENCY_LOAD) == task);
    CHECK_INT(residency_look(residency, list, 4).claimable, 3);
    finish(residency, task);
    residency_destroy(&residency);
}

static void the_least_recently_used_model_goes(void)
{
    struct residency *residency = make_known(2 * BYTES);
    one_job(residency, "b");
    one_job(residency, "a");
    CHECK_INT(closed_models, 0);
    one_job(residency, "c");
    CHECK_INT(closed_models, 1);
    CHECK(is_ready(residency, "a"));
    CHECK(!is_ready(residency, "b"));
    one_job(residency, "b");
    CHECK(!is_ready(residency, "a"));
    CHECK(is_ready(residency, "c"));
    residency_destroy(&residency);
}

struct loading {
    struct residency *residency;
    struct task *tasks;
    atomic_bool done;
};

static void *load_b(void *argument)
{
    struct loading *loading = argument;
    loading->tasks = work(loading->residency, "b", RESIDENCY_LOAD);
    atomic_store(&loading->done, true);
    return NULL;
}

static void a_model_with_jobs_in_hand_stays_until_they_have_left(void)
{
    const char *list[4] = {NULL};
    struct residency *residency = make_known(BYTES);
    struct task *early = claim(residency, "a"), *wanted = claim(residency, "b");
    struct loading loading = {.residency = residency};
    pthread_t loader;
    CHECK_INT(residency_enter(residency, wanted), RESIDENCY_PARKED);
    CHECK_INT(pthread_create(&loader, NULL, load_b, &loading), 0);
    /* Its room is needed: nobody asks for more jobs of it … */
    while (residency_look(residency, list, 4).claimable > 0)
        usleep(1000);
    CHECK(!atomic_load(&loading.done));
    CHECK_INT(closed_models, 0);
    /* … the one that it stayed for still gets in, and a later one waits until it comes back. */
    struct task *late = claim(residency, "a");
    CHECK_INT(residency_enter(residency, early), RESIDENCY_OPEN);
    CHECK_INT(residency_enter(residency, late), RESIDENCY_PARKED);
    CHECK_INT(closed_models, 0);
    finish(residency, early);
    pthread_join(loader, NULL);
    CHECK(loading.tasks == wanted);
    CHECK_INT(closed_models, 1);
    finish(residency, wanted);
    CHECK(work(residency, "a", RESIDENCY_LOAD) == late);
    finish(residency, late);
    residency_destroy(&residency);
}

static void who_was_to_go_and_need_not_lets_in_again(void)
{
    const char *list[4] = {NULL};
    struct residency *residency = make_known(BYTES);
    struct task *early = claim(residency, "a"), *wanted = claim(residency, "b");
    struct resident *resident = NULL;
    enum residency_work kind;
    residency_enter(residency, wanted);
    CHECK_INT(residency_next(residency, &resident, &kind), 0);
    residency_find(residency, "a")->leaving = true; /* as make_room() has it while it waits */
    struct task *late = claim(residency, "a");
    CHECK_INT(residency_enter(residency, late), RESIDENCY_PARKED);
    /* The load failed: its own task is turned away, the other one goes on. */
    struct task *tasks = residency_left_out(residency, resident);
    CHECK(tasks == wanted && !wanted->admitted);
    CHECK(tasks->next == late && late->admitted && late->next == NULL);
    CHECK(residency_find(residency, "b") == NULL);
    CHECK_INT(residency_look(residency, list, 4).served, 2);
    finish(residency, wanted);
    finish(residency, early);
    finish(residency, late);
    residency_destroy(&residency);
}

static void what_does_not_fit_alone_is_refused_and_evicts_nobody(void)
{
    struct residency *residency = make_known(BYTES);
    struct err err = {0};
    const struct model_bytes need = {.host = 5 * BYTES};
    CHECK_INT(residency_make_room(residency, residency_find(residency, "b"), need, &err),
              ERR_LIMIT);
    CHECK_HAS(err.text, "--memory");
    CHECK_INT(closed_models, 0);
    residency_destroy(&residency);
}

static void jobs_of_a_promised_model_are_claimed_and_wait_for_how_its_load_ends(void)
{
    const char *list[4] = {NULL};
    for (int good = 0; good < 2; good++) {
        struct residency *residency = make(1000);
        struct resident *resident = NULL;
        enum residency_work kind;
        CHECK_INT(residency_next(residency, &resident, &kind), 0);
        CHECK_INT(residency_look(residency, list, 4).served, 0);
        residency_promise(residency, resident);
        struct residency_view view = residency_look(residency, list, 4);
        CHECK_INT(view.served, 1);
        CHECK_INT(view.loaded, 0);
        CHECK_INT(view.claimable, 1);
        CHECK(view.busy);
        CHECK_TEXT(list[0], "a");
        struct task *parked = claim(residency, "a"), *late = claim(residency, "a");
        CHECK_INT(residency_enter(residency, parked), RESIDENCY_PARKED);
        CHECK((good ? residency_loaded(residency, resident, paper())
                    : residency_left_out(residency, resident)) == parked);
        CHECK_INT(parked->admitted, good);
        CHECK_INT(residency_enter(residency, late), good ? RESIDENCY_OPEN : RESIDENCY_SHUT);
        CHECK_INT(residency_look(residency, list, 4).served, good);
        finish(residency, parked);
        finish(residency, late);
        residency_destroy(&residency);
    }
}

static void the_loader_ends_once_nobody_waits(void)
{
    struct residency *residency = make_known(1000);
    struct resident *resident;
    enum residency_work kind;
    struct task *idle = claim(residency, "c"), *parked = claim(residency, "b");
    residency_enter(residency, parked);
    residency_close(residency);
    CHECK(work(residency, "b", RESIDENCY_LOAD) == parked);
    CHECK_INT(residency_next(residency, &resident, &kind), ERR_CANCELLED);
    finish(residency, parked);
    finish(residency, idle);
    residency_destroy(&residency);
}

int main(void)
{
    RUN(write_manifests);
    RUN(models_are_served_once_somebody_has_looked_at_them);
    RUN(loaded_models_come_first_and_alone_while_another_is_loaded);
    RUN(the_least_recently_used_model_goes);
    RUN(a_model_with_jobs_in_hand_stays_until_they_have_left);
    RUN(who_was_to_go_and_need_not_lets_in_again);
    RUN(what_does_not_fit_alone_is_refused_and_evicts_nobody);
    RUN(jobs_of_a_promised_model_are_claimed_and_wait_for_how_its_load_ends);
    RUN(the_loader_ends_once_nobody_waits);
    remove_manifests();
    return check_report();
}
