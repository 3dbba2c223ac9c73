#!/usr/bin/env python3
"""Many small models in one endpoint: memory, first requests, requests to loaded models.

    python3 benches/peers/many.py [--smrt target/release/smrt] [--models 10000] [--hot 1000]

Trains one network 9-64-32-2 on the shipped phishing data, links it under many names, asks as many of
them as may be loaded, each twice, then half as many others. Prints resident memory beside what the
endpoint counts (`smrt_models_bytes`) and quantiles of the times a single caller waited.
"""

import argparse
import http.client
import json
import os
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROW = "1,0,-1,1,0,-1,1,0,1"
JOB = """
job.name = "small"
algorithm.name = "mlp"
hyperparameters = {{ predictor_type = "binary_classifier", epochs = 2, hidden_layers = [64, 32] }}
channels.train = {{ uri = "{root}/datasets/phishing/train.csv", header = true, label = "phishing" }}
output = {{ uri = "out", kms_key = "none" }}
"""


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def quantiles(times):
    times = sorted(times)
    p50, p99 = (times[int(len(times) * q)] * 1e3 for q in (0.5, 0.99))
    return f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--smrt", default=os.path.join(ROOT, "target/release/smrt"))
    options.add_argument("--models", type=int, default=10_000)
    options.add_argument("--hot", type=int, default=1_000)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(os.path.abspath(options.smrt), folder, options.models, options.hot)


def measure(smrt, folder, count, hot):
    with open(f"{folder}/job.toml", "w") as job:
        job.write(JOB.format(root=ROOT))
    environment = dict(os.environ, SMRT_HOME=f"{folder}/home")
    subprocess.run([smrt, "train", "--quiet", "job.toml"], cwd=folder, env=environment, check=True,
                   stdout=subprocess.DEVNULL)
    os.mkdir(f"{folder}/models")
    for at in range(count):
        os.link(f"{folder}/out/small/output/model.tar.gz", f"{folder}/models/m{at}.tar.gz")
    command = [smrt, "serve", "--listen", "127.0.0.1:0", "--no-access-log", "--quiet", "--hot-max", str(hot), "models"]
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    address = server.stdout.readline().split("http://")[1].split(";")[0].strip()
    client = http.client.HTTPConnection(address)

    def ask(model):
        headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": f"m{model}.tar.gz"}
        begun = time.perf_counter()
        client.request("POST", "/invocations", ROW, headers)
        reply = client.getresponse()
        body = reply.read()
        assert reply.status == 200, body
        return time.perf_counter() - begun

    def metric(name):
        client.request("GET", "/metrics")
        page = client.getresponse().read().decode()
        return float(next(line for line in page.splitlines() if line.startswith(name + " ")).split()[1])

    empty = resident_mib(server.pid)
    first = [ask(model) for model in range(hot)]
    full = resident_mib(server.pid)
    print(f"{metric('LoadedModelCount'):.0f} models: {full - empty:.0f} MiB more resident than none"
          f" ({full:.0f} MiB in all), counted as {metric('smrt_models_bytes') / 2**20:.0f} MiB")
    print("first request:", quantiles(first))
    print("loaded:       ", quantiles([ask(model) for model in range(hot)]))
    others = [ask(model) for model in range(hot, min(count, hot + hot // 2))]
    if others:
        print("in the place of another:", quantiles(others), f"({resident_mib(server.pid):.0f} MiB in all)")
    begun = time.perf_counter()
    client.request("POST", "/v2/repository/index")
    listed = len(json.loads(client.getresponse().read()))
    print(f"listing {listed} models: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    server.terminate()
    server.wait()


if __name__ == "__main__":
    main()
