# SPDX-License-Identifier: MIT
"""Programs die at random moments while clients go on."""
import time

import places
from scenario import scenario

KINDS = ("worker", "dispatcher", "notifier")


@scenario("kills")
def random_kills(run):
    """kill -9 of workers, dispatchers and notifiers: nothing lost, twice or stuck"""
    jobs = run.options.jobs or (10**9 if run.options.minutes else run.scale(1500, 20000))
    kills = run.options.kills or run.scale(15, 200)
    end = time.monotonic() + 60 * run.options.minutes if run.options.minutes else None
    with run.plant(lease_ms=1000, workers=run.scale(3, 4), shards=2, hooks=True) as plant:
        begun = time.monotonic()
        some = {"visitors": 12, "window": 14, "cancel": 30, "erase": 20, "stream": 30, "chain": 50}
        # Visitors with mail, one half of them with keys for repeating a submit; and an account.
        plant.clients_start(jobs // 3, mail=70, **some)
        plant.clients_start(jobs // 3, mail=70, idempotent=True, **some)
        plant.clients_start(jobs - 2 * (jobs // 3), api_key=plant.api_key, idempotent=True, **some)
        if end:
            counts = plant.kill_some(lambda: time.monotonic() > end, KINDS, plant.at_random_times(0.6))
        else:
            counts = plant.kill_some(lambda: not plant.clients_busy(), KINDS, plant.spread_over(jobs, kills))
        checker = plant.finish(deadline_s=run.scale(90, 3600), stop=bool(end))
        run.figures.update(counts)
        run.figures["jobs_per_s"] = round(checker.sums["accepted"] / (plant.clients_t - begun))
        run.figures["leases_lost"] = places.counter(plant, "lost")
        run.judge(checker)
        run.expect(end or plant.kills >= kills, f"{plant.kills} kills only: too few jobs for {kills}")
