/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/state.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (2 << 20)

int cli_state_path(char out[CLI_STATE_PATH], struct err *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int length;
    /* The specification: a path that is not absolute counts as not set. */
    if (state && *state == '/')
        length = snprintf(out, CLI_STATE_PATH, "%s/darkroom/jobs.json", state);
    else if (home && *home)
        length = snprintf(out, CLI_STATE_PATH, "%s/.local/state/darkroom/jobs.json", home);
    else
        return err_set(err, ERR_NOT_FOUND, NULL, "neither XDG_STATE_HOME nor HOME is set");
    return length < CLI_STATE_PATH
               ? 0
               : err_set(err, ERR_LIMIT, NULL, "the path of jobs.json is too long");
}

static int make_folder_of(const char *path, struct err *err)
{
    char folder[CLI_STATE_PATH];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return file_make_folders(folder, 0700, err);
}

/* jobs.json itself is replaced by each writer, so the lock is a file beside it. *out_fd is closed
 * by the caller, which unlocks. */
static int lock(const char *path, int *out_fd, struct err *err)
{
    char name[CLI_STATE_PATH + 8];
    snprintf(name, sizeof name, "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, NULL, "cannot open %s", name);
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EINTR)
            continue;
        err_set_errno(err, NULL, "cannot lock %s", name);
        close(fd);
        return ERR_IO;
    }
    *out_fd = fd;
    return 0;
}

/* The array of jobs; owned by the caller. */
static int load(const char *path, json_t **out_jobs, struct err *err)
{
    json_t *document = NULL, *jobs = NULL;
    struct err inner = {0};
    int rc = json_parse_file(path, (struct json_limits){MAX_BYTES, 4}, &document, &inner);
    if (rc == ERR_NOT_FOUND) {
        *out_jobs = json_array();
        return *out_jobs ? 0 : ERR_NOMEM;
    }
    if (rc == 0)
        rc = json_get_array(document, "jobs", CLI_STATE_MAX_JOBS, &jobs, &inner);
    if (rc < 0)
        rc = err_set(err, rc, NULL, "%s: %.150s; move it away to begin anew", path, inner.text);
    else
        *out_jobs = json_incref(jobs);
    json_decref(document);
    return rc;
}

static int save(const char *path, json_t *jobs, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_BYTES);
    json_t *document = json_pack("{s:i, s:O}", "version", 1, "jobs", jobs);
    int rc = document ? json_append(&text, document, JSON_INDENT(1)) : ERR_NOMEM;
    if (rc == 0)
        rc = file_write(path, text.data, text.size, 0600, err);
    json_decref(document);
    buf_fini(&text);
    return rc;
}

static void drop(json_t *jobs, const char *id)
{
    for (size_t i = json_array_size(jobs); i-- > 0;) {
        const char *known = json_string_value(json_object_get(json_array_get(jobs, i), "id"));
        if (known && !strcmp(known, id))
            json_array_remove(jobs, i);
    }
}

/* Loads, forgets `id`, puts `job` (nullable) in front, saves. */
static int change(const char *path, const char *id, const struct cli_job *job, struct err *err)
{
    int fd = -1;
    json_t *jobs = NULL;
    int rc = make_folder_of(path, err);
    if (rc == 0)
        rc = lock(path, &fd, err);
    if (rc == 0)
        rc = load(path, &jobs, err);
    if (rc == 0)
        drop(jobs, id);
    if (rc == 0 && job) {
        json_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", job->id, "server",
                                  job->server, "model", job->model, "created_at", job->created_at,
                                  "view", job->view, "manage", job->manage, "delete", job->erase);
        if (!entry || json_array_insert_new(jobs, 0, entry) < 0)
            rc = ERR_NOMEM;
        while (rc == 0 && json_array_size(jobs) > CLI_STATE_MAX_JOBS)
            json_array_remove(jobs, json_array_size(jobs) - 1);
    }
    if (rc == 0)
        rc = save(path, jobs, err);
    json_decref(jobs);
    if (fd >= 0)
        close(fd);
    return rc;
}

int cli_state_add(const char *path, const struct cli_job *job, struct err *err)
{
    return change(path, job->id, job, err);
}

int cli_state_remove(const char *path, const char *id, struct err *err)
{
    return change(path, id, NULL, err);
}

static int read_text(const json_t *entry, const char *name, char *out, size_t size, struct err *err)
{
    const char *text = "";
    int rc = json_opt_text(entry, name, size - 1, &text, err);
    snprintf(out, size, "%s", text);
    return rc;
}

static int read_job(const json_t *entry, struct cli_job *out, struct err *err)
{
    int rc = read_text(entry, "id", out->id, sizeof out->id, err);
    if (rc == 0)
        rc = read_text(entry, "server", out->server, sizeof out->server, err);
    if (rc == 0)
        rc = read_text(entry, "model", out->model, sizeof out->model, err);
    if (rc == 0)
        rc = read_text(entry, "created_at", out->created_at, sizeof out->created_at, err);
    if (rc == 0)
        rc = read_text(entry, "view", out->view, sizeof out->view, err);
    if (rc == 0)
        rc = read_text(entry, "manage", out->manage, sizeof out->manage, err);
    if (rc == 0)
        rc = read_text(entry, "delete", out->erase, sizeof out->erase, err);
    if (rc == 0 && !id_public_valid(out->id))
        rc = err_set(err, ERR_CORRUPT, "id", "jobs.json holds an id that is none");
    return rc;
}

int cli_state_list(const char *path, size_t max, struct cli_job **out_jobs, size_t *out_count,
                   struct err *err)
{
    json_t *entries = NULL;
    int rc = load(path, &entries, err);
    size_t count = json_array_size(entries) < max ? json_array_size(entries) : max;
    struct cli_job *jobs = rc == 0 ? calloc(count ? count : 1, sizeof *jobs) : NULL;
    if (rc == 0 && !jobs)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = read_job(json_array_get(entries, i), &jobs[i], err);
    json_decref(entries);
    if (rc < 0) {
        free(jobs);
        return rc;
    }
    *out_jobs = jobs;
    *out_count = count;
    return 0;
}

int cli_state_find(const char *path, const char *id, struct cli_job *out_job, struct err *err)
{
    struct cli_job *jobs = NULL;
    size_t count = 0, found = 0, length = strlen(id), at = 0;
    int rc = cli_state_list(path, CLI_STATE_MAX_JOBS, &jobs, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (length >= CLI_STATE_MIN_PREFIX && !strncmp(jobs[i].id, id, length)) {
            found++;
            at = i;
        }
    if (rc == 0 && found == 1)
        *out_job = jobs[at];
    else if (rc == 0)
        rc = found
                 ? err_set(err, ERR_CONFLICT, "id", "%zu jobs begin with %.40s", found, id)
                 : err_set(err, ERR_NOT_FOUND, "id",
                           "no job of this machine begins with %.40s; with --token-file any job of "
                           "the server can be named",
                           id);
    free(jobs);
    return rc;
}
