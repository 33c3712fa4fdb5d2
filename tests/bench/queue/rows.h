/* SPDX-License-Identifier: MIT
 *
 * What several rows of queue_bench are made of, and the large ones.
 *
 *     struct mark mark = rows_begin();
 *     …
 *     rows_end(&mark, "drain", jobs);          // a rate, and Redis' processor time
 *
 * Prints to standard output. One thread. */
#ifndef DARKROOM_TESTS_BENCH_QUEUE_ROWS_H
#define DARKROOM_TESTS_BENCH_QUEUE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool rows_stats; /* what each command cost as well */

struct mark {
    double cpu_s, bytes;
    int64_t start_us;
};
struct mark rows_begin(void);
void rows_end(const struct mark *mark, const char *name, long jobs);

/* Submit to claimed by an idle worker. */
void rows_wake(const char *when);

/* Memory, claims, housekeeping and the longest calls with `jobs` queued. Redis gets a processor to
 * itself, or calls would last as long as the clients take it away. */
void rows_large(long jobs, long flows, size_t batch);

/* As many keys of one letter, set 128 at a time. */
void rows_bare(long keys);

#endif
