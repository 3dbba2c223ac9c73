"""Batch transform beside `smrt predict` and a plain read of the same file.

    python benches/peers/transform.py SMRT [MEGABYTES]

Trains a small model (20 trees) and a large one (500 trees of depth 8) on 28 columns, writes so many
megabytes of CSV, and takes the best of three of: reading the file to nowhere, `smrt predict`, and
`smrt transform` to a folder on the same disk, plain and joined with its input. Prints megabytes a
second and seconds of CPU.
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy

JOB = """
[job]
name = "{name}"
seed = 7
[algorithm]
name = "xgboost"
[hyperparameters]
objective = "binary:logistic"
num_round = {rounds}
max_depth = {depth}
[channels.train]
uri = "train.csv"
[output]
uri = "models"
kms_key = "none"
"""

TRANSFORM = """
[job]
name = "scores"
[model]
uri = "models/{name}/output/model.tar.gz"
[input]
uri = "rows.csv"
split_type = "Line"
[output]
uri = "out"
assemble_with = "Line"
[data_processing]
join_source = "{join}"
"""


def run(command, folder):
    """Wall and CPU seconds of one command."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(said.decode())
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def best(command, folder):
    return min(run(command, folder) for _ in range(3))


def main():
    smrt = os.path.abspath(sys.argv[1])
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    random = numpy.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SMRT_HOME"] = os.path.join(folder, "keys")
        rows = random.normal(size=(20_000, 28)).round(5)
        label = (rows[:, 0] * rows[:, 1] + rows[:, 2] > 0).astype(int)
        lines = [",".join(map(str, row)) for row in rows]
        with open(os.path.join(folder, "train.csv"), "w") as file:
            file.writelines(f"{y},{line}\n" for y, line in zip(label, lines))
        block = "\n".join(lines) + "\n"
        with open(os.path.join(folder, "rows.csv"), "w") as file:
            for _ in range(megabytes * 1_000_000 // len(block)):
                file.write(block)
        size = os.path.getsize(os.path.join(folder, "rows.csv")) / 1e6
        print(f"{size:.0f} MB of CSV, 28 columns")
        print(f"{'':34}{'MB/s':>8}{"CPU s":>8}")

        def show(name, figures):
            wall, cpu = figures
            print(f"{name:34}{size / wall:8.0f}{cpu:8.2f}", flush=True)

        show("cat to nowhere", best(["cat", "rows.csv"], folder))
        for name, rounds, depth in [("small", 20, 6), ("large", 500, 8)]:
            with open(os.path.join(folder, "train.toml"), "w") as file:
                file.write(JOB.format(name=name, rounds=rounds, depth=depth))
            run([smrt, "train", "train.toml"], folder)
            model = f"models/{name}/output/model.tar.gz"
            predict = [smrt, "predict", model, "rows.csv", "--output", "predicted.csv"]
            show(f"{name}: smrt predict", best(predict, folder))
            for join in ["None", "Input"]:
                with open(os.path.join(folder, "job.toml"), "w") as file:
                    file.write(TRANSFORM.format(name=name, join=join))
                figures = best([smrt, "transform", "job.toml"], folder)
                show(f"{name}: smrt transform, join {join}", figures)
                if join == "None":
                    same = ["cmp", "predicted.csv", "out/rows.csv.out"]
                    if subprocess.run(same, cwd=folder, check=False).returncode != 0:
                        sys.exit("the answers differ")


main()
