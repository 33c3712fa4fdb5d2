# SPDX-License-Identifier: MIT
"""Leases: workers that stop and go on, clocks that are wrong, jobs that kill, machines taken away."""
import collections
import re
import signal
import threading
import time

import places
import redis_program
from darkroom import BUILD, wait_until
from resp import Resp
from scenario import quantiles, scenario

SLOW = ("--batch", 1, "--depth", 3)


@scenario("frozen")
def frozen(run):
    """workers stopped with a completion in hand, past its lease, then let go: every one is refused"""
    wanted, lease_ms, victims = run.scale(10, 100), 600, 5
    verdicts, frozen_now, lock, enough = collections.Counter(), set(), threading.Lock(), threading.Event()

    def concerns(program, script):
        return script == "complete" and program in names and not enough.is_set()
    names = {f"worker-{number}" for number in range(victims)}
    with run.plant_with_wire(lease_ms=lease_ms, workers=victims + 2, sizes=(16, 192), device="ref") as (plant, wire):
        def on_command(program, script):
            if not concerns(program, script):
                return
            with lock:
                first = program not in frozen_now  # of the two that may deliver at once
                frozen_now.add(program)
            if first:
                plant.suspend(program)
            time.sleep(2.5 * lease_ms / 1000)
            if first:
                frozen_now.discard(program)
                plant.resume(program)

        def on_answer(program, script, reply):
            if concerns(program, script) and isinstance(reply(), list):
                with lock:
                    verdicts.update(reply())
        wire.on_command, wire.on_answer = on_command, on_answer
        plant.clients_start(10**9, visitors=8, window=10, mail=20)
        wait_until(lambda: verdicts[4] >= wanted, f"{wanted} late completions", run.scale(60, 400))
        enough.set()
        checker = plant.finish(stop=True)
        run.judge(checker)
        taken = sum(verdicts.values()) - verdicts[4]
        run.figures.update(late_completions=sum(verdicts.values()), refused=verdicts[4])
        run.expect(taken == 0, f"late completions were taken: {dict(verdicts)}")


@scenario("clocks")
def clocks(run):
    """workers' clocks an hour off, either way: no lease lost, and kills cost what they always do"""
    shim = str(BUILD / "tests" / "chaos" / "libclock_shift.so")
    shifts = {f"worker-{number}": {"LD_PRELOAD": shim, "DARKROOM_CLOCK_SHIFT_S": str(shift)}
              for number, shift in enumerate((3600, -3600, 0))}
    with run.plant(lease_ms=1000, workers=3, preload=shifts) as plant:
        plant.clients_start(run.scale(300, 10000), window=20, mail=50, cancel=20)
        plant.clients_wait(run.scale(60, 600))
        for name, shift in (("worker-0", 3600), ("worker-1", -3600)):
            ahead = plant.clock_of(name) - time.time()
            run.expect(abs(ahead - shift) < 60, f"{name} is {ahead:.0f} s ahead: the shim does nothing")
        lost = places.counter(plant, "lost")
        run.figures["leases_lost_without_a_kill"] = lost
        run.expect(lost == 0, f"{lost} leases lost though nobody died")
        plant.clients_start(run.scale(200, 5000), window=20)
        plant.kill_some(lambda: not plant.clients_busy(), ("worker",), plant.at_random_times(0.4))
        run.judge(plant.finish())
        run.figures["kills"] = plant.kills


@scenario("flush")
def script_flush(run):
    """SCRIPT FLUSH again and again under load, and now and then FUNCTION FLUSH: nobody notices"""
    with run.plant(lease_ms=1000, workers=3) as plant:
        plant.clients_start(run.scale(300, 10000), window=20, mail=50, cancel=20, erase=20, stream=20)
        flushes, functions = 0, redis_program.version() >= (7, 0)
        with Resp(plant.resp_url) as redis:
            while plant.clients_busy():
                redis.call("SCRIPT", "FLUSH")
                if functions and flushes % 10 == 0:
                    redis.call("FUNCTION", "FLUSH")
                flushes += 1
                time.sleep(0.02)
        run.judge(plant.finish())
        lost, charged = places.counter(plant, "lost"), places.charged(plant)
        run.figures.update(flushes=flushes, leases_lost=lost)
        run.expect(flushes > 10 and lost == 0 and not charged, f"{flushes} flushes, {lost} lost, charged {charged[:3]}")


@scenario("poison")
def poison(run):
    """a job that kills its worker is buried after three crashes alone, and no batch mate pays"""
    for _ in range(run.scale(1, 5)):
        poison_once(run, signal.SIGKILL)
        poison_once(run, signal.SIGSEGV)


