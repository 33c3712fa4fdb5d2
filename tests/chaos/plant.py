# SPDX-License-Identifier: MIT
"""A Darkroom with everything twice, whose programs can be killed, stopped and brought back.

    with Plant(folder, lease_ms=1000, workers=3) as plant:
        clients = plant.clients_start(jobs=300, mail=100)
        plant.kill("worker-1"); plant.revive("worker-1")
        plant.finish(clients)                       # waits, takes the inventory, ends everything
        checker = plant.check()

redis-server, dispatchers `dispatcher-0…` on ports that stay theirs, `notifier-…`, `worker-…`, an SMTP
receiver, client processes. What was seen lies in plant.history, one file for each who saw it.
"""
import base64
import contextlib
import datetime
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import history  # noqa: E402
import nginx_front  # noqa: E402
import places  # noqa: E402
from checker import FINAL, Checker  # noqa: E402
from darkroom import BUILD, Lab, wait_until  # noqa: E402
from mail_server import MailServer, make_certificate  # noqa: E402
from resp import Resp  # noqa: E402
from webhook_server import WebhookServer  # noqa: E402
from workbench import Workbench, noise_png, weights  # noqa: E402

PICTURES = 5
ENDED = {"Your picture is ready": "succeeded", "Your picture could not be made": "failed"}


class Mails(list):
    """What the SMTP receiver keeps; each mail goes into the history instead of into memory."""

    def __init__(self, notes):
        super().__init__()
        self.notes = notes
        self.count = 0

    def append(self, mail):
        self.count += 1
        body = mail.message.get_body(("plain",)).get_content()
        self.notes.note("mail", to=str(mail.message["To"]), message_id=str(mail.message["Message-ID"]),
                        job=re.search(r"Picture ([0-9a-f]{34})", body)[1],
                        ended=ENDED.get(str(mail.message["Subject"]), "?"))


class Hooks(WebhookServer):
    """The webhook receiver: every request goes into the history. Some are refused, to be sent again."""

    def __init__(self, folder, notes, rng, host, name):
        super().__init__(make_certificate(folder, name), host=host)
        self.name = name
        self.notes, self.rng = notes, rng
        self.answer = lambda request: 503 if self.rng.random() < 0.05 else None

    def url(self, path="/", host=None):
        return super().url(path, host or self.name)

    def keep(self, request):
        body = json.loads(request.body)
        self.notes.note("hook", event=request.id, job=body["data"]["id"], kind=body["type"])


