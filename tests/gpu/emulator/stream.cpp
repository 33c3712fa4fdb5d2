// SPDX-License-Identifier: MIT
#include "tests/gpu/emulator/runtime.h"

#include <cstring>
#include <deque>
#include <set>
#include <thread>
#include <vector>

using namespace emulator;

// An event's recordings are numbered; one is over when the stream has come past it.
struct emulated_event {
    cudaStream_t stream;
    uint64_t recorded, done;
};

struct stream_step {
    work w;
    cudaEvent_t records, waits_for; // at most one is set
    uint64_t number;                // of the recording
};

struct emulated_stream {
    std::deque<stream_step> steps;
    bool blocking;
    bool capturing, spoilt;
    cudaStreamCaptureMode mode;
    std::thread::id owner; // of the capture
    std::vector<work> captured;
};

struct emulated_graph {
    std::vector<work> nodes;
};

struct emulated_graph_exec {
    std::vector<work> nodes;
};

namespace
{

enum schedule { AS_LATE_AS_ALLOWED, IN_TURN, AT_ONCE };

std::set<cudaStream_t> streams;
std::set<cudaEvent_t> events;
std::set<cudaGraph_t> graphs;
std::set<cudaGraphExec_t> execs;
schedule how = AS_LATE_AS_ALLOWED;

void drive(cudaStream_t stream, size_t steps_left);

// What is in front of an event is done, and with it the event.
void drive_to(cudaEvent_t event, uint64_t number)
{
    while (event->done < number && !is_broken())
        drive(event->stream, event->stream->steps.size() - 1);
}

void drive(cudaStream_t stream, size_t steps_left)
{
    while (stream->steps.size() > steps_left && !is_broken()) {
        const stream_step step = stream->steps.front();
        if (step.waits_for)
            drive_to(step.waits_for, step.number);
        stream->steps.pop_front();
        if (step.records)
            step.records->done = step.number;
        if (!step.w || is_broken())
            continue;
        memory_open(true);
        step.w();
        memory_open(false);
    }
}

// Lets other streams run a little, or everything, where the seed says so.
void let_run(cudaStream_t stream)
{
    if (how == AT_ONCE)
        drive(stream, 0);
    if (how == IN_TURN)
        for (cudaStream_t s : streams)
            if (dice(2))
                drive(s, s->steps.size() - s->steps.size() / (1 + dice(3)));
}

cudaError_t put(cudaStream_t stream, const stream_step &step)
{
    if (!streams.count(stream))
        return cudaErrorInvalidResourceHandle;
    stream->steps.push_back(step);
    let_run(stream);
    return is_broken() ? cudaErrorIllegalAddress : cudaSuccess;
}

// A call that waits, or otherwise may not be recorded.
cudaError_t may_wait()
{
    if (capture_forbids())
        return cudaErrorStreamCaptureUnsupported;
    return may_fail(false);
}

cudaError_t after_waiting()
{
    return result(is_broken() ? cudaErrorIllegalAddress : cudaSuccess);
}

} // namespace

namespace emulator
{

cudaError_t enqueue(cudaStream_t stream, const work &w)
{
    if (!streams.count(stream))
        return cudaErrorInvalidResourceHandle;
    if (!stream->capturing)
        return put(stream, {w, nullptr, nullptr, 0});
    stream->captured.push_back(w);
    return cudaSuccess;
}

bool capture_forbids()
{
    bool forbidden = false;
    for (cudaStream_t s : streams)
        if (s->capturing && s->mode != cudaStreamCaptureModeRelaxed &&
            (s->mode == cudaStreamCaptureModeGlobal || s->owner == std::this_thread::get_id())) {
            s->spoilt = true;
            forbidden = true;
        }
    return forbidden;
}

void streams_reset(uint64_t seed)
{
    how = (schedule)(seed % 3);
}

int streams_objects()
{
    return (int)(streams.size() + events.size() + graphs.size() + execs.size());
}

} // namespace emulator

