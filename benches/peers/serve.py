#!/usr/bin/env python3
"""The endpoint under wrk beside a bare hyper server that answers a constant.

    apt-get install wrk
    python3 benches/peers/serve.py [--seconds 5] [--rounds 5] [--smrt 'COMMAND']

One CSV row per request, 64 keep-alive connections, the small MLP 30-64-32-2, both servers as
processes of their own with a thread per core, runs alternating so that what the machine does
besides hits both. CPU time per request comes from /proc/PID/stat: it is steadier than requests/s
where the load generator shares the cores. Prints every run and the ratio of the sums.

`--smrt 'target/release/smrt serve model.tar.gz --listen 127.0.0.1:18080'` measures a server that
is started by that command instead of the one built into benches/invoke.rs (same model size).
"""

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def bench_program():
    """Path of the compiled benches/invoke.rs."""
    command = ["cargo", "bench", "--bench", "invoke", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("target", {}).get("name") == "invoke":
            return message["executable"]
    sys.exit("cargo did not say where the bench lies")


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def script(folder):
    """What wrk sends."""
    body = ",".join(f"{at * 0.1 - 1.5:.4f}" for at in range(30))
    path = os.path.join(folder, "row.lua")
    with open(path, "w") as out:
        out.write('wrk.method = "POST"\n')
        out.write(f'wrk.body = "{body}"\n')
        out.write('wrk.headers["Content-Type"] = "text/csv"\n')
        out.write('done = function(summary, latency)\n')
        out.write('  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests,\n')
        out.write("    summary.duration, latency:percentile(50), latency:percentile(99),\n")
        out.write("    summary.errors.status + summary.errors.read + summary.errors.timeout))\n")
        out.write("end\n")
    return path


def run(server, lua, seconds):
    before = cpu_s(server["pid"])
    text = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", lua, f"http://{server['address']}/invocations"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    used = cpu_s(server["pid"]) - before
    requests, duration_us, p50, p99, errors = map(int, re.search(r"RESULT (.*)", text).group(1).split())
    if errors:
        sys.exit(f"{server['name']}: {errors} requests failed")
    return [requests / duration_us * 1e6, used / requests * 1e6, p50, p99]


def start(name, command, log):
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    address = next((word for word in command if re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", word)), None)
    if address is None:
        address = process.stdout.readline().strip()
    host, port = address.split(":")
    row = ",".join(["0"] * 30)
    ask = (f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
           f"Content-Length: {len(row)}\r\n\r\n{row}").encode()
    while time.monotonic() - began < 30:
        try:
            with socket.create_connection((host, int(port))) as stream:
                stream.sendall(ask)
                answer = stream.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"{name} answers {answer[:200]!r}")
            break
        except ConnectionRefusedError:
            time.sleep(0.001)
    first_ms = (time.monotonic() - began) * 1e3
    print(f"{name}: first 200 after {first_ms:.0f} ms, {memory_mb(process.pid):.1f} MB resident")
    return {"name": name, "pid": process.pid, "process": process, "address": address}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--smrt", help="command that starts the endpoint, with --listen 127.0.0.1:PORT")
    options.add_argument("--program", help="the compiled bench, if it is not to be built")
    options.add_argument("--log", default=None, help="where the endpoint's log goes; default a file")
    chosen = options.parse_args()
    program = chosen.program or bench_program()
    smrt = shlex.split(chosen.smrt) if chosen.smrt else [program, "serve", "smrt", "127.0.0.1:0"]
    with tempfile.TemporaryDirectory() as folder:
        lua = script(folder)
        with open(chosen.log or os.path.join(folder, "log"), "w") as log:
            servers = [start("bare", [program, "serve", "bare", "127.0.0.1:0"], log),
                       start("smrt", smrt, log)]
            try:
                print(f"{'':8}{'req/s':>10}{'cpu us/req':>12}{'p50 us':>9}{'p99 us':>9}")
                sums = [[0.0] * 4, [0.0] * 4]
                for _ in range(chosen.rounds):
                    for server, total in zip(servers, sums):
                        figures = run(server, lua, chosen.seconds)
                        print(f"{server['name']:8}" + "{:10.0f}{:12.2f}{:9.0f}{:9.0f}".format(*figures))
                        for at, figure in enumerate(figures):
                            total[at] += figure
                ratios = [ours / bare for ours, bare in zip(sums[1], sums[0])]
                print("ratio   " + "{:10.2f}{:12.2f}{:9.2f}{:9.2f}".format(*ratios))
                print(f"smrt after the load: {memory_mb(servers[1]['pid']):.1f} MB resident")
            finally:
                for server in servers:
                    server["process"].send_signal(signal.SIGTERM)
                    server["process"].wait(timeout=30)


if __name__ == "__main__":
    main()
