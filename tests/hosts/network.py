# SPDX-License-Identifier: MIT
"""Hosts on one machine: a network namespace each, joined by a switch of our own (switch.c).

    network = Network(["nginx", "worker-0", "redis-0"], seed=7)     # and "here", where this program is
    network.address("redis-0")                            # "10.77.0.3"
    Popen([*network.at("redis-0"), "redis-server", …])    # runs there, under its own process id
    with network.inside("mail"):                          # a socket made in here is of that host
        server = MailServer(host=network.address("mail"))
    network.cut("worker-0", "redis-0")                    # both ways: frames vanish, nobody is told
    network.cut("worker-0", "redis-0", both=False)        # one way
    network.all_lines(loss_permille=20, delay_ms=50)
    network.heal()
    network.vanish("worker-0"); network.come_back("worker-0")   # after its processes were killed: the namespace,
                                                          # its connections and its memory of them, new ones later

Wants to be alone in a mount and a network namespace (run.sh), which take everything with them when they end.
"""
import contextlib
import ctypes
import os
import pathlib
import subprocess

from darkroom import BUILD

HERE = "here"
NAMESPACES = pathlib.Path("/run/netns")
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Network:
    def __init__(self, names, seed=1):
        self.ports = {name: number for number, name in enumerate([HERE, *names], 1)}
        assert len(self.ports) < 63, "more hosts than the switch has ports"
        self.switch = subprocess.Popen([BUILD / "tests" / "hosts" / "switch"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.own = os.open("/proc/self/ns/net", os.O_RDONLY)
        NAMESPACES.mkdir(exist_ok=True)
        # For every program here: names without a name server. This mount namespace is ours alone.
        names = "".join(f"{self.address(name)} {name} {name}.test\n" for name in self.ports)
        (NAMESPACES.parent / "hosts").write_text("127.0.0.1 localhost\n" + names)
        subprocess.run(["mount", "--bind", NAMESPACES.parent / "hosts", "/etc/hosts"], check=True)
        ip("link", "set", "lo", "up")
        self.tell(f"seed {seed}")
        for name in self.ports:
            self.plug_in(name)

    def close(self):
        self.switch.stdin.close()
        self.switch.wait()
        os.close(self.own)

    def tell(self, order):
        self.switch.stdin.write(order + "\n")
        self.switch.stdin.flush()
        answer = self.switch.stdout.readline()
        assert answer == "ok\n", f"the switch says {answer!r} to {order!r}"

    def address(self, name):
        return f"10.77.0.{self.ports[name]}"

    def at(self, name):
        """What goes before a command that is to run on the host."""
        return ["nsenter", f"--net={NAMESPACES / name}", "--"] if name != HERE else []

    @contextlib.contextmanager
    def inside(self, name):
        """This thread is on the host: sockets made meanwhile stay there."""
        where = os.open(NAMESPACES / name, os.O_RDONLY)
        try:
            assert LIBC.setns(where, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            assert LIBC.setns(self.own, CLONE_NEWNET) == 0
            os.close(where)

    def plug_in(self, name):
        port = self.ports[name]
        device = f"host{port}"
        self.tell(f"port {port}")
        there = []
        if name != HERE:
            ip("netns", "add", name)
            ip("link", "set", device, "netns", name)
            there = ["-n", name]
            ip(*there, "link", "set", "lo", "up")
        ip(*there, "link", "set", device, "address", f"02:00:00:00:00:{port:02x}")
        ip(*there, "address", "add", f"{self.address(name)}/24", "dev", device)
        ip(*there, "link", "set", device, "up")

    # ---- what goes wrong ----

    def line(self, one, other, loss_permille=0, delay_ms=0):
        words = [self.ports.get(name, "*") for name in (one, other)]
        self.tell(f"line {words[0]} {words[1]} {loss_permille} {int(1000 * delay_ms)}")

    def cut(self, one, other, both=True):
        """Frames from one to the other vanish, and back as well."""
        self.line(one, other, 1000)
        if both:
            self.line(other, one, 1000)

    def isolate(self, group, let_through=(HERE,)):
        """Nothing passes between the hosts of `group` and all others; we may look at both sides."""
        group = [group] if isinstance(group, str) else group
        for one in group:
            for other in self.ports:
                if other not in group and other not in let_through:
                    self.cut(one, other)

    def all_lines(self, loss_permille, delay_ms):
        """Every line but those to us."""
        self.line("*", "*", loss_permille, delay_ms)
        self.line(HERE, "*")
        self.line("*", HERE)

    def heal(self):
        self.line("*", "*")

    def vanish(self, name):
        """The host is gone with what its kernel knew. Its processes have been killed behind cut lines."""
        ip("netns", "del", name)

    def come_back(self, name):
        self.plug_in(name)
