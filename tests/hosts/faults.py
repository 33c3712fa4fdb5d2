# SPDX-License-Identifier: MIT
"""What may go wrong between hosts, one at a time.

    @fault("worker-redis", 12)
    def worker_redis(fleet, rng):
        \"\"\"One line that says what.\"\"\"
        fleet.network.cut(…)
        yield                           # so many seconds pass; then all lines are whole again
        …                               # and what has to be done by hand
"""
import time
import types

from darkroom import wait_until

ALL = {}


def fault(name, seconds):
    def register(work):
        ALL[name] = types.SimpleNamespace(name=name, work=work, seconds=seconds,
                                          text=(work.__doc__ or "").split("\n")[0])
        return work
    return register


def workers(fleet):
    return sorted(fleet.names("worker"))


def redis_hosts(fleet):
    return fleet.fleet.hosts


def cut_all(fleet, one, others, both=True):
    for other in others:
        fleet.network.cut(one, other, both)


# ---- a worker ----

@fault("worker-redis", 12)
def worker_redis(fleet, rng):
    """a worker cut off from every Redis"""
    cut_all(fleet, rng.choice(workers(fleet)), redis_hosts(fleet))
    yield


@fault("worker-redis-deaf", 12)
def worker_redis_deaf(fleet, rng):
    """a worker whose commands reach Redis while no answer comes back"""
    one = rng.choice(workers(fleet))
    for host in redis_hosts(fleet):
        fleet.network.cut(host, one, both=False)
    yield


@fault("worker-s3", 12)
def worker_s3(fleet, rng):
    """two workers cut off from the object store"""
    for one in rng.sample(workers(fleet), 2):
        fleet.network.cut(one, "s3")
    yield


@fault("worker-s3-deaf", 12)
def worker_s3_deaf(fleet, rng):
    """two workers whose requests reach the object store while no answer comes back"""
    for one in rng.sample(workers(fleet), 2):
        fleet.network.cut("s3", one, both=False)
    yield


@fault("worker-nginx", 12)
def worker_nginx(fleet, rng):
    """two workers cut off from the dispatchers, but not from Redis"""
    for one in rng.sample(workers(fleet), 2):
        fleet.network.cut(one, "nginx")
    yield


@fault("worker-vanishes", 12)
def worker_vanishes(fleet, rng):
    """a worker's host is gone, and another one comes in its place"""
    one = rng.choice(workers(fleet))
    fleet.vanish(one)
    yield
    fleet.come_back(one)


# ---- a dispatcher ----

def dispatcher(fleet, rng):
    return rng.choice(sorted(fleet.names("dispatcher")))


@fault("dispatcher-cut-off", 15)
def dispatcher_cut_off(fleet, rng):
    """a dispatcher cut off from everything, with requests and streams open"""
    fleet.network.isolate(dispatcher(fleet, rng))
    yield


@fault("dispatcher-redis", 12)
def dispatcher_redis(fleet, rng):
    """a dispatcher that nginx reaches, cut off from every Redis"""
    cut_all(fleet, dispatcher(fleet, rng), redis_hosts(fleet))
    yield


@fault("dispatcher-s3", 12)
def dispatcher_s3(fleet, rng):
    """a dispatcher that nginx reaches, cut off from the object store"""
    fleet.network.cut(dispatcher(fleet, rng), "s3")
    yield


@fault("dispatcher-vanishes", 15)
def dispatcher_vanishes(fleet, rng):
    """a dispatcher's host is gone, and another one comes in its place"""
    one = dispatcher(fleet, rng)
    fleet.vanish(one)
    yield
    fleet.come_back(one)


# ---- Redis ----

def promoted(fleet, old):
    """Waits for another master."""
    return wait_until(lambda: (lambda now: now if now not in (None, old) else None)(fleet.fleet.master_host()),
                      "a replica is promoted", 60)


def whole_again(fleet):
    wait_until(fleet.fleet.whole, "Redis is whole again", 90)


def undone_until_now(fleet, since):
    """What was acknowledged since then, ends and cancellations but no jobs, may turn out to be undone."""
    fleet.notes.note("power-cut", policy="failover", window_s=1 + time.monotonic() - since)


@fault("master-vanishes", 10)
def master_vanishes(fleet, rng):
    """the Redis master's host is gone with its Sentinel; another one comes in its place"""
    since, old = time.monotonic(), fleet.fleet.master_host()
    fleet.vanish(old)
    undone_until_now(fleet, since)
    promoted(fleet, old)
    yield
    fleet.come_back(old)
    whole_again(fleet)


@fault("master-cut-off", 15)
def master_cut_off(fleet, rng):
    """the Redis master and its Sentinel cut off from everything"""
    since, old = time.monotonic(), fleet.fleet.master_host()
    fleet.network.isolate(old)
    undone_until_now(fleet, since)
    promoted(fleet, old)
    yield
    whole_again(fleet)


@fault("master-with-clients", 20)
def master_with_clients(fleet, rng):
    """the Redis master with half of the dispatchers and workers on one side, the rest and the other Redis on the other"""
    since, old = time.monotonic(), fleet.fleet.master_host()
    names = workers(fleet)
    here = [old, "dispatcher-0", *names[:len(names) // 2]]
    there = [*(host for host in redis_hosts(fleet) if host != old), "dispatcher-1", "notifier-0",
             *names[len(names) // 2:]]
    for one in here:
        cut_all(fleet, one, there)
    fleet.begun_apart = since
    promoted(fleet, old)
    yield
    undone_until_now(fleet, since)
    whole_again(fleet)


@fault("replica-cut-off", 12)
def replica_cut_off(fleet, rng):
    """a Redis replica cut off from everything"""
    master = fleet.fleet.master_host()
    fleet.network.isolate(rng.choice([host for host in redis_hosts(fleet) if host != master]))
    yield
    whole_again(fleet)


# ---- the notifier, the object store, all lines, all programs ----

@fault("notifier-mail", 15)
def notifier_mail(fleet, rng):
    """the notifier cut off from the mail server"""
    fleet.network.cut("notifier-0", "mail")
    yield


@fault("notifier-hooks-deaf", 12)
def notifier_hooks_deaf(fleet, rng):
    """webhooks arrive while no answer comes back"""
    fleet.network.cut("hooks", "notifier-0", both=False)
    yield


@fault("notifier-vanishes", 10)
def notifier_vanishes(fleet, rng):
    """the notifier's host is gone, and another one comes in its place"""
    fleet.vanish("notifier-0")
    yield
    fleet.come_back("notifier-0")


@fault("s3-away", 60)
def s3_away(fleet, rng):
    """nobody reaches the object store for a minute"""
    fleet.network.isolate("s3")
    yield


@fault("bad-lines", 25)
def bad_lines(fleet, rng):
    """every line loses 1 to 5 % of its frames and delays the others by 50 ms"""
    fleet.network.all_lines(rng.randrange(10, 51), 50)
    yield


@fault("rolling", 0)
def rolling(fleet, rng):
    """every dispatcher, worker and notifier replaced, one by one, each ending by itself"""
    for name in [*sorted(fleet.names("dispatcher")), *workers(fleet), *fleet.names("notifier")]:
        fleet.replace(name)
        time.sleep(1)
    yield