def poison_once(run, how):
    with run.plant(lease_ms=500, workers=2, device="ref", sizes=(320,), worker_options=SLOW) as plant:
        jobs = [plant.offer(f"mate-{i}", "tiny-320", i) for i in range(2)]
        jobs.insert(1, plant.offer("poison", "tiny-320", 3, fate="failed:crashed"))
        jobs.append(plant.offer("mate-3", "tiny-320", 4))
        deaths, fate = [], None
        end = time.monotonic() + 60
        while not fate and time.monotonic() < end:
            holder = plant.holder(jobs[1])
            if holder and holder in plant.programs:
                deaths.append(plant.worker_id(holder))
                plant.kill(holder, how)
                plant.revive(holder)
                plant.wait_ready(holder)
            state = plant.job(jobs[1])
            fate = state if state["state"] in ("failed", "succeeded") else None
        for job in jobs:
            final = plant.outcome(job)
            run.expect(final["attempts"] == 0, f"{job['id']} was charged {final['attempts']} attempts")
        run.judge(plant.finish())
        run.figures["deaths"] = run.figures.get("deaths", 0) + len(deaths)
        run.expect(fate and (fate["error"] or {}).get("code") == "crashed", f"the poison: {fate}")
        reason = (fate and fate["error"] or {}).get("detail", "")
        run.expect("three" in reason and ("signal 11 " in reason) == (how == signal.SIGSEGV), f"the reason: {reason}")
        # The first time it may have been in company, which does not count.
        run.expect(3 <= len(deaths) <= 4 and len(set(deaths)) == len(deaths), f"it killed {deaths}")


@scenario("preempt")
def preempt(run):
    """ten preemptions leave a job's attempts as they were"""
    with run.plant(lease_ms=2000, workers=0, device="ref", sizes=(256,),
                   worker_options=("--batch", 1, "--depth", 200, "--fetchers", 1)) as plant:
        # A drain finishes what was fetched, so enough have to stand before the last for ten of them.
        jobs = [plant.offer(f"job-{i}", "tiny-256", i) for i in range(180)]
        for _ in range(10):
            plant.revive("worker-0")
            wait_until(lambda: plant.holder(jobs[-1]), "all claimed")
            status = plant.stop("worker-0")
            run.expect(status == 0, f"SIGTERM ended with {status}")
            run.expect(plant.job(jobs[-1])["state"] == "queued", "the last one was begun: too few jobs before it")
        plant.revive("worker-0")
        for job in jobs:
            final = plant.outcome(job)
            run.expect((final["state"], final["attempts"]) == ("succeeded", 0), f"{job['id']}: {final}")
        run.judge(plant.finish())
        run.figures["preemptions"] = 10


@scenario("latency")
def latency(run):
    """how soon a dead worker's jobs run elsewhere, and a running job's cancellation arrives"""
    lease_ms = run.scale(1000, 5000)
    with run.plant(lease_ms=lease_ms, workers=4, device="ref", sizes=(128,),
                   worker_options=(*SLOW, "--debug")) as plant:
        plant.clients_start(10**9, visitors=4, window=10)
        elsewhere, dropped, answered = [], [], []
        for _ in range(run.scale(2, 30)):
            elsewhere += kill_and_time(plant, run)
        for _ in range(run.scale(5, 100)):
            cancel_and_time(plant, dropped, answered)
        run.judge(plant.finish(stop=True, deadline_s=240))
        run.figures.update(lease_ms=lease_ms, elsewhere_s=quantiles(elsewhere), cancel_answered_s=quantiles(answered),
                           cancel_reached_the_worker_s=quantiles(dropped))


def kill_and_time(plant, run):
    """Seconds from the death of a worker to each of its jobs being with another one."""
    name = run.rng.choice(plant.names("worker"))
    with Resp(plant.resp_url) as redis:
        def held():
            rows = redis.call("HGETALL", "{q:00}run")
            return {rows[i]: rows[i + 1].split(b" ")[0].decode() for i in range(0, len(rows), 2)}
        worker = plant.worker_id(name)
        wait_until(lambda: worker in held().values(), f"{name} at work")
        plant.kill(name)
        begun = time.monotonic()
        left = {job for job, holder in held().items() if holder == worker}
        plant.revive(name)
        times = []
        while left and time.monotonic() < begun + 60:
            now = held()
            moved = {job for job in left if now.get(job, worker) != worker}
            times += [time.monotonic() - begun] * len(moved)
            left -= moved
            time.sleep(0.005)
        return times


def cancel_and_time(plant, dropped, answered):
    """A job of our own is cancelled while it runs: when the answer came, when its worker let go."""
    tag = f"cancel-{time.monotonic_ns()}"
    job = plant.offer(tag, "tiny-128", 0, cancels=True)
    while not (name := plant.holder(job)) and plant.look(job)["state"] in ("queued", "running"):
        time.sleep(0.002)
    program = plant.programs.get(name)
    if program is None:  # over already, or its worker is a dead one
        plant.outcome(job)
        return
    seen = len(program.log)
    begun = time.monotonic()
    if plant.cancel(job):
        answered.append(time.monotonic() - begun)
        line = re.compile(rf"job\.dropped job={job['id']}")
        wait_until(lambda: line.search(program.log[seen:]), f"{name} lets go", 20)
        dropped.append(time.monotonic() - begun)
    plant.outcome(job)
