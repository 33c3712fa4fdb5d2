#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""http_streams.py [STREAMS [JOBS]]: what open event streams cost the dispatcher: memory, CPU while nothing
happens, how long a change takes to reach who watches, and what other requests notice of them. Beside it
as many streams of node's own HTTP server, where node is installed."""
import http.client
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Lab, wait_until  # noqa: E402

PEER = pathlib.Path(__file__).resolve().parent / "peers" / "events.mjs"
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


def percentiles(times):
    times = sorted(times)
    return f"p50 {times[len(times) // 2] * 1e3:.2f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.2f} ms"


def look(lab, job, count=1000):
    connection = http.client.HTTPConnection("127.0.0.1", lab.port)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("GET", f"/v1/jobs/{job['id']}?token={job['tokens']['view']}")
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    return percentiles(times)


def open_streams(port, targets):
    streams = []
    for target in targets:
        stream = socket.create_connection(("127.0.0.1", port))
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        streams.append(stream)
    for stream in streams:
        read_until(stream, b"event: job")
    return streams


def cancel_all(lab, jobs, streams):
    """From the request that cancels a job to its event at one who watches it."""
    times = []
    for job, stream in zip(jobs, streams):
        start = time.perf_counter()
        lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        read_until(stream, b'"state":"cancelled"')
        times.append(time.perf_counter() - start)
    return percentiles(times)


def run(lab, count, job_count):
    pid = lab.programs["dispatcher"].pid
    jobs = [lab.submit().json for _ in range(job_count)]
    rest, _ = used(pid)
    print(f"no stream: {rest} kB; a look at a job {look(lab, jobs[0])}")
    chosen = [jobs[i % job_count] for i in range(count)]
    streams = open_streams(lab.port, [f"/v1/jobs/{job['id']}/events?token={job['tokens']['view']}" for job in chosen])
    full, before = used(pid)
    print(f"{count} streams of {job_count} jobs: {full} kB, {(full - rest) / count:.1f} kB each; "
          f"a look {look(lab, jobs[0])}")
    _, before = used(pid)
    time.sleep(IDLE_S)
    print(f"{IDLE_S} s in which nothing happens: {used(pid)[1] - before:.2f} s of CPU")
    print(f"a cancel is with who watches the job after {cancel_all(lab, jobs[:200], streams)}")
    for stream in streams:
        stream.close()
    wait_until(lambda: used(pid)[0] < rest * 2, "memory was given back", 60)
    print(f"after they left: {used(pid)[0]} kB")


def run_peer(count):
    with tempfile.TemporaryDirectory() as folder:
        port_file = pathlib.Path(folder) / "port"
        node = subprocess.Popen(["node", str(PEER), str(port_file)])
        try:
            wait_until(lambda: port_file.exists() and port_file.read_text(), "node listens")
            port = int(port_file.read_text())
            rest, _ = used(node.pid)
            streams = open_streams(port, ["/"] * count)
            full, before = used(node.pid)
            time.sleep(IDLE_S)
            print(f"node: {rest} kB without, {full} kB with {count} streams, {(full - rest) / count:.1f} kB each; "
                  f"{used(node.pid)[1] - before:.2f} s of CPU in {IDLE_S} s")
            for stream in streams:
                stream.close()
        finally:
            node.terminate()
            node.wait()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    job_count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Lab(dispatcher_options=("--submits-per-minute", "0", "--max-flow-queued", "1000000")) as lab:
        run(lab, count, job_count)
    if shutil.which("node"):
        run_peer(count)


if __name__ == "__main__":
    main()
