/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/scale.h"

#include <math.h>

/* Fewer say little of the next ones. */
#define ENOUGH_JOBS 10
/* What must be to spare before a worker is wanted no more. */
#define SPARE_PART 0.03
#define SPARE 0.2
/* Below a worker in a thousand, from sums of floating point. */
#define GRAIN 0.001

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static int64_t within(int64_t value, int64_t least, int64_t most)
{
    if (value > most)
        value = most;
    return value < least ? least : value;
}

double scale_rate(const struct scale_evidence *evidence)
{
    if (evidence->finished >= ENOUGH_JOBS && evidence->worker_ms > 0)
        return (double)evidence->finished * 1000 / (double)evidence->worker_ms;
    double rate = 1000 / (double)evidence->cost_ms;
    if (evidence->service_ms <= 0)
        return rate;
    /* Little's law: what a worker holds is its rate times the time that a job stays. */
    double one = 1000 / (double)evidence->service_ms, held = 1;
    if (evidence->workers > 0)
        held = larger(1, (double)evidence->slots / (double)evidence->workers);
    return larger(one, smaller(rate, one * held));
}

static double arrivals_of(const struct scale_load *load)
{
    return load->arrivals >= 0 ? load->arrivals : (double)load->busy * load->rate;
}

double scale_need(const struct scale_load *load, const struct scale_policy *policy)
{
    if (load->paused)
        return 0;
    double target_s = (double)policy->target_wait_ms / 1000;
    double start_s = smaller((double)policy->start_ms / 1000, target_s);
    double arrivals = arrivals_of(load);
    double spare = (double)load->workers * load->rate - arrivals;
    double waiting = (double)load->queued - larger(spare, 0) * start_s;
    double rest_s = larger(target_s - start_s, target_s / 2);
    if (load->oldest_ms > policy->target_wait_ms)
        rest_s = target_s / 2;
    return (arrivals + larger(waiting, 0) / rest_s) / load->rate;
}

static int64_t whole(double need)
{
    return need < GRAIN ? 0 : (int64_t)smaller(ceil(need - GRAIN), 1e15);
}

int64_t scale_wanted(double need, int64_t workers, int64_t busy, const struct scale_policy *policy)
{
    int64_t enough = whole(need);
    int64_t plenty = enough > 0 ? whole(need * (1 + SPARE_PART) + SPARE) : 0;
    int64_t wanted = within(workers, enough, plenty);
    wanted = within(wanted, policy->least, policy->most);
    return wanted < busy ? busy : wanted;
}

void scale_judge(const struct scale_load *load, const struct scale_policy *policy,
                 struct scale_signal *out)
{
    double need = scale_need(load, policy), all = (double)load->workers * load->rate;
    int64_t wanted = scale_wanted(need, load->workers, load->busy, policy);
    if (!load->paused && load->queued > 0 && wanted == 0 && policy->most > 0)
        wanted = 1; /* however little there is to do */
    if (load->paused && wanted > load->workers)
        wanted = load->workers;
    *out = (struct scale_signal){
        .queued = load->queued,
        .running = load->running,
        .oldest_ms = load->oldest_ms,
        .drain_ms = load->queued == 0 ? 0
                    : load->workers == 0
                        ? -1
                        : (int64_t)smaller((double)load->queued * 1000 / all, 1e15),
        .wanted = wanted,
    };
}
