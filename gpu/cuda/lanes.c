/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/lanes.h"

#include "common/err.h"
#include "gpu/cuda/device.h"
#include "gpu/cuda/execute.h"
#include "gpu/model.h"

#include <math.h>
#include <string.h>

/* The number of the bad layer comes first in the output, so that one copy brings all. */
#define HEAD_BYTES 64

/* Index of the least size that a piece of `pictures` fits into. */
static int size_index(int pictures)
{
    int index = 0;
    while (1 << index < pictures)
        index++;
    return index;
}

static int piece_of(int batch, int first)
{
    return batch - first < LANES_PIECE ? batch - first : LANES_PIECE;
}

static size_t in_bytes(const struct steps *steps, int pictures)
{
    return (size_t)pictures * steps->in_values * sizeof(float);
}

static size_t out_bytes(const struct steps *steps, int pictures)
{
    return HEAD_BYTES + (size_t)pictures * (steps->out_values + steps->heat_values) * sizeof(float);
}

static size_t workspace_bytes(const struct steps *steps, int pictures)
{
    return (size_t)pictures * steps->workspace_floats * sizeof(float);
}

struct model_bytes lanes_bytes(const struct steps *steps, int batch)
{
    const int pictures = batch > 0 ? 1 << size_index(piece_of(batch, 0)) : 0;
    const size_t copies =
        pictures ? 2 * (in_bytes(steps, pictures) + out_bytes(steps, pictures)) : 0;
    return (struct model_bytes){
        .host = copies,
        .device = copies + (size_t)pictures * steps->arena_bytes + workspace_bytes(steps, pictures),
    };
}

int lanes_open(struct lanes *lanes, const struct steps *steps, const char *weights, struct err *err)
{
    *lanes = (struct lanes){.steps = steps, .weights = weights};
    cudaStream_t *const streams[] = {&lanes->inward, &lanes->compute, &lanes->outward};
    cudaError_t status = cudaSuccess;
    for (int i = 0; status == cudaSuccess && i < 3; i++)
        status = cudaStreamCreateWithFlags(streams[i], cudaStreamNonBlocking);
    for (int i = 0; i < 2; i++) {
        cudaEvent_t *const events[] = {&lanes->lane[i].arrived, &lanes->lane[i].computed,
                                       &lanes->lane[i].left};
        for (int k = 0; status == cudaSuccess && k < 3; k++)
            status = cudaEventCreateWithFlags(events[k], cudaEventDisableTiming);
    }
    return device_failed(status, "starting the GPU", err);
}

static void drop_graphs(struct lanes *lanes)
{
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < LANES_SIZES; k++) {
            if (lanes->lane[i].graph[k])
                cudaGraphExecDestroy(lanes->lane[i].graph[k]);
            lanes->lane[i].graph[k] = NULL;
        }
}

static void drop_memory(struct lanes *lanes)
{
    drop_graphs(lanes);
    for (int i = 0; i < 2; i++) {
        struct lane *lane = &lanes->lane[i];
        cudaFreeHost(lane->host_in);
        cudaFreeHost(lane->host_out);
        cudaFree(lane->in);
        cudaFree(lane->out);
        lane->host_in = lane->host_out = NULL;
        lane->in = lane->out = NULL;
    }
    cudaFree(lanes->arena);
    cudaFree(lanes->workspace);
    lanes->arena = NULL;
    lanes->workspace = NULL;
    lanes->capacity = 0;
}

void lanes_close(struct lanes *lanes)
{
    cudaStream_t const streams[] = {lanes->inward, lanes->compute, lanes->outward};
    drop_memory(lanes);
    for (int i = 0; i < 2; i++) {
        cudaEvent_t const events[] = {lanes->lane[i].arrived, lanes->lane[i].computed,
                                      lanes->lane[i].left};
        for (int k = 0; k < 3; k++)
            if (events[k])
                cudaEventDestroy(events[k]);
    }
    for (int i = 0; i < 3; i++)
        if (streams[i])
            cudaStreamDestroy(streams[i]);
    *lanes = (struct lanes){0};
}

