/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/assets.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/quality.h"
#include "dispatcher/call.h"
#include "dispatcher/http/etag.h"
#include "dispatcher/http/server.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 256
#define MAX_FILE_BYTES (2 * 1024 * 1024)

/* As it is, and compressed: the same order as `codings`. */
enum { PLAIN, BROTLI, GZIP, FORMS };
static const char *const codings[FORMS] = {"identity", "br", "gzip"};
static const char *const endings[FORMS] = {"", ".br", ".gz"};

struct form {
    char etag[ETAG_SIZE];
    struct answer *answer, *unchanged; /* owned; the latter is 304's. NULL: no such form */
    char *data;                        /* owned */
    size_t size;
};

struct file {
    char name[ASSETS_MAX_NAME]; /* "assets/style.css", "models" */
    const char *type;           /* static storage */
    struct form forms[FORMS];
};

struct assets {
    struct file *files; /* owned; MAX_FILES */
    size_t count;
    char policy[512]; /* Content-Security-Policy */
};

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } rows[] = {
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
        {".html", "text/html; charset=utf-8"},
        {".webmanifest", "application/manifest+json"},
        {".wasm", "application/wasm"},
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(dot, rows[i].ending) == 0)
            return rows[i].type;
    return NULL;
}

static struct file *find(const struct assets *assets, const char *name)
{
    for (size_t i = 0; i < assets->count; i++)
        if (strcmp(assets->files[i].name, name) == 0)
            return &assets->files[i];
    return NULL;
}

static void put_headers(const struct assets *assets, const struct file *file, int form,
                        struct answer *answer)
{
    answer_header(answer, "Content-Type", file->type);
    answer_header(answer, "ETag", file->forms[form].etag);
    answer_header(answer, "Cache-Control", "no-cache");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Referrer-Policy", "same-origin");
    answer_header(answer, "Content-Security-Policy", assets->policy);
    answer_header(answer, "Vary", "Accept-Encoding");
    if (form != PLAIN)
        answer_header(answer, "Content-Encoding", codings[form]);
}

/* Takes the contents. */
static int add_form(struct assets *assets, struct file *file, int index, struct buf *contents,
                    struct err *err)
{
    struct form *form = &file->forms[index];
    int rc = etag_of(contents->data, contents->size, form->etag);
    if (rc < 0)
        return err_set(err, rc, "web", "no digest of %s", file->name);
    form->data = buf_steal(contents, &form->size);
    form->answer = answer_static(form->data, form->size);
    form->unchanged = answer_static("", 0);
    if (!form->answer || !form->unchanged)
        return err_set(err, ERR_NOMEM, "web", "no memory for %s", file->name);
    put_headers(assets, file, index, form->answer);
    put_headers(assets, file, index, form->unchanged);
    return 0;
}

/* The file of this name, made if there is none. */
static int add_file(struct assets *assets, const char *name, const char *type,
                    struct file **out_file, struct err *err)
{
    struct file *file = find(assets, name);
    if (!file && assets->count == MAX_FILES)
        return err_set(err, ERR_LIMIT, "web", "more than %d files", MAX_FILES);
    if (!file) {
        file = &assets->files[assets->count++];
        snprintf(file->name, sizeof file->name, "%s", name);
        file->type = type;
    }
    *out_file = file;
    return 0;
}

int assets_add(struct assets *assets, const char *name, const char *type, struct buf *contents,
               struct err *err)
{
    struct file *file = NULL;
    int rc = add_file(assets, name, type, &file, err);
    return rc < 0 ? rc : add_form(assets, file, PLAIN, contents, err);
}

/* Which form a file's name stands for; its ending is cut off. */
static int form_of(char *name)
{
    char *dot = strrchr(name, '.');
    for (int i = 1; dot && i < FORMS; i++)
        if (strcmp(dot, endings[i]) == 0) {
            *dot = 0;
            return i;
        }
    return PLAIN;
}

