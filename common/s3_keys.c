/* SPDX-License-Identifier: MIT */
#include "common/s3_keys.h"

#include "common/aws.h"
#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define EACH_MS 60000
#define AGAIN_MS 5000   /* after a failure */
#define NOT_SOONER 1000 /* ms, whatever is doubted */

struct s3_keys {
    pthread_mutex_t lock; /* guards the next three */
    pthread_cond_t changed;
    struct s3_credentials credentials;
    bool doubted;
    atomic_bool stopping;

    /* Of a role; the thread's own once it runs. */
    struct aws *aws; /* owned; NULL with a file */
    pthread_t thread;
    bool running;
};

static int is_stopping(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    struct s3_keys *keys = context;
    return atomic_load(&keys->stopping);
}

static int refresh(struct s3_keys *keys, struct err *err)
{
    struct s3_credentials fresh;
    int rc = aws_credentials(keys->aws, &fresh, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&keys->lock);
    keys->credentials = fresh;
    keys->doubted = false;
    pthread_mutex_unlock(&keys->lock);
    s3_credentials_wipe(&fresh);
    return 0;
}

/* Until `ms` are over or it ends; doubts end it too, once `least_ms` are over. */
static void wait_for(struct s3_keys *keys, int64_t least_ms, int64_t ms)
{
    int64_t begun_ms = clock_ms();
    pthread_mutex_lock(&keys->lock);
    while (!atomic_load(&keys->stopping)) {
        int64_t spent_ms = clock_ms() - begun_ms;
        int64_t left_ms = (keys->doubted ? least_ms : ms) - spent_ms;
        if (left_ms <= 0)
            break;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += left_ms / 1000;
        until.tv_nsec += left_ms % 1000 * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&keys->changed, &keys->lock, &until);
    }
    pthread_mutex_unlock(&keys->lock);
}

static void *run(void *argument)
{
    struct s3_keys *keys = argument;
    int rc = 0;
    while (!atomic_load(&keys->stopping)) {
        wait_for(keys, NOT_SOONER, rc < 0 ? AGAIN_MS : EACH_MS);
        if (!atomic_load(&keys->stopping))
            rc = refresh(keys, NULL);
    }
    return NULL;
}

static int open_role(struct s3_keys *keys, const char *metadata, struct err *err)
{
    int rc = aws_open(
        &(struct aws_options){.metadata = metadata, .on_progress = is_stopping, .context = keys},
        &keys->aws, err);
    if (rc == 0)
        rc = refresh(keys, err);
    if (rc < 0)
        return rc;
    if ((errno = pthread_create(&keys->thread, NULL, run, keys)))
        return err_set_errno(err, "s3-role", "a thread for the role's keys");
    pthread_setname_np(keys->thread, "dk-s3-keys");
    keys->running = true;
    return 0;
}

int s3_keys_open(const char *file, const char *metadata, struct s3_keys **out_keys, struct err *err)
{
    if (!file == !metadata)
        return err_set(err, ERR_INVALID, "s3-credentials-file",
                       "an s3 store wants s3-credentials-file, or s3-role");
    struct s3_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return ERR_NOMEM;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&keys->lock, NULL);
    pthread_cond_init(&keys->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc =
        file ? s3_credentials_load(file, &keys->credentials, err) : open_role(keys, metadata, err);
    if (rc < 0)
        s3_keys_close(&keys);
    else
        *out_keys = keys;
    return rc;
}

void s3_keys_close(struct s3_keys **keys)
{
    struct s3_keys *mine = *keys;
    if (!mine)
        return;
    pthread_mutex_lock(&mine->lock);
    atomic_store(&mine->stopping, true);
    pthread_cond_broadcast(&mine->changed);
    pthread_mutex_unlock(&mine->lock);
    if (mine->running)
        pthread_join(mine->thread, NULL);
    aws_close(&mine->aws);
    pthread_cond_destroy(&mine->changed);
    pthread_mutex_destroy(&mine->lock);
    s3_credentials_wipe(&mine->credentials);
    free(mine);
    *keys = NULL;
}

void s3_keys_take(struct s3_keys *keys, struct s3_credentials *out_credentials)
{
    pthread_mutex_lock(&keys->lock);
    *out_credentials = keys->credentials;
    pthread_mutex_unlock(&keys->lock);
}

void s3_keys_doubt(struct s3_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    keys->doubted = true;
    pthread_cond_broadcast(&keys->changed);
    pthread_mutex_unlock(&keys->lock);
}
