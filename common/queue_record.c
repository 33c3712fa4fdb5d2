/* SPDX-License-Identifier: MIT */
#include "common/queue_record.h"

#include "common/base64.h"
#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the record ------------------------------------------------------------------------------ */

struct reader {
    const unsigned char *at;
    size_t left;
};

static uint64_t read_int(struct reader *reader, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0) {
        value = value << 8 | *reader->at++;
        reader->left--;
    }
    return value;
}

/* Copies one text of the body; false where it does not fit. */
static bool read_text(struct reader *reader, size_t length, char *out, size_t size)
{
    if (length > reader->left || length >= size)
        return false;
    memcpy(out, reader->at, length);
    out[length] = 0;
    reader->at += length;
    reader->left -= length;
    return true;
}

const char *queue_usual_type(const char *extension)
{
    static const char *const types[][2] = {{"png", "image/png"},
                                           {"jpg", "image/jpeg"},
                                           {"webp", "image/webp"},
                                           {"json", "application/json"},
                                           {"txt", "text/plain"}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(types[i][0], extension))
            return types[i][1];
    return "application/octet-stream";
}

/* `content type \n bytes` of a success, else `code \n detail`. */
static void read_outcome(const struct reader *reader, struct queue_job *job)
{
    const char *text = (const char *)reader->at;
    const char *line_end = memchr(text, '\n', reader->left);
    size_t first = line_end ? (size_t)(line_end - text) : reader->left;
    size_t rest = line_end ? reader->left - first - 1 : 0;
    bool success = job->state == JOB_SUCCEEDED;
    char *out = success ? job->result_type : job->error_code;
    size_t size = success ? sizeof job->result_type : sizeof job->error_code;
    snprintf(out, size, "%.*s", (int)first, text);
    if (!line_end)
        return;
    char detail[sizeof job->error_detail];
    snprintf(detail, sizeof detail, "%.*s", (int)rest, line_end + 1);
    if (success)
        job->result_bytes = strtoll(detail, NULL, 10);
    else
        memcpy(job->error_detail, detail, sizeof detail);
}

static int corrupt(uint64_t id, unsigned shard, const char *expected, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "redis", "{q:%02x}j:%012" PRIx64 ": expected %s", shard, id,
                   expected);
}

#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS (5 * 60 * 1000)

enum {
    FLAG_INPUT = 1,
    FLAG_SUSPECT = 2,
    FLAG_ALONE = 4,
    FLAG_DEAD = 8,
    FLAG_DEADLINE = 32,
    FLAG_WAITING = 128
};

/* The units of the limits in the head; rounded up, so that a limit is never 0 by rounding. */
enum { RUN_UNIT_MS = 100, BACKOFF_UNIT_MS = 10, BACKOFF_MAX_UNIT_MS = 1000 };

static uint64_t in_units(int64_t ms, int unit)
{
    return (uint64_t)((ms + unit - 1) / unit);
}

