# SPDX-License-Identifier: MIT
"""Redis dies; the power goes.

A kill -9 of redis-server loses nothing that it wrote: the kernel has it. A power cut is imitated by
killing everything at once and then taking away what was not synced: the append-only file is cut back
to where its last fsync began, and of the object store stays what was synced, name and contents. Who
synced what is noted by sync_log.c, preloaded into redis-server and the dispatchers.
"""
import pathlib
import shutil
import time

import places
from darkroom import wait_until
from redis_fleet import Sentinels
from resp import Resp
from scenario import quantiles, scenario


def durable(log_path):
    """(bytes of each file that are on disk, names that are on disk, names that came up at all)"""
    begun, sizes, named, folders, kept = {}, {}, {}, {}, set()
    for number, line in enumerate(log_path.read_text().splitlines()):
        word, *rest = line.split("\t")
        if word == "begin":
            begun[rest[0]] = (number, *rest[1:])
        elif word in ("mkdir", "move"):
            path = pathlib.Path(rest[0])
            named[path] = number
            kept.discard(path)
            folders.setdefault(path.parent, []).append(path)
            if word == "move":
                sizes[path] = sizes.pop(pathlib.Path(rest[1]), 0)
        elif rest[0] in begun:
            start, kind, path, *size = begun.pop(rest[0])
            if kind == "file":
                sizes[pathlib.Path(path)] = int(size[0])
            else:
                # Only what had its name before the sync began.
                waiting = folders.get(pathlib.Path(path), [])
                kept.update(one for one in waiting if named[one] < start)
                folders[pathlib.Path(path)] = [one for one in waiting if one not in kept]
    return sizes, kept, set(named)


def cut_objects(plant, log_path):
    """Takes from the store what a power cut would. Returns how many files that were."""
    sizes, kept, named = durable(log_path)
    root, gone = plant.objects, 0

    def there(path):
        while path != root:
            if path in named and path not in kept:
                return False
            path = path.parent
        return True
    for path in plant.stored():
        if not there(path) or sizes.get(path, 0) != path.stat().st_size:
            path.unlink()
            gone += 1
    # A folder that is not there either, with folders in it that were made as the power went; what is made
    # in its place later is another one.
    for path in sorted((path for path in named if path.is_dir() and not there(path)), reverse=True):
        if path.is_dir():
            shutil.rmtree(path)
    return gone


def cut_log(plant, log_path):
    """Cuts the append-only file back to its last fsync; returns how many bytes that took."""
    sizes, _, _ = durable(log_path)
    gone = 0
    folder = plant.path / "redis"
    # One file until Redis 6.2; since 7.0 a base that was synced as a whole, and what came after it.
    for path in (*folder.glob("*.aof"), *folder.glob("appendonlydir/*.incr.aof")):
        keep = sizes.get(path, 0)
        gone += path.stat().st_size - keep
        with open(path, "r+b") as file:
            file.truncate(keep)
    return gone


def power_cut(plant, policy, logs, whole):
    """Everything off, what was not synced gone, everything on again. Or only Redis' machine, while the
    others go on with what they believe."""
    names = [*plant.names("dispatcher"), *plant.names("worker", "notifier")] if whole else []
    begun = time.monotonic()
    for name in names:
        plant.kill(name)
    plant.kill("redis")
    time.sleep(0.1)  # for clients to write down what had reached them
    plant.notes.note("power-cut", policy=policy, window_s=2.0 + time.monotonic() - begun)
    gone = cut_log(plant, logs["redis"]), cut_objects(plant, logs["store"]) if whole else 0
    plant.redis_begin(*plant.redis_given)
    for name in names:
        plant.revive(name)
    return gone


def power_cuts(run, policy):
    cuts = run.scale(2, 20)
    with run.plant_with_sync_log(policy) as (plant, logs):
        plant.clients_start(10**9, processes=1, visitors=8, window=8, mail=30, cancel=20, erase=20)
        log_bytes = files = 0
        for number in range(cuts):
            time.sleep(run.rng.uniform(1, 2.5))
            gone = power_cut(plant, policy, logs, number % 2 == 0)
            log_bytes, files = log_bytes + gone[0], files + gone[1]
        time.sleep(1)
        checker = plant.finish(stop=True)
        run.figures.update(log_bytes_cut=log_bytes, files_cut=files)
        run.judge(checker)


