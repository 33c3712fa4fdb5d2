# SPDX-License-Identifier: MIT
"""Three hosts with a redis-server and a Sentinel each, configured as deploy/redis has it.

    redis = RedisHosts(network, ["redis-0", "redis-1", "redis-2"], path)
    Plant(redis=redis)                                  # .url, .master(), .cli() as of redis_fleet.Sentinels
    redis.kill("redis-1"); redis.start("redis-1")       # the host's server and Sentinel
"""
import collections

from darkroom import ROOT, wait_until
from redis_fleet import Fleet, Node

FILES = ROOT / "deploy" / "redis"
PORT, SENTINEL_PORT = 6379, 26379
NAME = "darkroom"


class RedisHosts(Fleet):
    def __init__(self, network, hosts, path):
        super().__init__(path)
        self.network, self.hosts = network, hosts
        self.servers, self.sentinels = {}, {}
        first = network.address(hosts[0])
        for host in hosts:
            follow = "" if host == hosts[0] else f"replicaof {first} {PORT}\n"
            self.servers[host] = self.node(host, "server", PORT, (
                f"include {FILES}/redis.conf\ninclude {FILES}/replicated.conf\nprotected-mode no\n{follow}"))
            text = (FILES / "sentinel.conf").read_text().replace("10.0.0.1 6379", f"{first} {PORT}")
            self.sentinels[host] = self.node(host, "sentinel", SENTINEL_PORT, text + "protected-mode no\n", "--sentinel")
        try:
            for host in hosts:
                self.servers[host].start()
            wait_until(lambda: all(self.servers[host].follows() for host in hosts[1:]), "the replicas are in step")
            for host in hosts:
                self.sentinels[host].start()
            wait_until(self.whole, "the sentinels know each other")
        except BaseException:
            self.close()
            raise

    def node(self, host, kind, port, config, *options):
        node = Node(self.path, f"{host}-{kind}", *options, config=config, host=self.network.address(host), port=port,
                    prefix=self.network.at(host))
        self.nodes.append(node)
        return node

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(self.network.address(host) for host in self.hosts) + "/" + NAME

    def whole(self):
        """Every server is there and follows the master, every Sentinel knows all of them."""
        if not all(node.running() for node in self.nodes):
            return False
        followers = sum(node.follows() for node in self.servers.values())
        return followers == len(self.hosts) - 1 and all(
            f"status=ok,address={self.address_named(node)},slaves={len(self.hosts) - 1},sentinels={len(self.hosts)}"
            in node.cli("info", "sentinel", check=False) for node in self.sentinels.values())

    @staticmethod
    def address_named(sentinel):
        return ":".join(sentinel.cli("sentinel", "get-master-addr-by-name", NAME, check=False).split())

    def master_host(self):
        """The host whose server most Sentinels name, once it calls itself a master; None until then."""
        named = collections.Counter(self.address_named(node) for node in self.sentinels.values() if node.running())
        address, votes = named.most_common(1)[0] if named else ("", 0)
        if votes <= len(self.hosts) // 2:
            return None
        host = next((host for host in self.hosts if f"{self.network.address(host)}:{PORT}" == address), None)
        if host is None or not self.servers[host].running():
            return None
        return host if self.servers[host].cli("role", check=False).startswith("master") else None

    def master(self):
        host = self.master_host()
        return self.servers[host] if host else None

    def cli(self, _key, *words, check=True):
        return wait_until(self.master, "a master").cli(*words, check=check)

    def kill(self, host):
        self.sentinels[host].kill()
        self.servers[host].kill()

    def start(self, host):
        self.servers[host].start()
        self.sentinels[host].start()
