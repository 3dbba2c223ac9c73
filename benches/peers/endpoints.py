#!/usr/bin/env python3
"""The endpoint beside other model servers with the same weights, and ONNX Runtime in process.

    apt-get install wrk
    python3 benches/peers/endpoints.py [--smrt target/release/smrt] [small wide trees]

small   a network 30-64-32-2, one row a request, 64 connections: smrt, Triton's binary, FastAPI, mosec
wide    784-512-256-10, and
trees   500 trees of depth 6 on 28 columns: rows/s with one row a request and with 100, beside ONNX
        Runtime in process at its best batch size; then p99 at 70 % of each one's own capacity

All with pip alone (see rivals.py); Triton is the binary of nvidia-pytriton with its Python backend
around ONNX Runtime, an instance for each core, delay 0. Runs alternate. Peers speak what they speak
best: Triton and smrt binary tensors, the others CSV; smrt is measured with CSV, too.
"""

import argparse
import json
import os
import subprocess

import rivals
from rivals import (fastapi_server, mosec_server, onnx, open_loop, resident_mib, rows_of, smrt_server, triton_server,
                    wrk)

IN_PROCESS = r'''
import json, sys, time
import numpy, onnxruntime
path, features, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[4])
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
found = {}
for rows in (1, 16, 64, 256, 1024, 4096):
    batch = numpy.random.default_rng(7).uniform(-2, 2, (rows, features)).astype(numpy.float32)
    session.run(None, {"input": batch})
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        session.run(None, {"input": batch})
        count += rows
    found[rows] = count / (time.perf_counter() - begun)
print(json.dumps(found))
'''


def in_process(python, folder, features, seconds):
    """Rows/s of ONNX Runtime without a server, at the best of some batch sizes."""
    command = [python, "-c", IN_PROCESS, os.path.join(folder, "model.onnx"), str(features), str(seconds),
               str(os.cpu_count())]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def agree(servers, outputs):
    """The peers were given smrt's model: what they say of the first row is what smrt says."""
    def numbers(server):
        reply = server.first
        if server.path.endswith("/infer"):
            # JSON, then tensors; the last floats of the first row stand in the order of the outputs.
            head = json.loads(reply[:reply.index(b"]}", reply.index(b'"outputs"')) + 2])
            raw = reply[len(reply) - sum(one["parameters"]["binary_data_size"] for one in head["outputs"]):]
            at = 0
            for one in head["outputs"]:
                size = one["parameters"]["binary_data_size"]
                if one["name"] in ("score", "output"):
                    import struct
                    return list(struct.unpack(f"<{size // 4}f", raw[at:at + size]))
                at += size
        return [float(word) for word in reply.decode().split("\n")[0].replace("[", "").replace("]", "").split(",")]
    for server in servers:
        found = numbers(server)
        first = numbers(servers[0])
        width = 2 if outputs == 2 else outputs
        # smrt tells the probability of the second of two classes alone.
        mine, theirs = first[:outputs], found[:width]
        if outputs == 2:
            mine, theirs = first[:1], theirs[-1:] if len(theirs) >= 2 else theirs
        if any(abs(a - b) > 1e-4 for a, b in zip(mine, theirs)):
            print(f"  {server.name} answers {theirs}, smrt {mine}: not the same model?")


def start(name, python, smrt, folder, rows, outputs, chosen):
    makers = {
        "smrt": lambda: smrt_server(smrt, folder, rows),
        "smrt csv": lambda: smrt_server(smrt, folder, rows, "csv"),
        "triton": lambda: triton_server(folder, rows, outputs),
        "fastapi": lambda: fastapi_server(python, folder, rows),
        "mosec": lambda: mosec_server(python, folder, rows),
    }
    servers = []
    for maker in chosen:
        try:
            server = makers[maker]()
            servers.extend([server] if server else [])
        except (RuntimeError, OSError, subprocess.SubprocessError) as why:
            print(f"{name}: {maker} skipped: {why}")
    return servers


def closed(name, servers, rows, connections, options):
    """Throughput of each, alternating; the sums' figures by name."""
    found = {}
    for _ in range(options.rounds):
        for server in servers:
            found.setdefault(server.name, []).append(wrk(server, connections, options.seconds))
    mean = {}
    for server in servers:
        runs = found[server.name]
        mean[server.name] = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
        one = mean[server.name]
        print(f"{name:6} {rows:4} rows c={connections:3} {server.name:9} {one['rate']:9.0f} req/s {one['rate'] * rows:10.0f} rows/s"
              f"  p50 {one['p50_ms']:7.2f}  p99 {one['p99_ms']:7.2f} ms  {one['cpu_us']:7.1f} us CPU/req"
              f"  {resident_mib(server.pid):5.0f} MiB  {one['errors']:.0f} errors")
    return mean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", default=["small", "wide", "trees"])
    parser.add_argument("--smrt", default=os.path.join(rivals.ROOT, "target/release/smrt"))
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", default="smrt,smrt csv,triton,fastapi,mosec")
    parser.add_argument("--shapes", default="1x64,100x16", help="rows a request x connections")
    parser.add_argument("--no-latency", action="store_true", help="throughput alone")
    options = parser.parse_args()
    smrt, python = os.path.abspath(options.smrt), rivals.python_peers()
    if python is None:
        return
    outputs = {"small": 2, "wide": 10, "trees": 1}
    for name in options.what:
        folder, features = onnx(smrt, python, name), rivals.MODELS[name][0]
        best = None
        if name != "small":
            alone = in_process(python, folder, features, 0.7)
            best = max(alone.values())
            print(f"{name}: ONNX Runtime in process, {os.cpu_count()} threads, rows/s by batch:",
                  ", ".join(f"{rows}: {rate:.0f}" for rows, rate in alone.items()))
        for shape in options.shapes.split(","):
            rows, connections = map(int, shape.split("x"))
            if name == "small" and rows > 1:
                continue
            servers = start(name, python, smrt, folder, rows_of(features, rows), outputs[name], options.peers.split(","))
            try:
                if rows == 1:
                    agree(servers, outputs[name])
                mean = closed(name, servers, rows, connections, options)
                mine = mean["smrt"]["rate"]
                for other in (other for other in mean if not other.startswith("smrt")):
                    print(f"{name:6} {rows:4} rows: smrt answers {mine / mean[other]['rate']:.2f} times the requests of {other}, "
                          f"with {mean['smrt']['cpu_us'] / mean[other]['cpu_us']:.3f} of its CPU a request")
                if best:
                    print(f"{name:6} {rows:4} rows: smrt over HTTP {mine * rows / best:.2f} of ONNX Runtime's best rows/s in process")
                if name != "small" and not options.no_latency:
                    p99 = {}
                    for server in servers:
                        if server.name in ("smrt", "triton"):
                            rate = 0.7 * mean[server.name]["rate"]
                            step = open_loop(smrt, server, rate, options.seconds * 2)["endpoints"][0]["rates"][0]
                            p99[server.name] = step["p99_ms"]
                            print(f"{name:6} {rows:4} rows: {server.name} at 70 % of its capacity, {rate:.0f}/s: "
                                  f"p50 {step['p50_ms']:.2f}, p99 {step['p99_ms']:.2f} ms, {step['failed']} failed")
                    if len(p99) == 2:
                        print(f"{name:6} {rows:4} rows: smrt's p99 is {p99['smrt'] / p99['triton']:.2f} of Triton's")
            finally:
                for server in servers:
                    server.stop()


if __name__ == "__main__":
    main()
