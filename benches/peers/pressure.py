#!/usr/bin/env python3
"""The endpoint under pressure, against itself at rest: what a heavy neighbour, an overload, a shadow or
a swap costs, and how fast it is there.

    apt-get install wrk
    python3 benches/peers/pressure.py [--smrt target/release/smrt] [mixed overload shadow swap cold]

mixed     a light model's p99 at a constant rate, alone and while a heavy model beside it is saturated
overload  three times the capacity for --seconds: goodput, how soon refusals are told, memory, recovery
shadow    p99 at half the capacity, without and with a shadow that gets every request
swap      models put in by an admin call under a closed loop: requests that failed
cold      from exec to the first 200
"""

import argparse
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.request

import rivals
from rivals import CSV, Server, csv, free_port, open_loop, resident_mib, rows_of, smrt_server, train, wrk


def artifact(folder):
    return os.path.join(folder, "out", os.path.basename(folder), "output", "model.tar.gz")


def many(smrt, folder, names):
    """One endpoint with these models; the server as each model's callers see it."""
    place = os.path.join(folder, "models")
    os.makedirs(place)
    for name in names:
        os.symlink(artifact(train(smrt, name)), os.path.join(place, f"{name}.tar.gz"))
    port = free_port()
    command = [smrt, "serve", "--listen", f"127.0.0.1:{port}", "--no-access-log", "--quiet", place]
    seen = []
    for name in names:
        headers = [*CSV, ("Accept", "text/csv"), ("X-Amzn-SageMaker-Target-Model", f"{name}.tar.gz")]
        body = csv(rows_of(rivals.MODELS[name][0], 1))
        if not seen:
            seen.append(Server("smrt", command, port, "/invocations", body, headers))
        else:
            other = object.__new__(Server)
            other.__dict__ = dict(seen[0].__dict__, body=body, headers=headers)
            other.first = other.ask()
            seen.append(other)
    return seen


def figures(report):
    return report["endpoints"][0]["rates"][0]


def mixed(smrt, options):
    for light_name, rate in (("small", 2_000), ("wide", 500)):
        with tempfile.TemporaryDirectory() as folder:
            light, heavy = many(smrt, folder, [light_name, "huge"])
            try:
                def p99():
                    return figures(open_loop(smrt, light, rate, options.seconds))["p99_ms"]
                alone = [p99()]
                load = threading.Thread(target=lambda: results.append(wrk(heavy, 32, options.seconds * 2)))
                results = []
                load.start()
                time.sleep(1)
                beside = p99()
                waits = []
                while load.is_alive():
                    begun = time.perf_counter()
                    urllib.request.urlopen(f"http://127.0.0.1:{light.port}/ping").read()
                    waits.append((time.perf_counter() - begun) * 1e3)
                    time.sleep(0.01)
                load.join()
                alone.append(p99())
                mean = sum(alone) / 2
                waits.sort()
                print(f"mixed: {light_name} at {rate}/s: p99 {mean:.2f} ms alone, {beside:.2f} ms beside a saturated "
                      f"huge one ({results[0]['rate']:.0f} rows/s): {beside / mean:.2f} times; /ping meanwhile "
                      f"p99 {waits[int(len(waits) * 0.99)]:.2f} ms")
            finally:
                light.stop()


def overload(smrt, options):
    folder = train(smrt, "huge")
    server = smrt_server(smrt, folder, rows_of(784, 1), "csv", options.serve)
    try:
        capacity = wrk(server, 64, min(options.seconds, 5))["rate"]
        before = resident_mib(server.pid)
        peak, done = [before], threading.Event()

        def look():
            while not done.wait(0.2):
                peak.append(resident_mib(server.pid))
        looking = threading.Thread(target=look)
        looking.start()
        step = figures(open_loop(smrt, server, 3 * capacity, options.seconds, connections=options.connections))
        ended = time.perf_counter()
        # Recovered: ten answers one after another, each as soon as at rest.
        good = 0
        while good < 10:
            begun = time.perf_counter()
            try:
                server.ask()
                good = good + 1 if time.perf_counter() - begun < 0.02 else 0
            except OSError:
                good = 0
        recovered = time.perf_counter() - ended
        done.set()
        looking.join()
        print(f"overload: capacity {capacity:.0f}/s, offered {step['offered_per_s']:.0f}/s for {options.seconds} s: goodput "
              f"{step['answered_per_s']:.0f}/s, {step['answered_per_s'] / capacity:.2f} of capacity; {step['refused']} refused, "
              f"p99 {step['refused_p99_ms']:.2f} ms; p99 of the successes {step['succeeded_p99_ms']:.1f} ms; "
              f"{step['broken']} broken, {step['unanswered']} unanswered; memory {before:.0f} MiB before, "
              f"{max(peak):.0f} at most, {resident_mib(server.pid):.0f} after; recovered in {recovered:.2f} s")
    finally:
        server.stop()


