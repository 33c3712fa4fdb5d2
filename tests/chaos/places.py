# SPDX-License-Identifier: MIT
"""What Redis holds once a run is over: every record in exactly one place, and no place without one.

    for text in check(plant): ...                  # one line for each thing that is wrong

Not part of the history checker, which never looks in here. Version and state are a record's first
two characters in every layout.
"""
import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from resp import Resp  # noqa: E402

GOES_TO = {"Q": "lane", "D": "delay", "R": "lease", "S": "done", "F": "done", "C": "done"}


def shards(redis):
    return sorted({re.match(rb"\{q:[0-9a-f]{2}\}", key)[0].decode() for key in redis.scan("{q:??}protocol")})


def members(redis, key):
    return [member.decode() for member in redis.call("ZRANGE", key, 0, -1)]


def check_shard(redis, p, broken):
    where = collections.defaultdict(list)
    for place in ("delay", "lease", "done"):
        for member in members(redis, p + place):
            where[member].append(place)
    running = {member.decode() for member in redis.call("HKEYS", p + "run")}
    leased = {member for member in where if "lease" in where[member]}
    for member in running ^ leased:
        broken.append(f"{p}{member}: in one of lease and run only")
    dead_places = 0
    for lane in redis.scan(p + "r:*"):
        lane = lane.decode()
        tomb = p + "tomb:" + lane[len(p) + 2:]
        dead = collections.Counter(members(redis, tomb))
        dead_places += sum(dead.values())
        for member in redis.call("LRANGE", lane, 0, -1):
            member = member.decode()
            if dead[member]:
                dead[member] -= 1
            else:
                where[member].append("lane")
    keys = redis.scan(p + "j:*")
    states = collections.Counter()
    for start in range(0, len(keys), 500):
        part = keys[start:start + 500]
        for key, head in zip(part, redis.many([("GETRANGE", key, 0, 1) for key in part])):
            job, state = key.decode()[len(p) + 2:], head[1:2].decode()
            states[state] += 1
            wanted = GOES_TO.get(state, "no place at all")
            if where.pop(job, []) != [wanted]:
                broken.append(f"{p}j:{job}: state {state}, not in exactly one place")
    for member, found in where.items():
        broken.append(f"{p}{member}: in {found}, without a record")
    corrupt = members(redis, p + "corrupt")
    if corrupt:
        broken.append(f"{p}corrupt: {corrupt[:5]}")
    queued = int(redis.call("HGET", p + "c:", "queued") or 0)
    if queued != states["Q"]:
        broken.append(f"{p}c:: {queued} queued, there are {states['Q']}")
    return states


def check(plant):
    broken = []
    with Resp(plant.resp_url) as redis:
        for p in shards(redis):
            check_shard(redis, p, broken)
    return broken


def overdue_trash(plant):
    """Time passes: all trash is due."""
    with Resp(plant.resp_url) as redis:
        for p in shards(redis):
            due = redis.call("ZRANGEBYSCORE", p + "trash", "(0", "+inf")
            if due:
                redis.many([("ZADD", p + "trash", "XX", 0, key) for key in due])


def trash(plant):
    with Resp(plant.resp_url) as redis:
        return sum(redis.call("ZCARD", p + "trash") for p in shards(redis))


def counter(plant, field):
    """A counter of all models together, for a figure beside the verdict: how hard the run was."""
    with Resp(plant.resp_url) as redis:
        return sum(int(redis.call("HGET", key, field) or 0)
                   for p in shards(redis) for key in redis.scan(p + "c:?*"))


def charged(plant):
    """Jobs that a failed attempt or a crash was charged to: what their history tells beside losses."""
    def is_charge(line):
        words = line.split(b"\n")[0].split(b" ")[2:]
        return b"alone" in words if words[0] == b"lost" else words[-1] != b"released"
    with Resp(plant.resp_url) as redis:
        return [key.decode() for p in shards(redis) for key in redis.scan(p + "h:*")
                if any(map(is_charge, redis.call("LRANGE", key, 0, -1)))]