int queue_record_parse(uint64_t id, unsigned shard, const void *data, size_t size, const void *head,
                       size_t head_size, struct queue_job *out, struct err *err)
{
    struct queue_job job = {.id = id, .position = -1, .eta_ms = -1};
    unsigned char first[QUEUE_RECORD_HEAD];
    struct reader reader = {first, sizeof first};
    if (size < QUEUE_RECORD_HEAD || head_size > sizeof first)
        return corrupt(id, shard, "at least 64 bytes", err);
    memcpy(first, data, sizeof first);
    if (head_size)
        memcpy(first, head, head_size);
    if (read_int(&reader, 1) != QUEUE_RECORD_VERSION)
        return corrupt(id, shard, "record version 2", err);
    job.state = job_state_from_letter((char)read_int(&reader, 1));
    unsigned flags = (unsigned)read_int(&reader, 1);
    job.has_input = flags & FLAG_INPUT;
    job.alone = flags & FLAG_ALONE;
    job.dead = flags & FLAG_DEAD;
    job.waits = flags & FLAG_WAITING;
    job.epoch = (uint32_t)read_int(&reader, 3);
    job.progress = (int)read_int(&reader, 2);
    job.updated_ms = (int64_t)read_int(&reader, 6);
    int64_t place = (int64_t)read_int(&reader, 5);
    job.created_ms = (int64_t)read_int(&reader, 6);
    unsigned priority = (unsigned)read_int(&reader, 1);
    if (!job.state || priority >= JOB_PRIORITY_COUNT)
        return corrupt(id, shard, "one of the states QRDSFC and a priority of 0 to 2", err);
    job.priority = (enum job_priority)priority;
    job.attempts = (int)read_int(&reader, 1);
    job.max_attempts = (int)read_int(&reader, 1);
    job.losses = (int)read_int(&reader, 2);
    job.crashes = (int)read_int(&reader, 1);
    job.cost_ms = (int64_t)read_int(&reader, 3);
    read_int(&reader, 3); /* charge */
    uint64_t id1 = read_int(&reader, 5), id2 = read_int(&reader, 5);
    snprintf(job.public_id, sizeof job.public_id, "%02x%012" PRIx64 "%010" PRIx64 "%010" PRIx64,
             shard & 0xff, id & 0xffffffffffff, id1 & 0xffffffffff, id2 & 0xffffffffff);
    size_t model = read_int(&reader, 1), flow = read_int(&reader, 1);
    size_t extension = read_int(&reader, 1), address = read_int(&reader, 1);
    size_t blob = read_int(&reader, 2), spec = read_int(&reader, 2), extra = read_int(&reader, 2);
    job.run_max_ms = (int64_t)read_int(&reader, 3) * RUN_UNIT_MS;
    job.backoff_ms = (int64_t)read_int(&reader, 2) * BACKOFF_UNIT_MS;
    job.backoff_max_ms = (int64_t)read_int(&reader, 2) * BACKOFF_MAX_UNIT_MS;
    reader = (struct reader){(const unsigned char *)data + sizeof first, size - sizeof first};
    if (!read_text(&reader, model, job.model, sizeof job.model) ||
        !read_text(&reader, flow, job.flow, sizeof job.flow) ||
        !read_text(&reader, extension, job.extension, sizeof job.extension) ||
        address + blob + spec + extra > reader.left)
        return corrupt(id, shard, "texts as long as the head says", err);
    job.spec = (const char *)reader.at + address + blob;
    job.spec_size = spec;
    job.extra = job.spec + spec;
    job.extra_size = extra;
    char deadline[24], rating[2];
    if (queue_extra_get(&job, 'r', rating, sizeof rating))
        job.rating = rating[0];
    if (queue_extra_get(&job, 'd', deadline, sizeof deadline))
        job.deadline_ms = strtoll(deadline, NULL, 10);
    reader.at += address + blob + spec + extra;
    reader.left -= address + blob + spec + extra;
    if (job.state == JOB_SUCCEEDED && place > 0) {
        job.result_bytes = place - 1;
        snprintf(job.result_type, sizeof job.result_type, "%s", queue_usual_type(job.extension));
    } else {
        read_outcome(&reader, &job);
    }
    *out = job;
    return 0;
}

static void put_int(struct buf *out, uint64_t value, int bytes)
{
    unsigned char text[20] = {0};
    for (int i = bytes; i-- > 0; value >>= 8)
        text[i] = (unsigned char)value;
    buf_append(out, text, (size_t)bytes);
}

/* The deadline, up to 16 parents, one of them again, the batch, and the mail. */
#define EXTRA_OWN_MAX                                                                              \
    (32 + (QUEUE_PARENTS_MAX + 2) * (ID_PUBLIC_SIZE + 4) + QUEUE_LANGUAGE_SIZE + 6)

