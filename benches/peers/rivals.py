"""What the endpoint scripts share: the peers, the models they all serve, and the load.

Every peer gets the same weights as smrt: the models are trained by smrt, whose artifacts are plain
(`kms_key = "none"`), and written as ONNX from their files. A peer that cannot be installed or started
is skipped, and the table says so. Python environments and models live in a folder outside the
checkout, `$SMRT_PEERS` or `~/.cache/smrt-peers`, and are kept from run to run.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("SMRT_PEERS") or os.path.expanduser("~/.cache/smrt-peers")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Name, features, how it is trained, how rows are generated.
MODELS = {
    "small": (30, "mlp", {"hidden_layers": [64, 32], "epochs": 1}),
    "wide": (784, "mlp", {"hidden_layers": [512, 256], "epochs": 1}),
    "huge": (784, "mlp", {"hidden_layers": [2048, 1024], "epochs": 1}),
    "trees": (28, "xgboost", {"num_round": 500, "max_depth": 6, "eta": 0.1}),
}


def environment(name, packages):
    """The Python of a virtual environment with these packages, or None with the reason printed."""
    folder = os.path.join(CACHE, name)
    python = os.path.join(folder, "bin", "python")
    try:
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        probe = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True)
        if probe.returncode:
            print(f"{name}: skipped, pip says {probe.stderr.strip().splitlines()[-1:]}")
            return None
    except (OSError, subprocess.CalledProcessError) as why:
        print(f"{name}: skipped, {why}")
        return None
    return python


def python_peers():
    return environment("py", ["fastapi", "uvicorn", "uvloop", "httptools", "onnxruntime", "onnx", "mosec", "numpy",
                              "xgboost-cpu"])


# --- models ------------------------------------------------------------------------------------


def rows_of(features, count, seed=7):
    """Rows of numbers with four digits, the same each time."""
    state, rows = seed, []
    for _ in range(count):
        row = []
        for _ in range(features):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            row.append(((state >> 40) / 2**24 - 0.5) * 4)
        rows.append([round(value, 4) for value in row])
    return rows


def train(smrt, name):
    """The folder of a trained model: model.tar.gz and model.onnx."""
    features, algorithm, parameters = MODELS[name]
    folder = os.path.join(CACHE, "models", name)
    artifact = os.path.join(folder, "out", name, "output", "model.tar.gz")
    if not os.path.exists(artifact):
        os.makedirs(folder, exist_ok=True)
        classes = 10 if features == 784 else 2
        with open(os.path.join(folder, "train.csv"), "w") as out:
            for row in rows_of(features, 20_000 if name == "trees" else 300):
                # The sign pattern of a few columns: something to learn, deep enough for 500 trees.
                at = sum((value > 0) << bit for bit, value in enumerate(row[:3])) * 7 + int(abs(row[3]) * 3)
                out.write(",".join(map(str, [at % classes, *row])) + "\n")
        kind = "objective = \"binary:logistic\"" if algorithm == "xgboost" else (
            "predictor_type = \"multiclass_classifier\"" if classes > 2 else "predictor_type = \"binary_classifier\"")
        with open(os.path.join(folder, "job.toml"), "w") as job:
            job.write(f'job.name = "{name}"\nalgorithm.name = "{algorithm}"\n'
                      f'channels.train.uri = "train.csv"\noutput = {{ uri = "out", kms_key = "none" }}\n'
                      f"[hyperparameters]\n{kind}\n")
            job.writelines(f"{key} = {json.dumps(value)}\n" for key, value in parameters.items())
        subprocess.run([smrt, "train", "--quiet", "job.toml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(artifact) as archive:
        archive.extractall(os.path.join(folder, "files"), filter="data")
    return folder


def safetensors(path):
    """Name to (shape, bytes) of f32 tensors."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    body = data[8 + length:]
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = (entry["shape"], body[begin:end])
    return found


