/* SPDX-License-Identifier: MIT */
#include "common/queue_limits.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <string.h>

#define PAST_DUE_MS 30000

void queue_flow_limits_command(const struct queue *queue, const char *flow, int64_t running_max,
                               int64_t per_minute, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_flow_limits);
    redis_command_text(command, flow);
    redis_command_int(command, running_max);
    redis_command_int(command, per_minute);
    if ((strcmp(flow, QUEUE_VISITORS) != 0 && !job_flow_valid(flow)) || running_max < 0 ||
        running_max > QUEUE_RUNNING_LIMIT || per_minute < 0 || per_minute > QUEUE_PER_MINUTE_LIMIT)
        command->failure = ERR_INVALID;
}

int queue_flow_limits(const struct queue *queue, struct redis *redis, const char *flow,
                      int64_t running_max, int64_t per_minute, int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_flow_limits_command(queue, flow, running_max, per_minute, &command);
    return queue_run(redis, &command, timeout_ms, NULL, err);
}

void queue_model_command(const struct queue *queue, const struct queue_model *model,
                         struct redis_command *command)
{
    const struct {
        const char *field;
        int64_t ms;
    } fields[] = {{"past_due", model->past_due_ms ? model->past_due_ms : PAST_DUE_MS},
                  {"input", model->input_ms},
                  {"result", model->result_ms}};
    queue_begin(queue, command, &queue_script_model);
    redis_command_text(command, model->model);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        redis_command_text(command, fields[i].field);
        redis_command_int(command, fields[i].ms);
    }
    if (!job_model_valid(model->model) || model->past_due_ms < 0 || model->input_ms < 0 ||
        model->result_ms < 0)
        command->failure = ERR_INVALID;
}

int queue_model(const struct queue *queue, struct redis *redis, const struct queue_model *model,
                int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_model_command(queue, model, &command);
    return queue_run(redis, &command, timeout_ms, NULL, err);
}