/* The extra lines that are made of other members; their length. */
static size_t format_extra(const struct queue_submit *job, char lines[EXTRA_OWN_MAX])
{
    size_t size = 0;
    if (job->deadline_ms || job->deadline_after_ms)
        size += (size_t)snprintf(lines, EXTRA_OWN_MAX,
                                 job->deadline_ms ? "d=%" PRId64 "\n" : "d=+%" PRId64 "\n",
                                 job->deadline_ms ? job->deadline_ms : job->deadline_after_ms);
    for (size_t i = 0; i < job->parent_count; i++)
        size += (size_t)snprintf(lines + size, EXTRA_OWN_MAX - size, "%s%s%s",
                                 i ? "," : "p=", job->parents[i],
                                 i + 1 == job->parent_count ? "\n" : "");
    if (job->input_from)
        size += (size_t)snprintf(lines + size, EXTRA_OWN_MAX - size, "f=%s\n", job->input_from);
    if (job->batch)
        size += (size_t)snprintf(lines + size, EXTRA_OWN_MAX - size, "b=%s\n", job->batch);
    if (job->notify_blob_size || job->notify_unwanted)
        size += (size_t)snprintf(lines + size, EXTRA_OWN_MAX - size, "m=%c %s\n",
                                 job->notify_unwanted ? 'x' : 'w',
                                 job->notify_language ? job->notify_language : "en");
    return size;
}

int queue_record_pack(const struct queue_submit *job, int64_t charge_ms, struct buf *out)
{
    const char *address = job->notify_address ? job->notify_address : "";
    const size_t sizes[] = {strlen(job->model), strlen(job->flow), strlen(job->extension),
                            strlen(address)};
    char lines[EXTRA_OWN_MAX] = "";
    size_t extra = format_extra(job, lines) + job->extra_size;
    int64_t backoff = job->backoff_ms ? job->backoff_ms : BACKOFF_MS;
    int64_t backoff_max = job->backoff_max_ms ? job->backoff_max_ms : BACKOFF_MAX_MS;
    size_t body = sizes[0] + sizes[1] + sizes[2] + sizes[3] + job->notify_blob_size;
    int rc = buf_reserve(out, QUEUE_RECORD_HEAD + body + job->spec_size + extra);
    if (rc < 0)
        return rc;
    buf_append(out, (char[]){QUEUE_RECORD_VERSION, 'Q'},
               2); /* the script decides whether it is due */
    put_int(out,
            (job->has_input ? FLAG_INPUT : 0) |
                (job->deadline_ms || job->deadline_after_ms ? FLAG_DEADLINE : 0) |
                (queue_submit_waits(job) ? FLAG_WAITING : 0),
            1);
    put_int(out, 0, 3 + 2);     /* epoch, progress */
    put_int(out, 0, 6 + 5 + 6); /* updated, place, created: the script knows them */
    put_int(out, (uint64_t)job->priority, 1);
    put_int(out, 0, 1); /* attempts */
    put_int(out, (uint64_t)job->max_attempts, 1);
    put_int(out, 0, 2 + 1); /* losses, crashes */
    put_int(out, (uint64_t)job->cost_ms, 3);
    put_int(out, (uint64_t)charge_ms, 3);
    unsigned char rest[10]; /* of a valid id */
    hex_decode(job->public_id + 14, 20, rest, sizeof rest);
    buf_append(out, rest, sizeof rest);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        put_int(out, sizes[i], 1);
    put_int(out, job->notify_blob_size, 2);
    put_int(out, job->spec_size, 2);
    put_int(out, extra, 2);
    put_int(out, in_units(job->run_max_ms, RUN_UNIT_MS), 3);
    put_int(out, in_units(backoff, BACKOFF_UNIT_MS), 2);
    put_int(out, in_units(backoff_max, BACKOFF_MAX_UNIT_MS), 2);
    buf_append_text(out, job->model);
    buf_append_text(out, job->flow);
    buf_append_text(out, job->extension);
    buf_append_text(out, address);
    buf_append(out, job->notify_blob, job->notify_blob_size);
    buf_append(out, job->spec, job->spec_size);
    buf_append_text(out, lines);
    return buf_append(out, job->extra, job->extra_size);
}