# Runs with the packages of the environment "py".
EXPORT = r'''
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy, onnx
from onnx import TensorProto, helper, numpy_helper
from rivals import safetensors
name, folder, features = sys.argv[2], sys.argv[3], int(sys.argv[4])
files = os.path.join(folder, "files")
given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, features])
nodes, constants = [], []
def constant(name, array):
    constants.append(numpy_helper.from_array(array, name))
    return name
if name != "trees":
    tensors = {k: numpy.frombuffer(b, "<f4").reshape(s) for k, (s, b) in safetensors(files + "/model.safetensors").items()}
    nodes.append(helper.make_node("Sub", ["input", constant("mean", tensors["standardise.mean"])], ["centred"]))
    nodes.append(helper.make_node("Mul", ["centred", constant("scale", tensors["standardise.scale"])], ["x0"]))
    layers = sorted({k.rsplit(".", 1)[0] for k in tensors if k.endswith(".weight")}, key=lambda k: int("".join(c for c in k if c.isdigit()) or 0))
    for at, layer in enumerate(layers):
        weight, bias = constant(layer + ".w", tensors[layer + ".weight"]), constant(layer + ".b", tensors[layer + ".bias"])
        last = at == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [f"x{at}", weight, bias], [f"s{at}"], transB=1))
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"s{at}"], ["output" if last else f"x{at + 1}"]))
    outputs = len(tensors[layers[-1] + ".bias"])
else:
    import shutil, xgboost
    shutil.copy(files + "/xgboost-model", files + "/model.ubj")
    booster = xgboost.Booster()
    booster.load_model(files + "/model.ubj")
    booster.save_model(files + "/model.json")
    document = json.load(open(files + "/model.json"))["learner"]
    trees = document["gradient_booster"]["model"]["trees"]
    base = float(document["learner_model_param"]["base_score"].strip("[]"))
    fields = {k: [] for k in "treeids nodeids featureids modes values truenodeids falsenodeids missing_value_tracks_true".split()}
    targets = {k: [] for k in "treeids nodeids ids weights".split()}
    for tree, parts in enumerate(trees):
        for node, (left, right) in enumerate(zip(parts["left_children"], parts["right_children"])):
            leaf = left == -1
            condition = float(parts["split_conditions"][node])
            row = dict(treeids=tree, nodeids=node, featureids=0 if leaf else parts["split_indices"][node],
                       modes="LEAF" if leaf else "BRANCH_LT", values=0.0 if leaf else condition,
                       truenodeids=0 if leaf else left, falsenodeids=0 if leaf else right,
                       missing_value_tracks_true=int(bool(parts["default_left"][node])))
            for k, v in row.items():
                fields[k].append(v)
            if leaf:
                for k, v in dict(treeids=tree, nodeids=node, ids=0, weights=condition).items():
                    targets[k].append(v)
    margin = float(numpy.log(base / (1 - base)))
    nodes.append(helper.make_node("TreeEnsembleRegressor", ["input"], ["margin"], domain="ai.onnx.ml", n_targets=1,
        base_values=[margin], post_transform="NONE", aggregate_function="SUM",
        **{"nodes_" + k: v for k, v in fields.items()}, **{"target_" + k: v for k, v in targets.items()}))
    nodes.append(helper.make_node("Sigmoid", ["margin"], ["output"]))
    outputs = 1
out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, outputs])
graph = helper.make_graph(nodes, name, [given], [out], constants)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, folder + "/model.onnx")
'''


def onnx(smrt, python, name):
    """The folder of a model with model.onnx in it."""
    folder = train(smrt, name)
    if not os.path.exists(os.path.join(folder, "model.onnx")):
        subprocess.run([python, "-c", EXPORT, HERE, name, folder, str(MODELS[name][0])], check=True)
    return folder


# --- servers -----------------------------------------------------------------------------------


def children(pid):
    """The process and all below it."""
    found = [pid]
    for at in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{thread}/children") as file:
                    found.extend(int(child) for child in file.read().split())
    return found


