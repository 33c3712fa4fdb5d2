#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""http_streams.py [STREAMS]: what open event streams cost the dispatcher: memory, CPU while nothing
happens, how long a change takes to reach all who watch, and what other requests notice of them."""
import http.client
import os
import pathlib
import resource
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Lab, wait_until  # noqa: E402

JOBS = 200
IDLE_S = 10


def used(pid):
    """Resident kB and CPU seconds of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(resident), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_until(connection, text):
    seen = b""
    while text not in seen:
        seen += connection.recv(65536)


def latency(lab, job, count=1000):
    connection = http.client.HTTPConnection("127.0.0.1", lab.port)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("GET", f"/v1/jobs/{job['id']}?token={job['tokens']['view']}")
        connection.getresponse().read()
        times.append((time.perf_counter() - start) * 1e6)
    times.sort()
    return f"p50 {times[count // 2]:.0f} us, p99 {times[count * 99 // 100]:.0f} us"


def run(lab, count):
    pid = lab.programs["dispatcher"].pid
    jobs = [lab.submit().json for _ in range(JOBS)]
    rest, _ = used(pid)
    print(f"no stream: {rest} kB; a look at a job {latency(lab, jobs[0])}")
    streams = []
    for i in range(count):
        job = jobs[i % JOBS]
        stream = socket.create_connection(("127.0.0.1", lab.port))
        stream.sendall(f"GET /v1/jobs/{job['id']}/events?token={job['tokens']['view']} HTTP/1.1\r\n"
                       "Host: x\r\n\r\n".encode())
        streams.append(stream)
    for stream in streams:
        read_until(stream, b"event: job")
    full, before = used(pid)
    print(f"{count} streams: {full} kB, {(full - rest) / count:.1f} kB each; a look {latency(lab, jobs[0])}")
    _, before = used(pid)
    time.sleep(IDLE_S)
    print(f"{IDLE_S} s in which nothing happens: {used(pid)[1] - before:.2f} s of CPU")
    start = time.perf_counter()
    lab.request("POST", f"/v1/jobs/{jobs[0]['id']}/cancel", token=jobs[0]["tokens"]["manage"])
    watching = streams[::JOBS]
    for stream in watching:
        read_until(stream, b'"state":"cancelled"')
    print(f"a cancel is with all {len(watching)} who watch it after {(time.perf_counter() - start) * 1e3:.1f} ms")
    for stream in streams:
        stream.close()
    wait_until(lambda: used(pid)[0] < rest * 2, "memory was given back", 60)
    print(f"after they left: {used(pid)[0]} kB")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Lab(dispatcher_options=("--submits-per-minute", "0")) as lab:
        run(lab, count)


if __name__ == "__main__":
    main()
