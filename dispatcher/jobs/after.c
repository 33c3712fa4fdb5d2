/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/after.h"

#include "common/err.h"

#include <stdio.h>
#include <string.h>

/* One job, by its id or as an object. */
static int read_job(const json_t *value, const char *field, struct after_job *out, struct err *err)
{
    static const char *const known[] = {"job", "token", NULL};
    const char *id = json_string_value(value), *token = "";
    char id_path[16], token_path[16];
    snprintf(id_path, sizeof id_path, "%s.job", field);
    snprintf(token_path, sizeof token_path, "%s.token", field);
    int rc = 0;
    if (json_is_object(value)) {
        rc = json_check_members(value, field, known, err);
        if (rc == 0)
            rc = json_get_text(value, id_path, ID_PUBLIC_SIZE, &id, err);
        if (rc == 0)
            rc = json_opt_text(value, token_path, TOKEN_SIZE - 1, &token, err);
    }
    if (rc == 0 && (!id || !id_public_valid(id)))
        rc = err_set(err, ERR_INVALID, field, "%s: wanted a job's id, or {\"job\", \"token\"}",
                     field);
    if (rc < 0)
        return rc;
    snprintf(out->public_id, sizeof out->public_id, "%s", id);
    snprintf(out->token, sizeof out->token, "%s", token);
    return 0;
}

static size_t find(const struct after *after, const char *public_id)
{
    size_t i = 0;
    while (i < after->count && strcmp(after->jobs[i].public_id, public_id))
        i++;
    return i;
}

static int add(struct after *after, const json_t *value, const char *field, size_t *out_index,
               struct err *err)
{
    struct after_job job;
    int rc = read_job(value, field, &job, err);
    if (rc < 0)
        return rc;
    size_t index = find(after, job.public_id);
    if (index == QUEUE_PARENTS_MAX)
        return err_set(err, ERR_LIMIT, "after", "after: a job waits for at most %d others",
                       QUEUE_PARENTS_MAX);
    if (index == after->count)
        after->jobs[after->count++] = job;
    else if (job.token[0])
        after->jobs[index] = job;
    *out_index = index;
    return 0;
}

int after_read(const json_t *members, struct after *out, struct err *err)
{
    struct after after = {.count = 0};
    json_t *list = NULL;
    const json_t *input = json_object_get(members, "input");
    size_t index;
    int rc = json_opt_array(members, "after", QUEUE_PARENTS_MAX, &list, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
        rc = add(&after, json_array_get(list, i), "after", &index, err);
    /* With "crop_of" it is a picture like any other: again.h. */
    if (rc == 0 && json_is_object(input) && !json_object_get(input, "crop_of")) {
        rc = add(&after, input, "input", &index, err);
        after.input = index;
    } else {
        after.input = after.count;
    }
    if (rc == 0)
        *out = after;
    return rc;
}

int after_permit(const struct after *after, const struct token_keys *tokens, bool has_key,
                 unsigned shard, struct err *err)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct after_job *job = &after->jobs[i];
        /* Which a manage token permits as well. */
        bool proven = token_allows(tokens, TOKEN_VIEW, job->public_id, job->token);
        if (job->token[0] ? !proven : !has_key)
            return err_set(err, ERR_DENIED, i == after->input ? "input" : "after",
                           "a job is named only with its view or manage token, or with the API key "
                           "of its account");
        if (id_public_shard(job->public_id) != shard)
            return err_set(err, ERR_INVALID, i == after->input ? "input" : "after",
                           "there is no such job of this owner, or it is past its retention");
    }
    return 0;
}

void after_apply(const struct after *after, const char *parents[QUEUE_PARENTS_MAX],
                 struct queue_submit *submit)
{
    for (size_t i = 0; i < after->count; i++)
        parents[i] = after->jobs[i].public_id;
    submit->parents = parents;
    submit->parent_count = after->count;
    if (after->input < after->count)
        submit->input_from = parents[after->input];
}

void after_text(const struct after *after, char out[AFTER_TEXT_SIZE])
{
    size_t size = 0;
    out[0] = 0;
    for (size_t i = 0; i < after->count; i++)
        size += (size_t)snprintf(out + size, AFTER_TEXT_SIZE - size, "%s%s", i ? "," : "",
                                 after->jobs[i].public_id);
}