def cpu_s(pid):
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError), open(f"/proc/{one}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total * TICK_S


def resident_mib(pid):
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError), open(f"/proc/{one}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+)", status.read())
            total += int(found.group(1)) if found else 0
    return total / 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running endpoint; its figures are those of its whole tree of processes."""

    def __init__(self, name, command, port, path, body, headers, env=None, cwd=None, wait_s=60):
        self.name, self.port, self.path, self.body, self.headers = name, port, path, body, headers
        self.log = open(os.path.join(CACHE, f"{name.replace(' ', '-')}.log"), "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env, cwd=cwd,
                                        start_new_session=True)
        self.pid = self.process.pid
        end = time.monotonic() + wait_s
        while True:
            try:
                self.first = self.ask()
                return
            except OSError as why:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"{name} does not answer: {why}; see {self.log.name}") from why
                time.sleep(0.05)

    def url(self):
        return f"http://127.0.0.1:{self.port}{self.path}"

    def ask(self):
        request = urllib.request.Request(self.url(), data=self.body, headers=dict(self.headers))
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read()

    def stop(self):
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def csv(rows):
    return "\n".join(",".join(map(str, row)) for row in rows).encode()


def binary(rows):
    """Body and headers of the Open Inference Protocol with binary tensors."""
    values = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    head = json.dumps({
        "inputs": [{"name": "input", "shape": [len(rows), len(rows[0])], "datatype": "FP32",
                    "parameters": {"binary_data_size": len(values)}}],
        "parameters": {"binary_data_output": True},
    }).encode()
    headers = [("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", str(len(head)))]
    return head + values, headers


CSV = [("Content-Type", "text/csv")]


def smrt_server(smrt, folder, rows, form="binary", options=()):
    name = os.path.basename(folder)
    port = free_port()
    command = [smrt, "serve", "--listen", f"127.0.0.1:{port}", "--no-access-log", "--quiet", "--name", name,
               *options, os.path.join(folder, "out", name, "output", "model.tar.gz")]
    if form == "csv":
        return Server("smrt csv", command, port, "/invocations", csv(rows), [*CSV, ("Accept", "text/csv")])
    body, headers = binary(rows)
    return Server("smrt", command, port, f"/v2/models/{name}/infer", body, headers)


TRITON_MODEL = r'''
import sys
sys.path.insert(0, "SITE")
import numpy, onnxruntime
import triton_python_backend_utils as utils
class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("FOLDER/model.onnx", options, providers=["CPUExecutionProvider"])
    def execute(self, requests):
        inputs = [utils.get_input_tensor_by_name(request, "input").as_numpy() for request in requests]
        answers = self.session.run(None, {"input": numpy.concatenate(inputs)})[0]
        at, responses = 0, []
        for rows in map(len, inputs):
            responses.append(utils.InferenceResponse([utils.Tensor("output", answers[at:at + rows])]))
            at += rows
        return responses
'''


def triton_server(folder, rows, outputs):
    """Triton's own binary as nvidia-pytriton ships it, with its Python backend around ONNX Runtime:
    delay 0, batches up to 256, an instance for each core."""
    python = environment("triton", ["nvidia-pytriton", "onnxruntime", "numpy<2"])
    if python is None:
        return None
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          capture_output=True, text=True, check=True).stdout.strip()
    triton = os.path.join(site, "pytriton", "tritonserver")
    name = os.path.basename(folder)
    model = os.path.join(folder, "triton", name)
    os.makedirs(os.path.join(model, "1"), exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = os.path.join(triton, "python_backend_stubs", version, "triton_python_backend_stub")
    # The backend looks for it beside itself; the wheel keeps one for each Python.
    shutil.copy2(stub, os.path.join(triton, "backends", "python", "triton_python_backend_stub"))
    with open(os.path.join(model, "1", "model.py"), "w") as file:
        file.write(TRITON_MODEL.replace("FOLDER", folder).replace("SITE", site))
    features, cores = len(rows[0]), os.cpu_count()
    with open(os.path.join(model, "config.pbtxt"), "w") as file:
        file.write(f'name: "{name}"\nbackend: "python"\nmax_batch_size: 256\n'
                   f'input [{{ name: "input" data_type: TYPE_FP32 dims: [ {features} ] }}]\n'
                   f'output [{{ name: "output" data_type: TYPE_FP32 dims: [ {outputs} ] }}]\n'
                   f"instance_group [{{ count: {cores} kind: KIND_CPU }}]\n"
                   "dynamic_batching { max_queue_delay_microseconds: 0 }\n")
    port = free_port()
    command = [os.path.join(triton, "bin", "tritonserver"), "--model-repository", os.path.dirname(model),
               "--http-port", str(port), "--allow-grpc", "false", "--allow-metrics", "false",
               "--backend-directory", os.path.join(triton, "backends")]
    libraries = os.path.join(site, "nvidia_pytriton.libs")
    env = dict(os.environ, LD_LIBRARY_PATH=libraries, PYTHONPATH=site, OMP_NUM_THREADS="1")
    body, headers = binary(rows)
    return Server("triton", command, port, f"/v2/models/{name}/infer", body, headers, env=env)


FASTAPI = r'''
import numpy, onnxruntime
from fastapi import FastAPI, Request, Response
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("FOLDER/model.onnx", options, providers=["CPUExecutionProvider"])
app = FastAPI()
@app.post("/invocations")
async def invocations(request: Request):
    text = (await request.body()).decode()
    rows = numpy.array([line.split(",") for line in text.splitlines()], dtype=numpy.float32)
    answers = session.run(None, {"input": rows})[0]
    return Response("\n".join(",".join(map(str, row)) for row in answers.tolist()), media_type="text/csv")
'''


def fastapi_server(python, folder, rows):
    """FastAPI on uvicorn with uvloop and httptools, a process for each core."""
    with open(os.path.join(folder, "fast_app.py"), "w") as file:
        file.write(FASTAPI.replace("FOLDER", folder))
    port = free_port()
    command = [python, "-m", "uvicorn", "fast_app:app", "--port", str(port), "--workers", str(os.cpu_count()),
               "--no-access-log", "--log-level", "warning"]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    return Server("fastapi", command, port, "/invocations", csv(rows), CSV, env=env, cwd=folder)


MOSEC = r'''
import numpy, onnxruntime
from mosec import Server, Worker
class Model(Worker):
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("FOLDER/model.onnx", options, providers=["CPUExecutionProvider"])
    def deserialize(self, data):
        return numpy.array([line.split(",") for line in data.decode().splitlines()], dtype=numpy.float32)
    def serialize(self, data):
        return "\n".join(",".join(map(str, row)) for row in data.tolist()).encode()
    def forward(self, batch):
        answers = self.session.run(None, {"input": numpy.concatenate(batch)})[0]
        at, parts = 0, []
        for rows in map(len, batch):
            parts.append(answers[at:at + rows])
            at += rows
        return parts
if __name__ == "__main__":
    server = Server()
    server.append_worker(Model, num=CORES, max_batch_size=32, max_wait_time=2)
    server.run()
'''


def mosec_server(python, folder, rows):
    """mosec: an HTTP layer in Rust before Python workers; batches of 32, 2 ms."""
    with open(os.path.join(folder, "mosec_app.py"), "w") as file:
        file.write(MOSEC.replace("FOLDER", folder).replace("CORES", str(os.cpu_count())))
    port = free_port()
    command = [python, "mosec_app.py", "--port", str(port)]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    return Server("mosec", command, port, "/inference", csv(rows), CSV, env=env, cwd=folder)


# --- load --------------------------------------------------------------------------------------


def wrk(server, connections, seconds, threads=1):
    """Closed loop: requests/s, p50 and p99 in ms, CPU time of the server in us a request."""
    folder = os.path.join(CACHE, "wrk")
    os.makedirs(folder, exist_ok=True)
    body, script = os.path.join(folder, "body"), os.path.join(folder, "ask.lua")
    with open(body, "wb") as file:
        file.write(server.body)
    with open(script, "w") as file:
        file.write(f'local file = io.open("{body}", "rb")\nwrk.method = "POST"\nwrk.body = file:read("*a")\n')
        file.writelines(f'wrk.headers["{name}"] = "{value}"\n' for name, value in server.headers)
        file.write('done = function(summary, latency)\n'
                   '  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,\n'
                   "    latency:percentile(50), latency:percentile(99),\n"
                   "    summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect))\n"
                   "end\n")
    before = cpu_s(server.pid)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "-s", script, server.url()]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    used = cpu_s(server.pid) - before
    requests, duration_us, p50, p99, errors = map(int, re.search(r"RESULT (.*)", text).group(1).split())
    return {"rate": requests / duration_us * 1e6, "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3,
            "cpu_us": used / max(requests, 1) * 1e6, "errors": errors}


def open_loop(smrt, server, rate, seconds, connections=64, more=()):
    """Constant arrival rate by `smrt bench`: its JSON."""
    path = os.path.join(CACHE, "body.bin")
    headers = [text for name, value in server.headers if name != "Content-Type"
               for text in ("--header", f"{name}: {value}")]
    content = dict(server.headers)["Content-Type"]
    given = ["--data", server.body.decode()] if content == "text/csv" else ["--data-file", path + ".json"]
    if content != "text/csv":
        # A .json file is one body, whatever is in it.
        with open(path + ".json", "wb") as file:
            file.write(server.body)
    command = [smrt, "bench", server.url(), *given, "--content-type", content, *headers, "--rate", f"{rate:.0f}",
               "--duration-s", str(seconds), "--connections", str(connections), "--format", "json", "--quiet", *more]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(text)
