/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/blocked.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/offload.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 1000
#define MAX_DOMAIN 253

/* Sorted domains in one piece of memory. */
struct list {
    struct buf text;
    char **domains; /* owned; point into `text` */
    size_t count;
};

/* What tells one state of a file from another. */
struct stamp {
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct blocked {
    const char *path;        /* borrowed */
    struct offload *offload; /* borrowed */
    pthread_rwlock_t lock;   /* guards `list` */
    struct list list;
    struct stamp stamp; /* of what was read, or tried, last */
    struct list fresh;  /* of the thread */
    struct err err;
    int rc;
    bool reading;
    int64_t due_ms;
};

static void list_fini(struct list *list)
{
    buf_fini(&list->text);
    free(list->domains);
    *list = (struct list){.domains = NULL};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int look(const char *path, struct stamp *out, struct err *err)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return err_set_errno(err, "blocked-domains", "cannot read %s", path);
    *out = (struct stamp){status.st_mtim, status.st_size, status.st_ino};
    return 0;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->size == b->size && a->inode == b->inode;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    char piece[65536];
    ssize_t size = 0;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "blocked-domains", "cannot read %s", path);
    while (rc == 0 && (size = read(fd, piece, sizeof piece)) > 0)
        rc = buf_append(out, piece, (size_t)size);
    if (size < 0)
        rc = err_set_errno(err, "blocked-domains", "cannot read %s", path);
    else if (rc < 0)
        err_set(err, rc, "blocked-domains", "%s: more than %u bytes", path, BLOCKED_MAX_BYTES);
    close(fd);
    return rc;
}

/* Cuts comment and blanks off, makes it lower case. NULL: it is no domain. "" where it is empty. */
static char *domain_of(char *line)
{
    line += strspn(line, " \t");
    line[strcspn(line, "#")] = 0;
    size_t length = strlen(line);
    while (length && strchr(" \t\r", line[length - 1]))
        line[--length] = 0;
    for (char *c = line; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
        bool good = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' ||
                    (*c == '.' && c > line && c[-1] != '.' && c[1]);
        if (!good)
            return NULL;
    }
    return length <= MAX_DOMAIN ? line : NULL;
}

static int parse(struct list *list, struct err *err)
{
    char *text = (char *)list->text.data, *line = text;
    size_t lines = 1;
    if (strlen(text) + 1 != list->text.size)
        return err_set(err, ERR_INVALID, "blocked-domains", "the file holds a zero byte");
    for (size_t i = 0; i < list->text.size; i++)
        lines += text[i] == '\n';
    list->domains = calloc(lines, sizeof *list->domains);
    if (!list->domains)
        return ERR_NOMEM;
    for (size_t number = 1; line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        char *domain = domain_of(line);
        if (!domain)
            return err_set(err, ERR_INVALID, "blocked-domains", "line %zu is no domain", number);
        if (*domain)
            list->domains[list->count++] = domain;
        line = end ? end + 1 : NULL;
    }
    qsort(list->domains, list->count, sizeof *list->domains, by_name);
    return 0;
}

static int load(const char *path, struct list *out, struct err *err)
{
    buf_init(&out->text, BLOCKED_MAX_BYTES);
    int rc = read_file(path, &out->text, err);
    if (rc == 0)
        rc = buf_append(&out->text, "", 1); /* a zero of its own, which buf_text() would not keep */
    if (rc == 0)
        rc = parse(out, err);
    if (rc < 0)
        list_fini(out);
    return rc;
}

/* ---- again when it changes ------------------------------------------------------------------- */

/* On a thread. */
static void load_fresh(void *task)
{
    struct blocked *blocked = task;
    blocked->err = (struct err){0};
    blocked->rc = load(blocked->path, &blocked->fresh, &blocked->err);
}

static void on_loaded(void *task)
{
    struct blocked *blocked = task;
    blocked->reading = false;
    if (blocked->rc < 0) {
        log_event(LOG_WARN, "blocked.unreadable", "code", LOG_S, err_name(blocked->rc), "detail",
                  LOG_S, blocked->err.text, NULL);
        return;
    }
    struct list old = blocked->list;
    pthread_rwlock_wrlock(&blocked->lock);
    blocked->list = blocked->fresh;
    pthread_rwlock_unlock(&blocked->lock);
    list_fini(&old);
    blocked->fresh = (struct list){.domains = NULL};
    log_event(LOG_INFO, "blocked.read", "domains", LOG_I, (int64_t)blocked->list.count, NULL);
}

int64_t blocked_tick(struct blocked *blocked, int64_t now_ms)
{
    struct stamp stamp = {.size = -1};
    if (!blocked)
        return INT64_MAX;
    if (blocked->reading || now_ms < blocked->due_ms)
        return blocked->reading ? INT64_MAX : blocked->due_ms;
    blocked->due_ms = now_ms + LOOK_MS;
    look(blocked->path, &stamp, NULL); /* one that is not there is tried once, which is told */
    if (same(&stamp, &blocked->stamp))
        return blocked->due_ms;
    blocked->reading = offload_submit(blocked->offload, load_fresh, on_loaded, blocked) == 0;
    if (blocked->reading)
        blocked->stamp = stamp;
    return blocked->due_ms;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool find(const struct list *list, const char *domain)
{
    return list->count &&
           bsearch(&domain, list->domains, list->count, sizeof *list->domains, by_name) != NULL;
}

bool blocked_has(struct blocked *blocked, const char *address)
{
    const char *at = strrchr(address, '@');
    bool found = false;
    if (!blocked || !at)
        return false;
    pthread_rwlock_rdlock(&blocked->lock);
    for (const char *domain = at + 1; domain && !found;) {
        found = find(&blocked->list, domain);
        const char *dot = strchr(domain, '.');
        domain = dot ? dot + 1 : NULL;
    }
    pthread_rwlock_unlock(&blocked->lock);
    return found;
}

/* ---- life ------------------------------------------------------------------------------------ */

int blocked_create(const char *path, struct offload *offload, struct blocked **out, struct err *err)
{
    *out = NULL;
    if (!path)
        return 0;
    struct blocked *blocked = calloc(1, sizeof *blocked);
    if (!blocked)
        return ERR_NOMEM;
    blocked->path = path;
    blocked->offload = offload;
    pthread_rwlock_init(&blocked->lock, NULL);
    int rc = look(path, &blocked->stamp, err);
    if (rc == 0)
        rc = load(path, &blocked->list, err);
    if (rc < 0)
        blocked_destroy(&blocked);
    else
        *out = blocked;
    return rc;
}

void blocked_destroy(struct blocked **slot)
{
    struct blocked *blocked = *slot;
    *slot = NULL;
    if (!blocked)
        return;
    list_fini(&blocked->list);
    list_fini(&blocked->fresh);
    pthread_rwlock_destroy(&blocked->lock);
    free(blocked);
}