cudaError_t cudaDeviceSynchronize(void)
{
    auto guard = lock();
    for (cudaStream_t s : streams)
        drive(s, 0);
    return after_waiting();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess)
        status = copy_check(to, from, bytes, kind);
    if (status != cudaSuccess || bytes == 0)
        return result(status);
    const void *host = kind == cudaMemcpyHostToDevice ? from : to;
    const bool pageable = kind != cudaMemcpyDeviceToDevice && !is_pinned(host, bytes);
    if (pageable && streams.count(stream) && stream->capturing)
        return result(cudaErrorStreamCaptureUnsupported);
    status = enqueue(stream, [=] { memcpy(to, from, bytes); });
    // From ordinary memory the real one has read, or written, everything when it returns.
    if (status == cudaSuccess && pageable)
        drive(stream, 0);
    return result(status);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    auto guard = lock();
    cudaError_t status = may_wait();
    if (status == cudaSuccess)
        status = copy_check(to, from, bytes, kind);
    if (status != cudaSuccess)
        return result(status);
    for (cudaStream_t s : streams)
        if (s->blocking)
            drive(s, 0);
    memory_open(true);
    memcpy(to, from, bytes);
    memory_open(false);
    return after_waiting();
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && !is_device(to, bytes))
        status = cudaErrorInvalidValue;
    if (status == cudaSuccess)
        status = enqueue(stream, [=] { memset(to, value, bytes); });
    return result(status);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    auto guard = lock();
    cudaError_t status = may_wait();
    if (status == cudaSuccess && !is_device(to, bytes))
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess)
        return result(status);
    memory_open(true);
    memset(to, value, bytes);
    memory_open(false);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    auto guard = lock();
    cudaError_t status = may_fail(true);
    if (status != cudaSuccess)
        return result(status);
    *stream = new emulated_stream();
    (*stream)->blocking = !(flags & cudaStreamNonBlocking);
    streams.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    auto guard = lock();
    if (!streams.count(stream))
        return result(cudaErrorInvalidResourceHandle);
    drive(stream, 0);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_wait();
    if (status == cudaSuccess && !streams.count(stream))
        status = cudaErrorInvalidResourceHandle;
    if (status != cudaSuccess)
        return result(status);
    drive(stream, 0);
    return after_waiting();
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    auto guard = lock();
    if (!streams.count(stream))
        return result(cudaErrorInvalidResourceHandle);
    let_run(stream);
    if (is_broken())
        return result(cudaErrorIllegalAddress);
    if (how == AS_LATE_AS_ALLOWED && dice(4) == 0) // or a loop around it would not end
        drive(stream, 0);
    return stream->steps.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && (!events.count(event) || !streams.count(stream)))
        status = cudaErrorInvalidResourceHandle;
    if (status == cudaSuccess && stream->capturing)
        status = cudaErrorStreamCaptureUnsupported; // forks are not emulated
    if (status == cudaSuccess && event->recorded > event->done)
        status = put(stream, {nullptr, nullptr, event, event->recorded});
    return result(status);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    auto guard = lock();
    cudaError_t status = may_fail(true);
    if (status != cudaSuccess)
        return result(status);
    *event = new emulated_event();
    events.insert(*event);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    auto guard = lock();
    if (!events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    cudaDeviceSynchronize(); // no step may name it any more
    for (cudaStream_t s : streams)
        for (stream_step &step : s->steps)
            if (step.records == event || step.waits_for == event)
                step.records = step.waits_for = nullptr;
    events.erase(event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && (!events.count(event) || !streams.count(stream)))
        status = cudaErrorInvalidResourceHandle;
    if (status == cudaSuccess && stream->capturing)
        status = cudaErrorStreamCaptureUnsupported;
    if (status != cudaSuccess)
        return result(status);
    event->stream = stream;
    return result(put(stream, {nullptr, event, nullptr, ++event->recorded}));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    auto guard = lock();
    cudaError_t status = may_wait();
    if (status == cudaSuccess && !events.count(event))
        status = cudaErrorInvalidResourceHandle;
    if (status != cudaSuccess)
        return result(status);
    drive_to(event, event->recorded);
    return after_waiting();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    auto guard = lock();
    if (!events.count(event))
        return result(cudaErrorInvalidResourceHandle);
    if (event->done < event->recorded)
        cudaStreamQuery(event->stream);
    if (is_broken())
        return result(cudaErrorIllegalAddress);
    return event->done == event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    auto guard = lock();
    if (!events.count(start) || !events.count(end))
        return result(cudaErrorInvalidResourceHandle);
    *ms = 1.0f; // there is no time here
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && (!streams.count(stream) || stream->capturing))
        status = cudaErrorInvalidResourceHandle;
    if (status != cudaSuccess)
        return result(status);
    stream->capturing = true;
    stream->spoilt = false;
    stream->mode = mode;
    stream->owner = std::this_thread::get_id();
    stream->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    auto guard = lock();
    if (!streams.count(stream) || !stream->capturing)
        return result(cudaErrorInvalidResourceHandle);
    stream->capturing = false;
    cudaError_t status = may_fail(true);
    if (status == cudaSuccess && stream->spoilt)
        status = cudaErrorStreamCaptureInvalidated;
    if (status != cudaSuccess)
        return result(status);
    *graph = new emulated_graph{stream->captured};
    graphs.insert(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    auto guard = lock();
    cudaError_t status = may_fail(true);
    if (status == cudaSuccess && !graphs.count(graph))
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess)
        return result(status);
    *exec = new emulated_graph_exec{graph->nodes};
    execs.insert(*exec);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && (!execs.count(exec) || !streams.count(stream)))
        status = cudaErrorInvalidValue;
    return result(status);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    auto guard = lock();
    cudaError_t status = may_fail(false);
    if (status == cudaSuccess && !execs.count(exec))
        status = cudaErrorInvalidValue;
    if (status != cudaSuccess)
        return result(status);
    const std::vector<work> nodes = exec->nodes;
    return result(enqueue(stream, [nodes] {
        for (const work &node : nodes)
            if (!is_broken())
                node();
    }));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    auto guard = lock();
    if (!graphs.erase(graph))
        return result(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    auto guard = lock();
    if (!execs.erase(exec))
        return result(cudaErrorInvalidValue);
    delete exec;
    return cudaSuccess;
}
