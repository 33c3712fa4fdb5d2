/* SPDX-License-Identifier: MIT */
#include "gpu/weights/apart.h"

#include "common/err.h"
#include "gpu/weights/table_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_CONFINED 2 /* exit status */
#define MAGIC UINT64_C(0x7472617061646b72)

/* The answer: this head, the tensors' records, those of the attributes, and then all bytes. */
struct head {
    uint64_t magic; /* written last: an answer without it is none */
    int64_t rc;
    struct err err;
    uint64_t tensors, attributes;
};

struct record {
    char name[WEIGHTS_MAX_NAME_BYTES + 1];
    bool is_text;
    double number;
    int64_t type, rank, dim[TENSOR_MAX_RANK];
    uint64_t at, size; /* of the tensor's values or the text, in the answer */
};

/* --- the child --- */

static bool write_at(int fd, uint64_t at, const void *data, size_t size)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t count = pwrite(fd, bytes, size, (off_t)at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        at += (uint64_t)count;
        size -= (size_t)count;
    }
    return true;
}

/* Writes one record and its bytes, and moves both places on. */
static bool write_record(int fd, struct record *record, const char *name, const void *data,
                         uint64_t *record_at, uint64_t *data_at)
{
    snprintf(record->name, sizeof record->name, "%s", name);
    record->at = *data_at;
    bool done = write_at(fd, *record_at, record, sizeof *record) &&
                (record->size == 0 || write_at(fd, *data_at, data, (size_t)record->size));
    *record_at += sizeof *record;
    *data_at += record->size;
    return done;
}

static bool write_table(int fd, const struct table *table)
{
    uint64_t record_at = sizeof(struct head);
    uint64_t data_at = record_at + (table->count + table->attribute_count) * sizeof(struct record);
    for (size_t i = 0; i < table->count; i++) {
        const struct tensor *tensor = &table->entries[i].tensor;
        struct record record = {
            .type = tensor->type, .rank = tensor->rank, .size = tensor_bytes(tensor)};
        memcpy(record.dim, tensor->dim, sizeof record.dim);
        if (!write_record(fd, &record, table->entries[i].name, tensor->data, &record_at, &data_at))
            return false;
    }
    for (size_t i = 0; i < table->attribute_count; i++) {
        const struct table_attribute *attribute = &table->attributes[i];
        struct record record = {.is_text = attribute->text,
                                .number = attribute->number,
                                .size = attribute->text ? strlen(attribute->text) : 0};
        if (!write_record(fd, &record, attribute->name, attribute->text, &record_at, &data_at))
            return false;
    }
    return true;
}

static uint64_t data_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* No descriptors but `fd`, no handlers, no core, an end. */
static bool confine(int fd, uint64_t parent_bytes, rlim_t cpu_s)
{
    static const int faults[] = {SIGSEGV, SIGBUS,  SIGABRT, SIGILL,
                                 SIGFPE,  SIGXCPU, SIGTERM, SIGINT};
    const struct rlimit cpu = {cpu_s, cpu_s + 1}, core = {0, 0};
    const uint64_t most = parent_bytes + APART_MAX_BYTES;
    const struct rlimit memory = {most, most};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        signal(faults[i], SIG_DFL);
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setrlimit(RLIMIT_CPU, &cpu) == 0 &&
           setrlimit(RLIMIT_CORE, &core) == 0 && setrlimit(RLIMIT_DATA, &memory) == 0 &&
           dup2(fd, 0) == 0 && close_range(1, ~0u, 0) == 0;
}

static void answer(apart_reader *read, const struct weights_source *source)
{
    struct table table = {0};
    struct head head = {.magic = MAGIC};
    head.rc = read(source, &table, &head.err);
    head.tensors = table.count;
    head.attributes = table.attribute_count;
    if (head.rc < 0)
        head.tensors = head.attributes = 0;
    if (head.rc < 0 || write_table(0, &table))
        write_at(0, 0, &head, sizeof head);
}

/* --- the parent --- */

