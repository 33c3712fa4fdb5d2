# SPDX-License-Identifier: MIT
"""Programs are replaced by another version, one by one, while clients go on."""
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

import places
from darkroom import BUILD, ROOT
from nginx_front import NGINX
from resp import Resp
from scenario import scenario

PARTS = {"dispatcher": "dispatcher/darkroom-dispatcher", "notifier": "dispatcher/darkroom-notifier",
         "worker": "worker/darkroom-worker"}
NGINX_FORGIVES_S = 3.1  # fail_timeout of deploy/nginx/upstream.conf, which counts whole seconds
ORDER = ("worker", "notifier", "dispatcher")  # docs/operations.md, "Upgrading"


def own():
    return {kind: BUILD / path for kind, path in PARTS.items()}


def next_version():
    """The next version of the protocol, as far as scripts and what stands in Redis go."""
    return {kind: BUILD / "tests" / "integration" / f"next-{kind}" for kind in PARTS}, {"DARKROOM_TEST_PROTOCOL": "3"}


@contextlib.contextmanager
def built_from(revision):
    """The programs of another revision, made in a work tree that goes again."""
    def run(*command):
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, (command, (result.stdout + result.stderr)[-3000:])
    with tempfile.TemporaryDirectory(prefix="darkroom-old-") as folder:
        tree = pathlib.Path(folder) / "tree"
        run("git", "-C", ROOT, "worktree", "add", "--detach", tree, revision)
        try:
            run("meson", "setup", tree / "build", tree, "-Dcuda=disabled", "-Dtests=false", "-Dweb=disabled")
            run("ninja", "-C", tree / "build", f"-j{os.cpu_count()}", *PARTS.values())
            yield {kind: tree / "build" / path for kind, path in PARTS.items()}
        finally:
            run("git", "-C", ROOT, "worktree", "remove", "--force", tree)


class Upgrade:
    """Replaces programs one after the other, and gives nginx its time between two dispatchers."""

    def __init__(self, plant, run):
        self.plant, self.run = plant, run
        self.forgiven_t = 0

    def replace(self, kinds, executables, environment=None, most=None):
        """Of each kind in turn, `most` or all."""
        for kind in kinds:
            for name in sorted(self.plant.names(kind))[:most]:
                if kind == "dispatcher":
                    steady(self.plant, self.forgiven_t - time.monotonic())
                begun = time.monotonic()
                self.plant.replace(name, executables[kind], environment)
                now = time.monotonic()
                self.run.figures.setdefault(f"{kind}_s", []).append(round(now - begun, 2))
                if kind == "dispatcher":
                    self.forgiven_t = now + NGINX_FORGIVES_S


def stamps(plant):
    with Resp(plant.resp_url) as redis:
        return {redis.call("GET", f"{p}protocol").decode() for p in places.shards(redis)}


def steady(plant, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert plant.clients_busy(), "the clients have ended"
        time.sleep(0.05)


@scenario("upgrade")
def rolling_upgrade(run):
    """workers, notifier and dispatchers give way to another version and back: no request fails, nothing is lost or twice"""
    if not NGINX:
        run.expect(False, "nginx is not installed")
        return
    with contextlib.ExitStack() as stack:
        revision = run.options.upgrade_from
        first = stack.enter_context(built_from(revision)) if revision else own()
        second, environment = (own(), None) if revision else next_version()
        plant = stack.enter_context(run.plant(
            lease_ms=5000, workers=run.scale(2, 4), notifiers=1, shards=2, hooks=True, front=True, programs=first))
        upgrade, before = Upgrade(plant, run), stamps(plant)
        some = {"visitors": run.scale(3, 6), "window": run.scale(2, 6), "poll_s": 0.2, "mail": 70, "cancel": 20, "stream": 30, "chain": 30}
        plant.clients_start(10**6, **some)
        plant.clients_start(10**6, api_key=plant.api_key, **some)
        steady(plant, run.scale(0.5, 5))
        upgrade.replace(ORDER, second, environment)
        steady(plant, run.scale(0.5, 10))
        run.expect(stamps(plant) == before if revision else stamps(plant) == {"3 2"}, f"in Redis stands {stamps(plant)}")
        # And back, as when the new version was a mistake.
        upgrade.replace(reversed(ORDER), first, most=run.scale(1, None))
        steady(plant, run.scale(0.2, 5))
        checker = plant.finish(deadline_s=60, stop=True)
        run.figures["leases_lost"] = places.counter(plant, "lost")
        run.judge(checker)
        run.expect(not places.charged(plant), "a job was charged for it")
        failed = sum(checker.sums[name] for name in ("refused", "unanswered", "broken-requests"))
        # Dispatchers from before 2026-11-22 drop whom the kernel has let in.
        run.expect(revision or failed == 0, f"{failed} requests failed")
