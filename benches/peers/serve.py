#!/usr/bin/env python3
"""The endpoint under wrk beside a bare hyper server that answers a constant.

    apt-get install wrk
    python3 benches/peers/serve.py [--bodies csv,json,v2,binary] [--seconds 5] [--rounds 5]

One row per request, 64 keep-alive connections, the small MLP 30-64-32-2, both servers as processes
of their own with a thread per core, runs alternating so that what the machine does besides hits
both. The bare server reads the same bytes and answers as many bytes as the endpoint does. CPU time
per request comes from /proc/PID/stat: it is steadier than requests/s where the load generator shares
the cores. Prints every run and, for each body, the ratio of the sums:

    csv     POST /invocations, text/csv
    json    POST /invocations, SageMaker's {"instances": [{"features": [..]}]}
    v2      POST /v2/models/small-mlp/infer, the Open Inference Protocol's JSON
    binary  the same with binary tensors, there and back

`--smrt 'target/release/smrt serve model.tar.gz --listen 127.0.0.1:18080'` measures a server that
is started by that command instead of the one built into benches/invoke.rs (same model size; its
name goes to --model).
"""

import argparse
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ROW = [round(at * 0.1 - 1.5, 4) for at in range(30)]
BODIES = ["csv", "json", "v2", "binary"]


def bench_program():
    """Path of the compiled benches/invoke.rs."""
    command = ["cargo", "bench", "--bench", "invoke", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("target", {}).get("name") == "invoke":
            return message["executable"]
    sys.exit("cargo did not say where the bench lies")


def asked(kind, model):
    """Path, headers and body of one request."""
    if kind == "csv":
        row = ",".join(f"{value:.4f}" for value in ROW)
        return "/invocations", {"Content-Type": "text/csv"}, row.encode()
    if kind == "json":
        body = json.dumps({"instances": [{"features": ROW}]})
        return "/invocations", {"Content-Type": "application/json"}, body.encode()
    path = f"/v2/models/{model}/infer"
    tensor = {"name": "input", "shape": [1, len(ROW)], "datatype": "FP32"}
    if kind == "v2":
        body = json.dumps({"inputs": [{**tensor, "data": ROW}]})
        return path, {"Content-Type": "application/json"}, body.encode()
    packed = struct.pack(f"<{len(ROW)}f", *ROW)
    tensor["parameters"] = {"binary_data_size": len(packed)}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream",
               "Inference-Header-Content-Length": str(len(head))}
    return path, headers, head + packed


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def script(folder, kind, model):
    """What wrk sends; its path and where it is told."""
    path, headers, body = asked(kind, model)
    lua = os.path.join(folder, f"{kind}.lua")
    with open(lua, "w") as out:
        out.write('wrk.method = "POST"\n')
        # Every byte by its number: a body may hold any.
        out.write('wrk.body = "' + "".join(f"\\{byte:03}" for byte in body) + '"\n')
        for name, value in headers.items():
            out.write(f'wrk.headers["{name}"] = "{value}"\n')
        out.write('done = function(summary, latency)\n')
        out.write('  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests,\n')
        out.write("    summary.duration, latency:percentile(50), latency:percentile(99),\n")
        out.write("    summary.errors.status + summary.errors.read + summary.errors.timeout))\n")
        out.write("end\n")
    return lua, path


def run(server, lua, path, seconds):
    before = cpu_s(server["pid"])
    text = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", lua, f"http://{server['address']}{path}"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    used = cpu_s(server["pid"]) - before
    requests, duration_us, p50, p99, errors = map(int, re.search(r"RESULT (.*)", text).group(1).split())
    if errors:
        sys.exit(f"{server['name']}: {errors} requests failed")
    return [requests / duration_us * 1e6, used / requests * 1e6, p50, p99]


def ask(address, kind, model):
    """Asks once; the length of the answer's body."""
    path, headers, body = asked(kind, model)
    host, port = address.split(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        stream.sendall(head.encode() + body)
        answer = stream.recv(16384)
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"{kind} is answered {answer[:300]!r}")
    return int(re.search(rb"(?i)content-length: (\d+)", answer).group(1))


def start(name, command, log, kind, model):
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    address = next((word for word in command if re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", word)), None)
    if address is None:
        address = process.stdout.readline().strip()
    while time.monotonic() - began < 30:
        try:
            ask(address, kind, model)
            break
        except ConnectionRefusedError:
            time.sleep(0.001)
    first_ms = (time.monotonic() - began) * 1e3
    print(f"{name}: first 200 after {first_ms:.0f} ms, {memory_mb(process.pid):.1f} MB resident")
    return {"name": name, "pid": process.pid, "process": process, "address": address}


def stop(server):
    server["process"].send_signal(signal.SIGTERM)
    server["process"].wait(timeout=30)


def compare(kind, smrt, program, chosen, log, folder):
    """Alternating runs of one body; prints the ratios."""
    length = ask(smrt["address"], kind, chosen.model)
    command = [program, "serve", "bare", "127.0.0.1:0", str(length)]
    bare = start("bare", command, log, kind, chosen.model)
    try:
        lua, path = script(folder, kind, chosen.model)
        print(f"{kind:8}{'req/s':>10}{'cpu us/req':>12}{'p50 us':>9}{'p99 us':>9}   answer {length} bytes")
        sums = [[0.0] * 4, [0.0] * 4]
        for _ in range(chosen.rounds):
            for server, total in zip([bare, smrt], sums):
                figures = run(server, lua, path, chosen.seconds)
                print(f"{server['name']:8}" + "{:10.0f}{:12.2f}{:9.0f}{:9.0f}".format(*figures))
                for at, figure in enumerate(figures):
                    total[at] += figure
        ratios = [ours / bare for ours, bare in zip(sums[1], sums[0])]
        print("ratio   " + "{:10.2f}{:12.2f}{:9.2f}{:9.2f}".format(*ratios), flush=True)
    finally:
        stop(bare)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--bodies", default="csv", help="some of " + ",".join(BODIES))
    options.add_argument("--smrt", help="command that starts the endpoint, with --listen 127.0.0.1:PORT")
    options.add_argument("--model", default="small-mlp", help="name of its model")
    options.add_argument("--program", help="the compiled bench, if it is not to be built")
    options.add_argument("--log", default=None, help="where the endpoint's log goes; default a file")
    chosen = options.parse_args()
    bodies = chosen.bodies.split(",")
    if unknown := [kind for kind in bodies if kind not in BODIES]:
        options.error(f"there is no body {unknown[0]}")
    program = chosen.program or bench_program()
    smrt = shlex.split(chosen.smrt) if chosen.smrt else [program, "serve", "smrt", "127.0.0.1:0"]
    with tempfile.TemporaryDirectory() as folder:
        with open(chosen.log or os.path.join(folder, "log"), "w") as log:
            server = start("smrt", smrt, log, bodies[0], chosen.model)
            try:
                for kind in bodies:
                    compare(kind, server, program, chosen, log, folder)
                print(f"smrt after the load: {memory_mb(server['pid']):.1f} MB resident")
            finally:
                stop(server)


if __name__ == "__main__":
    main()
