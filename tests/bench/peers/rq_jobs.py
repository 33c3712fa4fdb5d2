# SPDX-License-Identifier: MIT
"""RQ behind the roles of tests/bench/queue/compare.py; what to do comes in the environment.

    SOCKET=... JOBS=... MODE=... [OUT=...] python3 rq_jobs.py submit|work

The worker is the one that forks for each job, RQ's own default, except where starts are timed: there
the times are taken in the child and kept in Redis.
"""
import os
import sys
import time

import redis
import rq

SOCKET, JOBS, MODE = os.environ["SOCKET"], int(os.environ["JOBS"]), os.environ["MODE"]
OUT = os.environ.get("OUT", "")
PAD = "x" * 300


def now_us():
    return time.time_ns() // 1000


def job(at, _pad):
    if MODE == "hang":
        with open(OUT, "a", encoding="ascii") as file:
            file.write(f"{os.getppid()} {now_us()}\n")
        time.sleep(600)
    with open(OUT + ".jobs", "a", encoding="ascii") as file:
        file.write(f"{now_us()} {now_us() - at}\n")


def submit(queue):
    if MODE == "wake":
        for _ in range(JOBS):
            queue.enqueue("rq_jobs.job", now_us(), PAD)
            time.sleep(0.02)
        return
    start = now_us()
    for done in range(0, JOBS, 500):
        many = [rq.Queue.prepare_data("rq_jobs.job", args=(0, PAD)) for _ in range(min(500, JOBS - done))]
        queue.enqueue_many(many)
    print((now_us() - start) / 1e6)


def count_lines(path):
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        return []


def work(queue):
    worker = rq.Worker([queue], connection=queue.connection, log_job_description=False)
    rq.logutils.setup_loghandlers("ERROR")
    if MODE == "hang":
        worker.work(with_scheduler=False)
        return
    while len(count_lines(OUT + ".jobs")) < JOBS:
        worker.work(burst=True, logging_level="ERROR") if MODE == "count" else worker.work(max_jobs=JOBS, logging_level="ERROR")
    lines = count_lines(OUT + ".jobs")
    with open(OUT, "w", encoding="ascii") as file:
        file.write("\n".join(line[1] for line in lines) if MODE == "wake" else f"{lines[0][0]} {now_us()}")


def main():
    queue = rq.Queue("bench", connection=redis.Redis(unix_socket_path=SOCKET))
    if sys.argv[1] == "submit":
        submit(queue)
    else:
        work(queue)


main() if __name__ == "__main__" else None