def variants(smrt, folder, text):
    path = os.path.join(folder, "endpoint.toml")
    port = free_port()
    with open(path, "w") as file:
        file.write(f'endpoint = {{ name = "bench", access_log = false }}\nlistener.address = "127.0.0.1:{port}"\n{text}')
    body = csv(rows_of(30, 1))
    return Server("smrt", [smrt, "serve", "--quiet", path], port, "/invocations", body, [*CSV, ("Accept", "text/csv")])


def shadow(smrt, options):
    model = artifact(train(smrt, "small"))
    found = {}
    rate = None
    for turn in range(2):
        for name, more in (("without", ""), ("with", f'[shadow.next]\nmodel = "{model}"\n')):
            with tempfile.TemporaryDirectory() as folder:
                server = variants(smrt, folder, f'[variants.blue]\nmodel = "{model}"\n{more}')
                try:
                    rate = rate or wrk(server, 64, 2)["rate"] / 4
                    step = figures(open_loop(smrt, server, rate, options.seconds))
                    found.setdefault(name, []).append(step["p99_ms"])
                finally:
                    server.stop()
    without, beside = (sum(found[name]) / 2 for name in ("without", "with"))
    print(f"shadow: at {rate:.0f}/s p99 {without:.2f} ms without, {beside:.2f} ms with every request copied: "
          f"{beside / without:.2f} times")


def swap(smrt, options):
    model = artifact(train(smrt, "small"))
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.dirname(model)
        server = variants(smrt, folder, f'[variants.blue]\nmodel = "{model}"\n[admin]\nmodels = "{place}"\n')
        try:
            results = []
            load = threading.Thread(target=lambda: results.append(wrk(server, 64, options.seconds)))
            load.start()
            swaps = 0
            while load.is_alive():
                body = json.dumps({"ModelDataUrl": model}).encode()
                url = f"http://127.0.0.1:{server.port}/endpoints/bench/variants/blue"
                request = urllib.request.Request(url, data=body, method="PUT")
                urllib.request.urlopen(request, timeout=30).read()
                swaps += 1
                time.sleep(0.05)
            load.join()
            print(f"swap: {swaps} models put in during {results[0]['rate'] * options.seconds:.0f} requests "
                  f"({results[0]['rate']:.0f}/s): {results[0]['errors']} failed")
        finally:
            server.stop()


def cold(smrt, options):
    import socket
    folder = train(smrt, "small")
    row = csv(rows_of(30, 1))
    ask = (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n" % len(row)) + row
    times = []
    for _ in range(9):
        port = free_port()
        begun = time.perf_counter()
        command = [smrt, "serve", "--listen", f"127.0.0.1:{port}", "--quiet", artifact(folder)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as stream:
                    stream.sendall(ask)
                    assert stream.recv(4096).startswith(b"HTTP/1.1 200")
                break
            except ConnectionRefusedError:
                time.sleep(0.0005)
        times.append((time.perf_counter() - begun) * 1e3)
        server.terminate()
        server.wait()
    times.sort()
    print(f"cold: from exec to the first 200: {times[len(times) // 2]:.0f} ms, of nine the fastest {times[0]:.0f}, "
          f"the slowest {times[-1]:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    every = {"mixed": mixed, "overload": overload, "shadow": shadow, "swap": swap, "cold": cold}
    parser.add_argument("what", nargs="*", default=list(every), help="which of them; default all")
    parser.add_argument("--smrt", default=os.path.join(rivals.ROOT, "target/release/smrt"))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=1024)
    parser.add_argument("--serve", action="append", default=[], help="a further option of smrt serve, for overload")
    options = parser.parse_args()
    for name in options.what:
        every[name](os.path.abspath(options.smrt), options)


if __name__ == "__main__":
    main()
