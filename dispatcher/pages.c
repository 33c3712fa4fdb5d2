/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/json.h"
#include "common/manifest.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/routes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 256
#define MAX_FILE_BYTES (2 * 1024 * 1024)
#define MAX_NAME 160
#define ETAG_SIZE 36

struct file {
    char name[MAX_NAME]; /* "index.html", "assets/style.css", "models" */
    char etag[ETAG_SIZE];
    struct answer *answer, *unchanged; /* owned; the latter is 304's */
    void *data;                        /* owned */
    size_t size;
    const char *type; /* static storage */
};

struct pages {
    struct file *files; /* owned; MAX_FILES */
    size_t count;
    char policy[512]; /* Content-Security-Policy of pages */
};

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } rows[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".webp", "image/webp"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".webmanifest", "application/manifest+json"},
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(dot, rows[i].ending) == 0)
            return rows[i].type;
    return NULL;
}

static void put_headers(const struct pages *pages, const struct file *file, struct answer *answer)
{
    answer_header(answer, "Content-Type", file->type);
    answer_header(answer, "ETag", file->etag);
    answer_header(answer, "Cache-Control", "no-cache");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    answer_header(answer, "Content-Security-Policy", pages->policy);
}

/* Takes the contents. */
static int add_file(struct pages *pages, const char *name, const char *type, struct buf *contents,
                    struct err *err)
{
    char digest[CRYPTO_SHA256_HEX_SIZE];
    size_t size;
    if (pages->count == MAX_FILES)
        return err_set(err, ERR_LIMIT, "web", "more than %d files", MAX_FILES);
    struct file *file = &pages->files[pages->count];
    int rc = crypto_sha256_hex(contents->data, contents->size, digest);
    if (rc < 0)
        return err_set(err, rc, "web", "no digest of %s", name);
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(file->etag, sizeof file->etag, "\"%.32s\"", digest);
    file->data = buf_steal(contents, &size);
    file->size = size;
    file->type = type;
    file->answer = answer_static(file->data, size);
    file->unchanged = answer_static("", 0);
    pages->count++;
    if (!file->answer || !file->unchanged)
        return err_set(err, ERR_NOMEM, "web", "no memory for %s", name);
    put_headers(pages, file, file->answer);
    put_headers(pages, file, file->unchanged);
    return 0;
}

static int read_file(struct pages *pages, const char *folder, const char *name, struct err *err)
{
    char path[4096];
    struct buf contents;
    if (!type_of(name))
        return 0; /* sources of a build, notes */
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, "web", "the folder's name is too long");
    buf_init(&contents, MAX_FILE_BYTES);
    int rc = buf_read_file(&contents, path, err);
    if (rc == 0)
        rc = add_file(pages, name, type_of(name), &contents, err);
    buf_fini(&contents);
    return rc;
}

/* Plain files of one folder; `prefix` is "" or "assets/". */
static int read_folder(struct pages *pages, const char *folder, const char *prefix, struct err *err)
{
    char path[4096], name[MAX_NAME];
    snprintf(path, sizeof path, "%s/%s", folder, prefix);
    DIR *directory = opendir(path);
    if (!directory)
        return err_set_errno(err, "web", "%s", path);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(directory))) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(dirfd(directory), entry->d_name, &status, 0) < 0 ||
            !S_ISREG(status.st_mode))
            continue;
        if (snprintf(name, sizeof name, "%s%s", prefix, entry->d_name) < (int)sizeof name)
            rc = read_file(pages, folder, name, err);
    }
    closedir(directory);
    return rc;
}

static int add_models(struct pages *pages, const struct manifest_set *models, struct err *err)
{
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    int rc = buf_append_text(&text, "{\"models\":[");
    for (size_t i = 0; rc == 0 && i < models->count; i++) {
        if (i > 0)
            rc = buf_append_text(&text, ",");
        if (rc == 0)
            rc = json_append(&text, models->items[i].view, JSON_COMPACT);
    }
    if (rc == 0)
        rc = buf_append_text(&text, "]}");
    if (rc == 0)
        rc = add_file(pages, "models", "application/json", &text, err);
    buf_fini(&text);
    return rc < 0 ? err_set(err, rc, "models", "no room for the list of models") : 0;
}

int pages_open(const char *folder, const struct manifest_set *models, const char *image_origin,
               struct pages **out, struct err *err)
{
    struct pages *pages = calloc(1, sizeof *pages);
    int rc = 0;
    if (!pages || !(pages->files = calloc(MAX_FILES, sizeof *pages->files)))
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for pages");
    if (rc == 0) {
        snprintf(pages->policy, sizeof pages->policy,
                 "default-src 'self'; img-src 'self' blob: data:%s%s; object-src 'none'; "
                 "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                 image_origin ? " " : "", image_origin ? image_origin : "");
        rc = add_models(pages, models, err);
    }
    if (rc == 0 && folder)
        rc = read_folder(pages, folder, "", err);
    if (rc == 0 && folder)
        rc = read_folder(pages, folder, "assets/", err);
    if (rc < 0)
        pages_close(&pages);
    else
        *out = pages;
    return rc;
}

void pages_close(struct pages **slot)
{
    struct pages *pages = *slot;
    *slot = NULL;
    if (!pages)
        return;
    for (size_t i = 0; i < pages->count; i++) {
        answer_free(pages->files[i].answer);
        answer_free(pages->files[i].unchanged);
        free(pages->files[i].data);
    }
    free(pages->files);
    free(pages);
}

static void send_file(struct call *call, const char *name)
{
    const struct pages *pages = call->dispatcher->pages;
    for (size_t i = 0; i < pages->count; i++) {
        const struct file *file = &pages->files[i];
        if (strcmp(file->name, name) != 0)
            continue;
        const char *known = exchange_header(call->exchange, "If-None-Match");
        bool same = known && strstr(known, file->etag);
        if (exchange_has_headers(call->exchange)) { /* for a page of another site */
            struct answer *answer = answer_static(file->data, same ? 0 : file->size);
            put_headers(pages, file, answer);
            exchange_respond(call->exchange, same ? 304 : 200, answer);
        } else {
            exchange_respond_shared(call->exchange, same ? 304 : 200,
                                    same ? file->unchanged : file->answer);
        }
        return;
    }
    call_refuse(call, PROBLEM_NOT_FOUND, NULL);
}

void models_get(struct dispatcher *dispatcher, struct call *call)
{
    send_file(call, "models");
}

void page_home(struct dispatcher *dispatcher, struct call *call)
{
    send_file(call, "index.html");
}

void page_model(struct dispatcher *dispatcher, struct call *call)
{
    char name[MANIFEST_MAX_NAME + 1];
    if (router_capture(&call->match, 0, name, sizeof name) &&
        manifest_set_find(&dispatcher->models, name))
        send_file(call, "index.html");
    else
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no model of this name");
}

void page_job(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    if (call_public_id(call, public_id))
        send_file(call, "job.html");
}

void page_delete(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    if (call_public_id(call, public_id))
        send_file(call, "delete.html");
}

void page_asset(struct dispatcher *dispatcher, struct call *call)
{
    char name[MAX_NAME] = "assets/";
    if (router_capture(&call->match, 0, name + 7, sizeof name - 7))
        send_file(call, name);
    else
        call_refuse(call, PROBLEM_NOT_FOUND, NULL);
}