static int corrupt(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "weights", "the file makes its reader give nonsense");
}

static int add_record(struct table *table, const struct record *record, const unsigned char *data,
                      size_t size, bool is_tensor, struct err *err)
{
    struct tensor tensor = {.rank = (int)record->rank};
    uint64_t bytes = 0;
    if (!memchr(record->name, 0, sizeof record->name) || record->at > size ||
        record->size > size - record->at)
        return corrupt(err);
    if (!is_tensor)
        return record->is_text
                   ? table_add_text(table, record->name, (const char *)data + record->at,
                                    (size_t)record->size, err)
                   : table_add_number(table, record->name, record->number, err);
    if (record->type < 0 || record->type >= TENSOR_TYPE_COUNT || record->rank < 0 ||
        record->rank > TENSOR_MAX_RANK)
        return corrupt(err);
    tensor.type = (enum tensor_type)record->type;
    memcpy(tensor.dim, record->dim, sizeof tensor.dim);
    tensor.data = data + record->at;
    int rc = table_check_name(record->name, err);
    if (rc == 0)
        rc = table_tensor_bytes(record->name, &tensor, &bytes, err);
    if (rc == 0 && bytes != record->size)
        rc = corrupt(err);
    return rc < 0 ? rc : table_add(table, record->name, &tensor, err);
}

static int take_answer(struct table *table, int fd, struct err *err)
{
    const unsigned char *data = NULL;
    size_t size = 0;
    struct head head;
    struct record record;
    int rc = table_map_descriptor(table, fd, "the reader's answer", &data, &size, err);
    if (rc < 0)
        return rc;
    if (size < sizeof head || (memcpy(&head, data, sizeof head), head.magic != MAGIC))
        return err_set(err, ERR_CORRUPT, "weights", "the file makes its reader run out of memory");
    head.err.text[sizeof head.err.text - 1] = 0;
    head.err.field[sizeof head.err.field - 1] = 0;
    if (head.rc == ERR_NOMEM)
        return ERR_NOMEM;
    if (head.rc < 0)
        return err_set(err, (int)head.rc, head.err.field, "%s", head.err.text);
    size_t room = (size - sizeof head) / sizeof record;
    if (head.tensors > room || head.attributes > room - head.tensors)
        return corrupt(err);
    for (uint64_t i = 0; rc == 0 && i < head.tensors + head.attributes; i++) {
        memcpy(&record, data + sizeof head + i * sizeof record, sizeof record);
        rc = add_record(table, &record, data, size, i < head.tensors, err);
    }
    return rc;
}

static int wait_for(pid_t pid, rlim_t cpu_s, struct err *err)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set_errno(err, "weights", "waiting for the reader");
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
        return err_set(err, ERR_CORRUPT, "weights",
                       "the file keeps its reader busy for more than %ju s: it is damaged",
                       (uintmax_t)cpu_s);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_CONFINED)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "this system does not let the reader of such files be confined");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_CORRUPT, "weights",
                       "the file makes its reader crash (signal %d): it is damaged",
                       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return 0;
}

int apart_read(apart_reader *read, const struct weights_source *source, struct table *table,
               struct err *err)
{
    const uint64_t bytes = data_bytes();
    const rlim_t cpu_s = APART_MIN_CPU_S + source->size / APART_BYTES_PER_CPU_S;
    const struct weights_source in_memory = {.data = source->data, .size = source->size};
    int fd = memfd_create("darkroom-weights", MFD_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "weights", "memory for a reader's answer");
    pid_t pid = fork();
    if (pid == 0) {
        if (!confine(fd, bytes, cpu_s))
            _exit(NOT_CONFINED);
        answer(read, &in_memory);
        _exit(0);
    }
    int rc = pid < 0 ? err_set_errno(err, "weights", "a process for the reader") : 0;
    if (rc == 0)
        rc = wait_for(pid, cpu_s, err);
    if (rc == 0)
        rc = take_answer(table, fd, err);
    close(fd);
    return rc;
}
