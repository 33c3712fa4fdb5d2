# SPDX-License-Identifier: MIT
"""The fleet: a Plant (tests/chaos/plant.py) whose programs are on hosts of their own.

    with Fleet(network, path, workers=6, s3=True) as fleet:
        fleet.load_begin()
        fleet.vanish("worker-2"); fleet.come_back("worker-2")
        checker = fleet.finish(stop=True)

A program's name is its host's name. Clients and workers reach the dispatchers through nginx, by TLS; dispatchers, workers
and the notifier find Redis through its Sentinels; workers and clients fetch from the S3 server itself.
"""
import collections
import os
import signal
import subprocess

import places
from certificates import Certificates
from darkroom import BUILD, ROOT, wait_until
from nginx_front import NGINX, write
from plant import Plant
from watch import Watch

PORT, TLS_PORT = 8080, 443
NETWORK = "10.77.0.0/24"
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
S3 = ROOT / "tests" / "support" / "s3_server.sh"


def names(workers=6, redis=3, s3=True):
    """The hosts of such a fleet."""
    return ["client", "nginx", "dispatcher-0", "dispatcher-1", "notifier-0", "mail", "hooks",
            *(f"worker-{number}" for number in range(workers)), *(f"redis-{number}" for number in range(redis)),
            *(["s3"] if s3 else [])]


class Fleet(Plant):
    inside = NETWORK
    notifier_options = ("--smtp-allow-plain",)

    def __init__(self, network, path, redis, workers=6, s3=True, **options):
        self.network, self.files = network, path
        self.host = network.address("dispatcher-0")
        self.client_prefix = network.at("client")
        self.s3 = self.s3_begin() if s3 else None
        self.nginx_begin()
        super().__init__(
            redis=redis, workers=workers, notifiers=1, hooks=True, store=self.store_of_s3(),
            dispatcher_options=("--public-url", "https://nginx.test", "--redis-wait-replicas", 1), **options)
        self.watch = Watch(self.history)

    # ---- what is not Darkroom ----

    def s3_begin(self):
        """radosgw on the host "s3"; its environment."""
        folder = self.files / "s3"
        result = subprocess.run([*self.network.at("s3"), S3, "start", folder], capture_output=True, text=True,
                                env={**os.environ, "S3_HOST": self.network.address("s3")}, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return dict(line.split("=", 1) for line in (folder / "env").read_text().splitlines())

    def store_of_s3(self):
        return self.s3 and ["--store", f"s3://{self.s3['S3_BUCKET']}", "--s3-region", self.s3["S3_REGION"],
                            "--s3-endpoint", self.s3["S3_ENDPOINT"],
                            "--s3-credentials-file", self.s3["S3_CREDENTIALS_FILE"]]

    def nginx_begin(self):
        """With the shipped configuration. Every program here trusts its certificate, in this mount namespace."""
        self.tls = Certificates(self.files / "tls", "DNS:nginx.test")
        subprocess.run(["mount", "--bind", self.tls.ca, SYSTEM_AUTHORITIES], check=True)
        folder = self.files / "nginx"
        folder.mkdir()
        addresses = [f"{self.network.address(f'dispatcher-{number}')}:{PORT}" for number in range(2)]
        configuration = write(folder, self.tls, self.network.address("nginx"), 80, TLS_PORT, addresses)
        with open(folder / "log", "wb") as log:
            self.nginx = subprocess.Popen([*self.network.at("nginx"), NGINX, "-p", folder, "-c", configuration,
                                           "-e", "stderr"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def receivers_begin(self, hooks):
        with self.network.inside("mail"):
            self.mail_begin(self.network.address("mail"))
        with self.network.inside("hooks"):
            self.hooks_begin(self.network.address("hooks"), "hooks.test")

    def close(self):
        failures = super().close()
        self.nginx.terminate()
        self.nginx.wait()
        if self.s3:
            subprocess.run([S3, "stop", self.files / "s3"], check=True, capture_output=True)
        return failures

    # ---- programs on their hosts ----

    def start(self, name, arguments, environment=None):
        return super().start(name, [*self.network.at(name), *arguments], environment)

    def listen(self, name):
        return f"{self.network.address(name)}:{PORT}"

    def dispatcher_url(self, number):
        return "https://nginx.test"

    def servers(self):
        return f"nginx.test:{TLS_PORT}"

    def load_begin(self, per_second, visitors=8):
        """Visitors with mail, an account with an endpoint; each submit under a key, repeated until it is answered."""
        some = {"visitors": visitors, "window": 14, "cancel": 20, "erase": 20, "stream": 30, "chain": 50,
                "poll_s": 0.4, "give_up_s": 240, "repeats": 2000, "pace_s": 2 * visitors / per_second,
                "idempotent": True, "ca_file": self.tls.ca}
        self.clients_start(10**9, mail=150, **some)
        self.clients_start(10**9, api_key=self.api_key, **some)

    # ---- hosts that vanish ----

    def vanish(self, host):
        """No goodbye: nothing leaves the host any more, then everything on it is killed, then it is gone."""
        self.network.isolate(host, let_through=())
        if host in self.fleet.hosts:
            self.fleet.kill(host)
        else:
            self.kill(host)
        self.network.vanish(host)

    def come_back(self, host):
        """Another machine under the same address."""
        self.network.come_back(host)
        self.network.heal()
        if host in self.fleet.hosts:
            self.fleet.start(host)
        else:
            self.revive(host)

    def replace(self, name):
        """SIGTERM, until it has ended well; then another version's, or the same again."""
        program = self.programs.pop(name)
        status = program.stop(signal.SIGTERM)
        assert status == 0, f"{name} ended with {status}:\n{program.log[-2000:]}"
        self.revive(name)
        self.wait_ready(name)

    # ---- the end ----

    def settle(self, deadline_s=30):
        if self.s3:
            wait_until(lambda: self.trash_gone(), "the trash is gone", deadline_s)
        super().settle(deadline_s)

    def trash_gone(self):
        places.overdue_trash(self)
        return places.trash(self) == 0

    def inventory(self):
        """The bucket as it is. What a sweep removes when it is an hour old is counted instead: inputs of submits that
        had no answer, results of a lease that was lost."""
        if not self.s3:
            return super().inventory()
        keys = subprocess.run([BUILD / "tests" / "integration" / "bucket-ls", ""], check=True, capture_output=True,
                              text=True, env={**os.environ, **self.s3}).stdout.split()
        known = {event["id"] for event in self.watch.events("accepted")}
        kept, results = [], collections.defaultdict(list)
        for key in keys:
            kind, job, *rest = key.split("/")
            if kind == "results" and rest[-1] == "result.png":
                results[job].append(key)
            elif kind == "results" or job in known:
                kept.append(key)
        kept += [max(several, key=lambda key: int(key.split("/")[2])) for several in results.values()]
        self.left_for_the_sweep = len(keys) - len(kept)
        return [{"what": "object", "key": key} for key in sorted(kept)] + [{"what": "inventory"}]
