# SPDX-License-Identifier: MIT
"""Celery behind the roles of tests/bench/queue/compare.py; what to do comes in the environment.

    SOCKET=... JOBS=... MODE=... python3 celery_jobs.py                                     submits
    SOCKET=... JOBS=... MODE=... OUT=... python3 -m celery -A celery_jobs worker -P solo     works

Acknowledged late, as a job that must survive its worker has to be; results are not kept.
"""
import os
import signal
import sys
import time

import celery

SOCKET, JOBS, MODE = os.environ["SOCKET"], int(os.environ["JOBS"]), os.environ["MODE"]
OUT = os.environ.get("OUT", "")
PAD = "x" * 300

app = celery.Celery("celery_jobs", broker=f"redis+socket://{SOCKET}")
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=100,
                broker_connection_retry_on_startup=True)
waits, first = [], 0


def now_us():
    return time.time_ns() // 1000


def finish(text):
    with open(OUT, "w", encoding="ascii") as file:
        file.write(text)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def job(at, _pad):
    global first
    if MODE == "hang":
        with open(OUT, "a", encoding="ascii") as file:
            file.write(f"{os.getpid()} {now_us()}\n")
        time.sleep(600)
    first = first or now_us()
    waits.append(now_us() - at if at else 0)
    if len(waits) == JOBS:
        finish("\n".join(map(str, waits)) if MODE == "wake" else f"{first} {now_us()}")


def main():
    if MODE == "wake":
        for _ in range(JOBS):
            job.delay(now_us(), PAD)
            time.sleep(0.005)
        return
    with app.pool.acquire(block=True) as connection, app.amqp.Producer(connection) as producer:
        start = now_us()
        for _ in range(JOBS):
            job.apply_async((0, PAD), producer=producer)
        print((now_us() - start) / 1e6)


if __name__ == "__main__":
    sys.exit(main())