static int read_file(struct assets *assets, const char *folder, const char *whole_name,
                     struct err *err)
{
    char path[4096], name[ASSETS_MAX_NAME];
    struct buf contents;
    struct file *file = NULL;
    snprintf(name, sizeof name, "%s", whole_name);
    int form = form_of(name);
    if (!type_of(name))
        return 0; /* sources of a build, notes */
    if (snprintf(path, sizeof path, "%s/%s", folder, whole_name) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, "web", "the folder's name is too long");
    buf_init(&contents, MAX_FILE_BYTES);
    int rc = buf_read_file(&contents, path, err);
    if (rc == 0)
        rc = add_file(assets, name, type_of(name), &file, err);
    if (rc == 0)
        rc = add_form(assets, file, form, &contents, err);
    buf_fini(&contents);
    return rc;
}

int assets_read_folder(struct assets *assets, const char *folder, const char *prefix,
                       struct err *err)
{
    char path[4096], name[ASSETS_MAX_NAME];
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
            rc = read_file(assets, folder, name, err);
    }
    closedir(directory);
    return rc;
}

int assets_create(const char *policy, struct assets **out, struct err *err)
{
    struct assets *assets = calloc(1, sizeof *assets);
    if (assets)
        assets->files = calloc(MAX_FILES, sizeof *assets->files);
    if (!assets || !assets->files) {
        assets_destroy(&assets);
        return err_set(err, ERR_NOMEM, "web", "no memory for files");
    }
    snprintf(assets->policy, sizeof assets->policy, "%s", policy);
    *out = assets;
    return 0;
}

void assets_destroy(struct assets **slot)
{
    struct assets *assets = *slot;
    *slot = NULL;
    if (!assets)
        return;
    for (size_t i = 0; i < assets->count; i++)
        for (int k = 0; k < FORMS; k++) {
            answer_free(assets->files[i].forms[k].answer);
            answer_free(assets->files[i].forms[k].unchanged);
            free(assets->files[i].forms[k].data);
        }
    free(assets->files);
    free(assets);
}

const char *assets_text(const struct assets *assets, const char *name)
{
    const struct file *file = find(assets, name);
    if (!file || !file->forms[PLAIN].answer)
        return NULL;
    return file->forms[PLAIN].data ? file->forms[PLAIN].data : "";
}

bool assets_has(const struct assets *assets, const char *name)
{
    return assets_text(assets, name) != NULL;
}

int assets_each(const struct assets *assets,
                int (*visit)(void *context, const char *name, const char *text), void *context)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < assets->count; i++) {
        const char *text = assets_text(assets, assets->files[i].name);
        if (text)
            rc = visit(context, assets->files[i].name, text);
    }
    return rc;
}

/* What the client likes best of what there is; among equals the smallest. */
static int choose(const struct file *file, const char *accept_encoding)
{
    int best = PLAIN, best_weight = 1; /* unless refused, it may come as it is */
    for (int i = 1; i < FORMS; i++) {
        int weight = file->forms[i].answer ? quality_of(accept_encoding, codings[i]) : 0;
        if (weight > best_weight) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}

void assets_send(const struct assets *assets, struct call *call, const char *name)
{
    struct exchange *exchange = call->exchange;
    const struct file *file = find(assets, name);
    if (!file || !file->forms[PLAIN].answer) {
        call_refuse(call, PROBLEM_NOT_FOUND, NULL);
        return;
    }
    int index = choose(file, exchange_header(exchange, "Accept-Encoding"));
    const struct form *form = &file->forms[index];
    bool same = etag_known(exchange, form->etag);
    if (exchange_has_headers(exchange)) { /* for a page of another site */
        struct answer *answer = answer_static(form->data, same ? 0 : form->size);
        put_headers(assets, file, index, answer);
        exchange_respond(exchange, same ? 304 : 200, answer);
    } else {
        exchange_respond_shared(exchange, same ? 304 : 200, same ? form->unchanged : form->answer);
    }
}