static int make_memory(struct lanes *lanes, int pictures, struct err *err)
{
    const struct steps *s = lanes->steps;
    const size_t in = in_bytes(s, pictures), out = out_bytes(s, pictures);
    int rc = device_allocate((void **)&lanes->arena, (size_t)pictures * s->arena_bytes,
                             "activations", err);
    if (rc == 0 && s->workspace_floats > 0)
        rc = device_allocate((void **)&lanes->workspace, workspace_bytes(s, pictures),
                             "activations", err);
    for (int i = 0; i < 2; i++) {
        struct lane *lane = &lanes->lane[i];
        if (rc == 0)
            rc = device_allocate((void **)&lane->in, in, "pictures", err);
        if (rc == 0)
            rc = device_allocate((void **)&lane->out, out, "pictures", err);
        if (rc == 0)
            rc = device_allocate_pinned((void **)&lane->host_in, in, "pictures", err);
        if (rc == 0)
            rc = device_allocate_pinned((void **)&lane->host_out, out, "pictures", err);
    }
    if (rc == 0)
        lanes->capacity = pictures;
    else
        drop_memory(lanes);
    return rc;
}

static cudaError_t launch_all(const struct lanes *lanes, const struct lane *lane, int pictures)
{
    float *out = (float *)(void *)(lane->out + HEAD_BYTES);
    const struct execution e = {
        .steps = lanes->steps,
        .pictures = pictures,
        .weights = lanes->weights,
        .arena = lanes->arena,
        .workspace = lanes->workspace,
        .in = (const float *)(const void *)lane->in,
        .out = out,
        .heat = out + (size_t)pictures * lanes->steps->out_values,
        .bad = (int *)(void *)lane->out,
        .stream = lanes->compute,
    };
    return execute(&e);
}

/* Once without a recording: what loads kernels is not allowed in one. */
static int warm_up(struct lanes *lanes, struct err *err)
{
    cudaError_t status = cudaSuccess;
    if (!lanes->warm)
        status = launch_all(lanes, &lanes->lane[0], 1);
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(lanes->compute);
    lanes->warm = status == cudaSuccess;
    return device_failed(status, "running the network for the first time", err);
}