bool queue_extra_get(const struct queue_job *job, char key, char *out, size_t size)
{
    const char *end = job->extra + job->extra_size;
    for (const char *line = job->extra; line && line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t length = stop ? (size_t)(stop - line) : 0;
        if (length < 2)
            return false;
        if (line[0] == key && line[1] == '=') {
            snprintf(out, size, "%.*s", (int)(length - 2), line + 2);
            return length - 2 < size;
        }
        line = stop + 1;
    }
    return false;
}

enum queue_mail queue_mail_of(const struct queue_job *job, char out_language[QUEUE_LANGUAGE_SIZE])
{
    static const char letters[] = " whqsfx"; /* as enum queue_mail counts */
    char line[QUEUE_LANGUAGE_SIZE + 2];
    const char *letter = NULL;
    if (job->state != JOB_CANCELLED && queue_extra_get(job, 'm', line, sizeof line) &&
        line[0] > ' ' && line[1] == ' ')
        letter = strchr(letters, line[0]);
    if (out_language)
        snprintf(out_language, QUEUE_LANGUAGE_SIZE, "%s", letter ? line + 2 : "");
    return letter ? (enum queue_mail)(letter - letters) : QUEUE_MAIL_NONE;
}

/* ---- what all verbs share -------------------------------------------------------------------- */

void queue_prefix(const struct queue *queue, char out[QUEUE_PREFIX_SIZE])
{
    /* Asked for in every turn of a loop, for every shard: snprintf() would be half of that. */
    const unsigned char shard = queue->shard & 0xff;
    memcpy(out, "{q:", 3);
    hex_encode(&shard, 1, out + 3);
    memcpy(out + 5, "}", 2);
}

void queue_begin(const struct queue *queue, struct redis_command *command,
                 const struct redis_script *script)
{
    char prefix[QUEUE_PREFIX_SIZE];
    queue_prefix(queue, prefix);
    redis_command_clear(command);
    redis_command_script(command, script, prefix);
}

int queue_slot(const struct queue *queue)
{
    char prefix[QUEUE_PREFIX_SIZE];
    queue_prefix(queue, prefix);
    return redis_key_slot(prefix, strlen(prefix));
}

void queue_add_key(const struct queue *queue, struct redis_command *command, const char *name,
                   const char *rest)
{
    char prefix[QUEUE_PREFIX_SIZE], key[128];
    queue_prefix(queue, prefix);
    snprintf(key, sizeof key, "%s%s%s", prefix, name, rest);
    redis_command_text(command, key);
}

void queue_add_id(struct redis_command *command, uint64_t id)
{
    char text[17];
    int length = snprintf(text, sizeof text, "%012" PRIx64, id);
    redis_command_bytes(command, text, (size_t)length);
}

int queue_parse_id(const struct redis_reply *reply, uint64_t *out_id)
{
    const char *text = redis_reply_text(reply);
    if (redis_reply_size(reply) != 12 || strspn(text, "0123456789abcdef") != 12)
        return ERR_INTERNAL;
    *out_id = strtoull(text, NULL, 16);
    return 0;
}

int queue_copy(char *out, size_t size, const struct redis_reply *reply)
{
    size_t length = redis_reply_size(reply);
    if (redis_reply_type(reply) != REDIS_TEXT || length >= size)
        return ERR_INTERNAL;
    memcpy(out, redis_reply_text(reply), length);
    out[length] = 0;
    return 0;
}

int queue_bad_reply(const char *verb, struct err *err)
{
    return err_set(err, ERR_INTERNAL, "redis", "the reply to %s is not what the protocol says",
                   verb);
}

int queue_run(struct redis *redis, struct redis_command *command, int64_t timeout_ms,
              struct redis_reply **out_reply, struct err *err)
{
    int rc = redis_call(redis, command, timeout_ms, out_reply, err);
    redis_command_fini(command);
    return rc;
}