@scenario("power-always")
def power_always(run):
    """power cuts under appendfsync always: nothing that was acknowledged is lost"""
    power_cuts(run, "always")


@scenario("power-everysec")
def power_everysec(run):
    """power cuts under appendfsync everysec: at most two seconds of it, and they are counted"""
    power_cuts(run, "everysec")
    run.expect(run.figures.get("log_bytes_cut", 0) > 0, "no cut took a byte: nothing was proved")


@scenario("redis")
def redis_kills(run):
    """kill -9 of redis-server and its restart, under load: nothing lost"""
    kills = run.scale(3, 50)
    with run.plant(lease_ms=1000, workers=3, redis_options=("--appendfsync", "everysec")) as plant:
        plant.clients_start(10**9, processes=1, visitors=8, window=10, mail=30, cancel=20, erase=20, stream=20, chain=50)
        for _ in range(kills):
            time.sleep(run.rng.uniform(0.5, 2.5))
            plant.kill("redis")
            plant.redis_begin(*plant.redis_given)
        run.judge(plant.finish(stop=True))
        run.figures["redis_kills"] = kills


@scenario("outage")
def outage(run):
    """Redis stopped for three leases while jobs run: none lost, none charged"""
    lease_ms, times = 600, run.scale(1, 20)
    with run.plant(lease_ms=lease_ms, workers=3, sizes=(16, 256)) as plant:
        plant.clients_start(10**9, processes=1, visitors=8, window=10, mail=20)
        for _ in range(times):
            time.sleep(run.rng.uniform(1, 2))
            plant.suspend("redis")
            time.sleep(3 * lease_ms / 1000)
            plant.resume("redis")
        checker = plant.finish(stop=True)
        run.judge(checker)
        run.figures.update(outages=times, leases_lost=places.counter(plant, "lost"))
        charged = places.charged(plant)
        run.expect(not charged, f"{len(charged)} jobs were charged: {charged[:3]}")
        run.expect(places.counter(plant, "lost") == 0, "leases ran out for an outage of ours")


@scenario("promote")
def promote(run):
    """a master dies, a replica is promoted: every worker consumes from it, and what was lost is counted"""
    taken = []
    with Sentinels() as fleet, run.plant(redis=fleet, lease_ms=2000, workers=3, device="ref", sizes=(64,),
                                         worker_options=("--batch", 1, "--depth", 2)) as plant:
        plant.clients_start(10**9, visitors=6, window=10, mail=20)
        for _ in range(run.scale(1, 10)):
            time.sleep(1.5)
            taken += promote_once(plant)
        run.judge(plant.finish(stop=True))
    run.figures["consuming_after_s"] = quantiles(taken)
    # A deadline of the protocol, with room for a busy machine; what it takes is among the figures.
    run.expect(taken and max(taken) < 10, f"a worker took {max(taken, default=0):.1f} s")


def promote_once(plant):
    """Kills the master; seconds from the promotion to each worker's first claim at the new one."""
    fleet = plant.fleet
    old = fleet.kill_master()
    killed = time.monotonic()
    heir = next(node for node in fleet.nodes if node is not old)
    waiting = {plant.worker_id(name): None for name in plant.names("worker")}

    def ask(*words):
        """Of the heir; a connection of before the promotion does not survive it."""
        try:
            with Resp(f"redis://127.0.0.1:{heir.port}/0") as redis:
                return redis.call(*words)
        except (EOFError, OSError):
            return None
    wait_until(lambda: (ask("ROLE") or [None])[0] == b"master", "a promotion")
    promoted = time.monotonic()
    seconds, micros = wait_until(lambda: ask("TIME"), "the time")
    promoted_ms = int(seconds) * 1000 + int(micros) // 1000
    # Acknowledged, and not yet copied to the replica when the master died.
    plant.notes.note("power-cut", policy="failover", window_s=1 + promoted - killed)

    def all_claimed():
        rows = ask("HGETALL", "{q:00}run") or []
        for value in rows[1::2]:
            worker, claimed_ms = value.decode().split(" ")[:2]
            if worker in waiting and int(claimed_ms) >= promoted_ms:
                waiting[worker] = waiting[worker] or time.monotonic() - promoted
        return all(waiting.values())
    wait_until(all_claimed, "every worker at work", 30)
    old.start()
    wait_until(old.follows, "the old master follows", 30)
    return list(waiting.values())
