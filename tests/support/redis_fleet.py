# SPDX-License-Identifier: MIT
"""Redis in the forms with several processes, on loopback, for tests.

    with Cluster(path, masters=3, replicas=1) as cluster:
        lab = Lab(redis=cluster, ...)
        cluster.migrate(cluster.slot_of("{q:00}"), cluster.masters()[1])
        cluster.kill(cluster.node_of("{q:00}"))
    with Sentinels(path) as fleet:
        lab = Lab(redis=fleet, ...)
        fleet.kill_master()

`url` is what --redis takes; `node.cli(...)` runs redis-cli there. Ports are the kernel's choice. Only what
Redis 6.2 has is used. Timings are those of a test: a master counts as dead after half a second to a second. With tls=Certificates(...) there are
no ports without TLS.
"""
import pathlib
import re
import socket
import subprocess
import tempfile

from darkroom import DEADLINE_S, wait_until

SLOTS = 16384
BUS_OFFSET = 10000


def free_port():
    """One whose port for a cluster's nodes among themselves, 10,000 above, is free as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port + BUS_OFFSET > 65535:
                continue
            try:
                bus.bind(("127.0.0.1", port + BUS_OFFSET))
            except OSError:
                continue
            return port


class Node:
    """One redis-server with a folder and a log of its own."""

    def __init__(self, path, name, *options, config=None, kind="redis-server", tls=None, host="127.0.0.1",
                 port=None, prefix=()):
        self.port, self.name, self.kind = port or free_port(), name, kind
        self.host, self.prefix = host, prefix  # prefix: of its command, where another host is meant
        self.path = path / name
        self.path.mkdir(parents=True, exist_ok=True)
        self.options = ["--port", self.port, "--bind", host, "--dir", self.path, "--logfile",
                        self.path / "log", *options]
        self.credentials = []
        if tls:
            self.options += ["--port", 0, "--tls-port", self.port, "--tls-replication", "yes", "--tls-cluster", "yes",
                             *tls.server_options()]
            self.credentials = tls.cli_options()
        self.config = self.path / "redis.conf"
        self.config.write_text(config or "")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([*self.prefix, "redis-server", str(self.config), *map(str, self.options)],
                                        stdin=subprocess.DEVNULL)
        wait_until(self.answers, f"{self.name} answers")
        return self

    def answers(self):
        assert self.running(), f"{self.name} ended"
        return self.cli("ping", check=False) == "PONG"

    def cli(self, *words, check=True):
        result = subprocess.run(["redis-cli", "-h", self.host, "-p", str(self.port), *self.credentials,
                                 *map(str, words)], capture_output=True, text=True, check=False)
        answer = result.stdout.strip()
        if check and (result.returncode != 0 or re.match(r"(ERR|WRONG|NO[A-Z]+|CLUSTERDOWN|MOVED) ", answer)):
            raise AssertionError(f"{self.name}: {words}: {answer}{result.stderr}")
        return answer

    def follows(self):
        """Whether it is a replica with its master. A sentinel that makes it one cuts its connections."""
        return "master_link_status:up" in self.cli("info", "replication", check=False)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.running():
            self.process.kill()
            self.process.wait(DEADLINE_S)


class Fleet:
    """What Cluster and Sentinels have in common."""

    def __init__(self, path=None):
        self.temporary = None if path else tempfile.TemporaryDirectory(prefix="darkroom-redis-")
        self.path = pathlib.Path(path or self.temporary.name)
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in self.nodes:
            node.stop()
        if self.temporary:
            self.temporary.cleanup()


class Cluster(Fleet):
    def __init__(self, path=None, masters=3, replicas=0, node_timeout_ms=1000, tls=None):
        super().__init__(path)
        self.scheme = "rediss" if tls else "redis"
        try:
            for i in range(masters * (1 + replicas)):
                self.nodes.append(Node(
                    self.path, f"node{i}", "--cluster-enabled", "yes", "--cluster-node-timeout", node_timeout_ms,
                    "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
                    "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0",
                    "--cluster-replica-validity-factor", "0", tls=tls).start())
            for i, node in enumerate(self.nodes):
                if i < masters:
                    node.cli("cluster", "addslots", *range(SLOTS * i // masters, SLOTS * (i + 1) // masters))
                node.cli("cluster", "set-config-epoch", i + 1)
                if i > 0:
                    node.cli("cluster", "meet", "127.0.0.1", self.nodes[0].port)
            wait_until(lambda: all(f"cluster_known_nodes:{len(self.nodes)}" in node.cli("cluster", "info")
                                   for node in self.nodes), "the nodes know each other")
            for i in range(masters, len(self.nodes)):
                master = self.id_of(self.nodes[i % masters])
                wait_until(lambda i=i, master=master: self.nodes[i].cli(
                    "cluster", "replicate", master, check=False) == "OK", "a replica finds its master")
            wait_until(self.whole, "the cluster is whole")
            for i in range(masters, len(self.nodes)):
                wait_until(self.nodes[i].follows, "a replica is in step")
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        return self.scheme + "+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def whole(self):
        alive = [node for node in self.nodes if node.running()]
        return all("cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}" in info
                   for info in (node.cli("cluster", "info", check=False) for node in alive))

    @staticmethod
    def id_of(node):
        return node.cli("cluster", "myid")

    def masters(self):
        return [node for node in self.nodes if node.running() and "role:master" in node.cli("info", "replication")]

    def slot_of(self, key):
        return int(self.nodes[-1].cli("cluster", "keyslot", key))

    def node_of(self, key):
        """The running master that serves the key, by the first node that knows one."""
        slot = self.slot_of(key)
        for asked in self.masters():
            for line in asked.cli("cluster", "nodes").splitlines():
                fields = line.split()
                if "master" not in fields[2] or "fail" in fields[2]:
                    continue
                for spread in fields[8:]:
                    first, _, last = spread.partition("-")
                    if not spread.startswith("[") and int(first) <= slot <= int(last or first):
                        port = int(fields[1].partition("@")[0].rpartition(":")[2])
                        return next(node for node in self.nodes if node.port == port)
        return None

    def cli(self, key, *words, check=True):
        """One command at the node that serves `key`."""
        return self.node_of(key).cli(*words, check=check)

    def migration(self, slot, target):
        """Moves a slot key by key; yields before each step, so that a test can look in between."""
        source = next(node for node in self.masters() if node is not target and self._owns(node, slot))
        target.cli("cluster", "setslot", slot, "importing", self.id_of(source))
        source.cli("cluster", "setslot", slot, "migrating", self.id_of(target))
        yield
        while keys := source.cli("cluster", "getkeysinslot", slot, 10).splitlines():
            for key in keys:
                answer = source.cli("migrate", "127.0.0.1", target.port, key, 0, 5000)
                assert answer in ("OK", "NOKEY"), answer
                yield
        for node in [target, source, *(n for n in self.masters() if n not in (source, target))]:
            node.cli("cluster", "setslot", slot, "node", self.id_of(target))
        yield

    def migrate(self, slot, target):
        for _ in self.migration(slot, target):
            pass

    @staticmethod
    def _owns(node, slot):
        mine = next(line for line in node.cli("cluster", "nodes").splitlines() if "myself" in line)
        for spread in mine.split()[8:]:
            first, _, last = spread.partition("-")
            if not spread.startswith("[") and int(first) <= slot <= int(last or first):
                return True
        return False

    def kill(self, node):
        node.kill()

    def wait_for_promotion(self, key, old):
        """Until another node serves the key."""
        return wait_until(lambda: (lambda now: now if now and now is not old else None)(self.node_of(key)),
                          "a replica is promoted")


class Sentinels(Fleet):
    def __init__(self, path=None, replicas=1, sentinels=3, name="lab", down_after_ms=500, tls=None):
        super().__init__(path)
        self.scheme = "rediss" if tls else "redis"
        self.name, self.sentinels = name, []
        server = ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
                  "--repl-diskless-sync-delay", "0"]
        try:
            master = Node(self.path, "server0", *server, tls=tls).start()
            self.nodes.append(master)
            for i in range(replicas):
                self.nodes.append(Node(self.path, f"server{i + 1}", *server, "--replicaof",
                                       "127.0.0.1", master.port, tls=tls).start())
            wait_until(lambda: all(node.follows() for node in self.nodes[1:]), "the replicas are in step")
            for i in range(sentinels):
                self.sentinels.append(Node(self.path, f"sentinel{i}", "--sentinel", config=(
                    f"sentinel monitor {name} 127.0.0.1 {master.port} {sentinels // 2 + 1}\n"
                    f"sentinel down-after-milliseconds {name} {down_after_ms}\n"
                    f"sentinel failover-timeout {name} 3000\n"), tls=tls).start())
            wait_until(lambda: all(
                f"slaves={replicas},sentinels={sentinels}" in node.cli("info", "sentinel")
                for node in self.sentinels), "the sentinels know each other")
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        return (self.scheme + "+sentinel://" + ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
                + f"/{self.name}")

    def master(self):
        """The running server that the sentinels name, once it says so itself; None until then."""
        asked = next(node for node in self.sentinels if node.running())
        words = asked.cli("sentinel", "get-master-addr-by-name", self.name).split()
        node = next((node for node in self.nodes if node.running() and str(node.port) == words[1]), None)
        return node if node and node.cli("role", check=False).startswith("master") else None

    def cli(self, _key, *words, check=True):
        return self.master().cli(*words, check=check)

    def kill_master(self):
        master = self.master()
        master.kill()
        return master

    def wait_for_promotion(self, _key, old):
        return wait_until(lambda: (lambda now: now if now and now is not old else None)(self.master()),
                          "a replica is promoted")

    def close(self):
        for node in self.sentinels:
            node.stop()
        super().close()