class Plant(Lab):
    inside = "127.0.0.0/8,::1/128"  # where all of it is
    notifier_options = ()
    client_prefix = ()  # of the clients' command

    def __init__(self, lease_ms=1000, dispatchers=2, notifiers=2, workers=3, seed=1, redis_options=(),
                 worker_options=(), dispatcher_options=(), sizes=(16,), max_attempts=20, preload=None,
                 redis_proxy=None, device="cpu", wild=False, redis=None, shards=1,
                 hooks=False, store=None, front=False, programs=None):
        super().__init__(dispatcher=False, redis=redis, store=store)
        self.seed, self.rng = seed, random.Random(seed)
        self.lease_ms, self.device = lease_ms, device
        self.preload = preload or {}  # program's name or kind → environment
        self.redis_proxy = redis_proxy
        self.recipes, self.clients = {}, []
        self.history = self.path / "history"
        self.history.mkdir()
        self.notes = history.History(self.history / "harness.jsonl", "harness")
        self.dispatcher_options = dispatcher_options
        self.worker_options = worker_options
        self.ports = {}
        self.front = nginx_front.free_port() if front else None  # of nginx, through which all go; else to the dispatchers
        self.executables = {"dispatcher": BUILD / "dispatcher" / "darkroom-dispatcher",
                            "notifier": BUILD / "dispatcher" / "darkroom-notifier",
                            "worker": BUILD / "worker" / "darkroom-worker", **(programs or {})}  # and of single names
        self.kills = 0
        self.clients_t = 0
        self.mail = self.hooks = None
        self.api_key = None
        self.shards = shards
        try:
            if redis_options or self.preload.get("redis"):
                self.stop("redis")
                self.redis_begin(*redis_options)
            self.models_make(sizes, max_attempts, wild)
            self.receivers_begin(hooks)
            for number in range(dispatchers):
                self.revive(f"dispatcher-{number}")
            for number in range(notifiers):
                self.revive(f"notifier-{number}")
            for number in range(workers):
                self.revive(f"worker-{number}")
            for name in list(self.programs):
                self.wait_ready(name)
            if front:
                self.front_begin()
            if hooks:
                self.hooks_register()
        except BaseException:
            self.close()
            raise

    def receivers_begin(self, hooks):
        self.mail_begin("127.0.0.1")
        if hooks:
            self.hooks_begin("127.0.0.1", "localhost")

    def mail_begin(self, host):
        self.mail = MailServer(host=host)
        self.mail.mails = Mails(history.History(self.history / "mail.jsonl", "mail"))

    def hooks_begin(self, host, name):
        self.hooks = Hooks(self.path, history.History(self.history / "hooks.jsonl", "hooks"), self.rng, host, name)

    @property
    def resp_url(self):
        """Where Redis is at this moment, for looking into it past all proxies."""
        if not self.fleet:
            return self.redis_url
        master = wait_until(self.fleet.master, "a master")
        return f"redis://{master.host}:{master.port}/0"

    def close(self):
        for client in self.clients:
            if client.poll() is None:
                client.kill()
                client.wait()
        for receiver in (self.mail, self.hooks):
            if receiver:
                receiver.close()
        # A stopped program hears no SIGTERM.
        for program in self.programs.values():
            if program.running():
                program.process.send_signal(signal.SIGCONT)
        return super().close()

    # ---- models and what to do with them ----

    def models_make(self, sizes, max_attempts, wild):
        """One model of each size with random weights, the smallest that the engine takes; and one whose
        numbers run away, so that each of its jobs fails."""
        bench = Workbench.__new__(Workbench)
        (self.models / "test-model.json").unlink()
        bench.path, bench.models = self.path, self.models
        self.work = {}
        for size in sizes:
            name = f"tiny-{size}"
            weights(self.models / f"{name}.safetensors", channels=2, blocks=1)
            bench.manifest(name, size, batch={"max": 8}, cost_ms=1,
                           max_attempts=max_attempts, retry={"backoff_ms": 50, "backoff_max_ms": 1000})
            self.work[name] = []
            for number in range(PICTURES):
                picture = noise_png(16, 16, number)
                expected = bench.expected(name, picture, device=self.device)
                again = bench.expected(name, expected, device=self.device)
                self.work[name].append({"picture": base64.b64encode(picture).decode(),
                                        "expect": history.digest(expected),
                                        "again": history.digest(again)})  # of the result
        if wild:
            weights(self.models / "wild.safetensors", channels=2, blocks=1, factor={"DownBlock.1.weight": 3e38})
            bench.manifest("wild", 16, cost_ms=1, max_attempts=max_attempts)
            self.work["wild"] = [{"picture": choice["picture"], "expect": None, "fate": "failed:corrupt"}
                                 for choice in self.work[name]]
        self.work_file = self.path / "work.json"
        self.work_file.write_text(json.dumps(self.work))

    def hooks_register(self):
        """An account with an endpoint: it hears of every job that is submitted with its key."""
        self.api_key = self.key("--per-minute", 0)["key"]
        answer = self.request("POST", "/v1/webhooks", token=self.api_key, body={
            "url": self.hooks.url("/jobs"), "events": ["job.succeeded", "job.failed", "job.cancelled"]})
        assert answer.status == 201, answer

    # ---- programs ----

    def redis_begin(self, *options):
        """redis-server as Lab starts it, with another fsync policy or under a shim."""
        self.redis_given = options
        redis = self.start("redis", [
            "redis-server", "--port", "0", "--unixsocket", self.redis_socket, "--unixsocketperm", "700",
            "--dir", self.path / "redis", "--appendonly", "yes", "--save", "",
            "--maxmemory-policy", "noeviction", "--auto-aof-rewrite-percentage", "0",
            *(options or ("--appendfsync", "always"))], self.preload.get("redis"))
        wait_until(lambda: self.redis_cli("ping", check=False) == "PONG", "redis answers")
        return redis

    def front_begin(self):
        folder = self.path / "nginx"
        folder.mkdir(mode=0o755)
        os.chmod(self.path, 0o755)
        configuration = nginx_front.write(folder, None, "127.0.0.1", nginx_front.free_port(), self.front,
                                          [f"127.0.0.1:{port}" for port in self.ports.values()])
        nginx = self.start("nginx", [nginx_front.NGINX, "-p", folder, "-c", configuration, "-e", "stderr"])
        self.port = self.front

        def answers():
            assert nginx.running(), nginx.log
            with contextlib.suppress(ConnectionRefusedError):
                return self.get("/healthz").status == 200
        wait_until(answers, "nginx answers")

    def arguments(self, name):
        kind, number = name.rsplit("-", 1)
        executable = self.executables.get(name) or self.executables[kind]
        redis = self.redis_proxy.url_for(name, self.redis_url) if self.redis_proxy else self.redis_url
        url = self.dispatcher_url(int(number))
        if kind == "dispatcher":
            port_file = self.path / f"{name}.port"
            port_file.unlink(missing_ok=True)
            return [executable, "--listen", self.listen(name), "--port-file", port_file, "--redis", redis,
                    "--models", self.models, "--secret-file", self.secret_file, "--worker-token-file",
                    self.worker_token_file, *self.store_options, "--lease-ms", self.lease_ms,
                    "--submits-per-minute", 0, "--max-flow-queued", 1000000, "--sweep-ms", 500,
                    "--trusted-proxies", self.inside, "--shards", self.shards,
                    "--webhook-allow", self.inside, *(["--public-url", url] if self.front else []), *self.dispatcher_options]
        if kind == "worker":
            return [executable, "--redis", redis, "--dispatcher", url,
                    "--models", self.models, "--worker-token-file", self.worker_token_file, "--lease-ms",
                    self.lease_ms, "--device", self.device, "--threads", 1, "--shards", self.shards,
                    *(self.worker_options or ("--batch", 8, "--depth", 8))]
        return [executable, "--redis", redis, "--public-url", url,
                "--models", self.models, "--secret-file", self.secret_file, "--mail-from",
                "darkroom@example.org", "--smtp", self.mail.url, "--mail-per-address-hour", 100,
                "--mail-lease-ms", 4000, "--smtp-timeout-ms", 2000, "--shards", self.shards, "--webhook-allow",
                self.inside, "--webhook-timeout-ms", 2000, "--webhook-lease-ms", 4000, "--webhook-retry-ms", 200,
                *(["--webhook-ca-file", self.hooks.ca_file] if self.hooks else []), *self.notifier_options]

    def listen(self, name):
        return f"127.0.0.1:{self.ports.get(name, 0)}"

    def dispatcher_url(self, number):
        """Half of the workers know the one dispatcher, half the other, where nothing is in front of them."""
        if self.front:
            return f"http://127.0.0.1:{self.front}"
        return f"http://127.0.0.1:{self.ports.get(f'dispatcher-{number % max(1, len(self.ports))}')}"

    def revive(self, name):
        """Starts a program as its kind is started; does not wait for it, save for a port."""
        kind = name.rsplit("-", 1)[0]
        program = self.start(name, self.arguments(name), self.preload.get(name) or self.preload.get(kind))
        if kind == "dispatcher" and name not in self.ports:
            self.wait_ready(name)
            self.ports[name] = int((self.path / f"{name}.port").read_text())
            self.port = self.ports["dispatcher-0"]
        return program

    def replace(self, name, executable, environment=None):
        """As an upgrade does it: it ends by itself, then another program runs under its name."""
        program = self.programs.pop(name)
        program.process.send_signal(signal.SIGTERM)
        status = program.process.wait(60)
        program.log_file.close()
        assert status == 0, f"{name} ended with {status}:\n{program.log[-3000:]}"
        self.executables[name], self.preload[name] = executable, environment
        self.revive(name)
        self.wait_ready(name)

    def wait_ready(self, name):
        if name != "redis":
            self.programs[name].wait_for_log(name.rsplit("-", 1)[0] + ".ready")

    def kill(self, name, with_signal=signal.SIGKILL):
        """At once, and gone when this returns."""
        program = self.programs.pop(name)
        assert program.running(), f"{name} had ended by itself:\n{program.log[-3000:]}"
        program.process.send_signal(with_signal)
        program.process.wait()
        program.log_file.close()
        self.kills += 1

    def suspend(self, name):
        """SIGSTOP, and until it stands."""
        process = self.programs[name].process
        process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", f"{name} stopped")

    def resume(self, name):
        self.programs[name].process.send_signal(signal.SIGCONT)

    def names(self, *kinds):
        return [name for name in self.programs if name.rsplit("-", 1)[0] in kinds]

    def kill_some(self, until, kinds, due):
        """Kills one program after another and revives it, while until() is false; due(kills so far) says
        whether it is time for the next."""
        counts = dict.fromkeys(kinds, 0)
        while not until():
            if not due(sum(counts.values())):
                time.sleep(0.02)
                continue
            name = self.rng.choice(self.names(*kinds))
            self.kill(name)
            counts[name.rsplit("-", 1)[0]] += 1
            self.revive(name)
        return counts

    def at_random_times(self, pause_s):
        """For kill_some: after pauses that are so long on average."""
        at = [0.0]

        def due(_):
            if time.monotonic() < at[0]:
                return False
            at[0] = time.monotonic() + self.rng.uniform(0, 2 * pause_s)
            return True
        return due

    def spread_over(self, jobs, kills):
        """For kill_some: so many kills, evenly among so many accepted jobs."""
        counted, read = [0], {}

        def due(done):
            for path in self.history.glob("client-*.jsonl"):
                with open(path, "rb") as file:
                    file.seek(read.get(path, 0))
                    news = file.read()
                read[path] = read.get(path, 0) + len(news)
                counted[0] += news.count(b'"what":"accepted"')
            return done < kills and counted[0] >= jobs * 0.98 * (done + 0.5) / kills
        return due

    # ---- clients ----

    def servers(self):
        """Where clients go, as clients.py takes it."""
        return ",".join(f"{self.host}:{port}" for port in ([self.front] if self.front else self.ports.values()))

    def clients_start(self, jobs, processes=1, **options):
        """Client processes that share `jobs`; options as of clients.py, in permille where they are odds."""
        first = len(self.clients)
        begun = []
        for number in range(first, first + processes):
            command = [sys.executable, HERE / "clients.py", "--history",
                       self.history / f"client-{number}.jsonl", "--who", f"c{number}", "--servers",
                       self.servers(), "--work", self.work_file,
                       "--jobs", jobs // processes + (number - first < jobs % processes), "--seed", self.seed]
            for name, value in options.items():
                command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
            with open(self.path / f"client-{number}.log", "ab") as log:
                begun.append(subprocess.Popen([str(word) for word in [*self.client_prefix, *command]], stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log))
        self.clients += begun
        return begun

    def clients_busy(self):
        return any(client.poll() is None for client in self.clients)

    def clients_wait(self, deadline_s=120, stop=False):
        for client in self.clients:
            if stop and client.poll() is None:
                client.send_signal(signal.SIGTERM)
        wait_until(lambda: not self.clients_busy(), "the clients' end", deadline_s)
        self.clients_t = time.monotonic()
        for number, client in enumerate(self.clients):
            log = (self.path / f"client-{number}.log").read_text()
            assert client.returncode == 0 and not log, f"client {number}: {client.returncode}\n{log[-3000:]}"

    # ---- a job of one's own, written down like those of the clients ----

    def offer(self, tag, model, number, **plan):
        choice = self.work[model][number % PICTURES]
        self.notes.note("submit", tag=tag, expect=choice["expect"], model=model, **plan)
        answer = self.submit(model=model, input=choice["picture"])
        assert answer.status == 202, answer
        self.notes.note("accepted", tag=tag, id=answer.json["id"])
        return answer.json

    def look(self, job):
        now = self.job(job)
        self.notes.note("seen", id=job["id"], state=now["state"], attempts=now["attempts"],
                        code=(now["error"] or {}).get("code"), via="poll")
        return now

    def cancel(self, job):
        answer = self.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        state = answer.json["state"] if answer.status == 200 else None
        self.notes.note("cancel", id=job["id"], status=answer.status, state=state)
        return answer.status == 200

    def outcome(self, job, deadline_s=90):
        """Waits for the job's end; fetches what there is."""
        now = wait_until(lambda: (lambda now: now if now["state"] in FINAL else None)(self.look(job)),
                         f"the end of {job['id']}", deadline_s)
        if now["state"] == "succeeded":
            link = self.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).headers["Location"]
            data = self.get(link).body
            self.notes.note("result", id=job["id"], sha256=history.digest(data), bytes=len(data))
        return now

    # ---- who is who, for a harness that wants to hit the right one ----

    def worker_id(self, name):
        self.wait_ready(name)
        return re.search(r"worker\.ready worker=(w-[0-9a-f]+)", self.programs[name].log)[1]

    def holder(self, job):
        """The name of the worker that has a lease on the job, or None."""
        with Resp(self.resp_url) as redis:
            run = redis.call("HGET", "{q:00}run", job["id"][2:14])
        worker = run and run.split(b" ")[0].decode()
        return next((name for name in self.names("worker") if worker and self.worker_id(name) == worker), None)

    def clock_of(self, name):
        """Seconds since 1970 as a program's last line of log has it."""
        stamp = re.findall(r"^(\S+)Z ", self.programs[name].log, re.MULTILINE)[-1]
        return datetime.datetime.fromisoformat(stamp + "+00:00").timestamp()

    # ---- the end ----

    def settle(self, deadline_s=30):
        """Lets notifications arrive and time pass for what may be deleted later, then looks."""
        end = time.monotonic() + deadline_s
        while any(kind in ("mail", "hook") for kind, _ in self.check().violations):
            if time.monotonic() > end:
                break
            time.sleep(0.3)
        self.age(deadline_s)
        # A sweep takes its time over a large store: a page of 128 each tenth of a second.
        end = time.monotonic() + deadline_s + 0.01 * len(self.stored())
        while any(kind == "orphan" for kind, _ in self.check(self.inventory()).violations):
            if time.monotonic() > end:
                break
            time.sleep(1)
        for event in self.inventory():
            self.notes.note(**event)

    def inventory(self):
        """The store as it is, as events."""
        keys = {path.relative_to(self.objects).as_posix() for path in self.stored()}
        return [{"what": "object", "key": key} for key in sorted(keys) if not key.startswith(".tmp")] + [
            {"what": "inventory"}]

    def age(self, deadline_s):
        """What is kept for a while because somebody may still be uploading it: the while is over. The
        sweep looks at what is older than an hour; the rest is in the trash, not yet due."""
        past = time.time() - 7200
        for path in self.stored():
            try:
                os.utime(path, (past, past))
            except FileNotFoundError:
                pass
        end = time.monotonic() + deadline_s
        quiet = 0
        before = None
        while quiet < 5 and time.monotonic() < end:
            places.overdue_trash(self)
            now = len(self.stored())
            quiet = quiet + 1 if now == before and not places.trash(self) else 0
            before = now
            time.sleep(0.3)

    def check(self, more=()):
        return Checker(history.read(self.history) + list(more))

    def finish(self, deadline_s=120, stop=False):
        """Clients to their end, the inventory, Redis' own consistency. Returns the checker."""
        self.clients_wait(deadline_s, stop)
        self.settle()
        checker = self.check()
        for text in places.check(self):
            checker.violate("place", text)
        for line in self.fsck():
            job_id = re.match(r"results/([0-9a-f]{34})/", line)
            # An erasure that a power cut undid: the record is there again, its pictures are gone.
            if job_id and checker.erasure_undone(job_id[1]):
                checker.sums["erasures-undone"] += 1
            else:
                checker.violate("place", f"fsck: {line}")
        return checker

    def fsck(self):
        """What `darkroom fsck` finds: records, places, counters, and the store beside them."""
        result = subprocess.run(
            [BUILD / "dispatcher" / "darkroom", "fsck", "--shards", str(self.shards), "--redis", self.redis_url,
             *self.store_options, "--secret-file", self.secret_file],
            capture_output=True, text=True, timeout=1200, check=False)
        lines = (result.stdout + result.stderr).splitlines()
        # The last line is the sum.
        return lines[:-1][:50] if result.returncode == 1 else lines if result.returncode else []


def in_background(work, *arguments):
    """Runs work on a thread; join() gives its result or raises what it raised."""
    class Task(threading.Thread):
        def run(self):
            try:
                self.value, self.error = work(*arguments), None
            except BaseException as error:  # handed to whoever waits
                self.value, self.error = None, error

        def result(self):
            self.join()
            if self.error:
                raise self.error
            return self.value
    task = Task(daemon=True)
    task.start()
    return task