/* Only this thread's calls are kept from what a recording forbids: others load models meanwhile. */
static int record(struct lanes *lanes, struct lane *lane, int index, struct err *err)
{
    cudaGraph_t graph = NULL;
    cudaError_t launched = cudaSuccess;
    if (lane->graph[index])
        return 0;
    cudaError_t status = cudaStreamBeginCapture(lanes->compute, cudaStreamCaptureModeThreadLocal);
    if (status == cudaSuccess) {
        launched = launch_all(lanes, lane, 1 << index);
        status = cudaStreamEndCapture(lanes->compute, &graph); /* in any case */
    }
    if (launched != cudaSuccess)
        status = launched;
    if (status == cudaSuccess)
        status = cudaGraphInstantiate(&lane->graph[index], graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    if (status == cudaSuccess)
        status = cudaGraphUpload(lane->graph[index], lanes->compute);
    return device_failed(status, "recording the network", err);
}

static int record_both(struct lanes *lanes, int index, struct err *err)
{
    int rc = record(lanes, &lanes->lane[0], index, err);
    return rc < 0 ? rc : record(lanes, &lanes->lane[1], index, err);
}

/* Memory for more pictures; what was recorded is recorded anew. */
static int grow(struct lanes *lanes, int pictures, struct err *err)
{
    bool had[LANES_SIZES];
    for (int i = 0; i < LANES_SIZES; i++)
        had[i] = lanes->lane[0].graph[i] != NULL;
    drop_memory(lanes);
    int rc = make_memory(lanes, pictures, err);
    if (rc == 0)
        rc = warm_up(lanes, err);
    for (int i = 0; rc == 0 && i < LANES_SIZES; i++)
        if (had[i])
            rc = record_both(lanes, i, err);
    return rc;
}

int lanes_prepare(struct lanes *lanes, int batch, struct err *err)
{
    const int whole = size_index(piece_of(batch, 0));
    int rc = 0;
    if (1 << whole > lanes->capacity)
        rc = grow(lanes, 1 << whole, err);
    if (rc == 0 && !lanes->plain)
        rc = record_both(lanes, whole, err);
    if (rc == 0 && !lanes->plain && batch % LANES_PIECE != 0)
        rc = record_both(lanes, size_index(batch % LANES_PIECE), err);
    return rc;
}

/* The lane's last piece is out: nothing of it is in use. */
static int put_in(struct lanes *lanes, struct lane *lane, int pictures, const float *input,
                  struct err *err)
{
    const struct steps *s = lanes->steps;
    const int index = size_index(pictures), size = 1 << index;
    memcpy(lane->host_in, input, in_bytes(s, pictures));
    for (int i = pictures; i < size; i++)
        memcpy(lane->host_in + (size_t)i * s->in_values,
               input + (size_t)(pictures - 1) * s->in_values, in_bytes(s, 1));
    cudaError_t status = cudaMemcpyAsync(lane->in, lane->host_in, in_bytes(s, size),
                                         cudaMemcpyHostToDevice, lanes->inward);
    if (status == cudaSuccess)
        status = cudaEventRecord(lane->arrived, lanes->inward);
    if (status == cudaSuccess)
        status = cudaStreamWaitEvent(lanes->compute, lane->arrived, 0);
    if (status == cudaSuccess)
        status = lanes->plain ? launch_all(lanes, lane, size)
                              : cudaGraphLaunch(lane->graph[index], lanes->compute);
    if (status == cudaSuccess)
        status = cudaEventRecord(lane->computed, lanes->compute);
    if (status == cudaSuccess)
        status = cudaStreamWaitEvent(lanes->outward, lane->computed, 0);
    if (status == cudaSuccess)
        status = cudaMemcpyAsync(lane->host_out, lane->out, out_bytes(s, size),
                                 cudaMemcpyDeviceToHost, lanes->outward);
    if (status == cudaSuccess)
        status = cudaEventRecord(lane->left, lanes->outward);
    return device_failed(status, "running the network", err);
}

/* A vector that is put out passed no kernel that looks at it. */
static int check_finite(const struct lanes *lanes, const float *values, size_t count,
                        struct err *err)
{
    const struct steps *s = lanes->steps;
    if (s->step[s->count - 1].kind != STEP_TO_VECTOR)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return layer_not_finite(&lanes->steps->network->layers[s->network->count - 1], err);
    return 0;
}

static int take_out(struct lanes *lanes, const struct lane *lane, int pictures, float *output,
                    struct err *err)
{
    const struct steps *s = lanes->steps;
    const size_t size = (size_t)1 << size_index(pictures), each = s->out_values + s->heat_values;
    const float *out = lane->host_out + HEAD_BYTES / sizeof(float);
    const float *heat = out + size * s->out_values;
    int bad;
    int rc = device_failed(cudaEventSynchronize(lane->left), "running the network", err);
    if (rc < 0)
        return rc;
    memcpy(&bad, lane->host_out, sizeof bad);
    if (bad != EXECUTE_NONE_BAD)
        return layer_not_finite(&lanes->steps->network->layers[bad], err);
    for (size_t i = 0; i < (size_t)pictures; i++) {
        memcpy(output + i * each, out + i * s->out_values, s->out_values * sizeof *output);
        memcpy(output + i * each + s->out_values, heat + i * s->heat_values,
               s->heat_values * sizeof *output);
    }
    return check_finite(lanes, out, (size_t)pictures * s->out_values, err);
}

int lanes_run(struct lanes *lanes, int batch, const float *input, float *output, struct err *err)
{
    const size_t in = lanes->steps->in_values;
    const size_t out = lanes->steps->out_values + lanes->steps->heat_values;
    int rc = lanes_prepare(lanes, batch, err);
    if (rc < 0)
        return rc;
    for (int first = 0, turn = 0; rc == 0 && first < batch; first += LANES_PIECE, turn = 1 - turn) {
        const int before = first - LANES_PIECE;
        rc = put_in(lanes, &lanes->lane[turn], piece_of(batch, first), input + (size_t)first * in,
                    err);
        if (rc == 0 && before >= 0)
            rc = take_out(lanes, &lanes->lane[1 - turn], LANES_PIECE, output + (size_t)before * out,
                          err);
        if (rc == 0 && first + LANES_PIECE >= batch)
            rc = take_out(lanes, &lanes->lane[turn], piece_of(batch, first),
                          output + (size_t)first * out, err);
    }
    if (rc < 0) { /* or the next run would meet what is left of this one */
        cudaStreamSynchronize(lanes->inward);
        cudaStreamSynchronize(lanes->compute);
        cudaStreamSynchronize(lanes->outward);
    }
    return rc;
}
