#!/usr/bin/env python3
"""Decodes libsvm, parquet and recordio with smrt and what people use in Python, by turns.

    python3 -m venv venv && venv/bin/pip install pandas pyarrow scikit-learn xgboost-cpu protobuf
    venv/bin/python benches/peers/formats.py [--rows 500000] [--rounds 3] [--threads 2]

One table of 28 numbers and a label, generated with numpy: parquet as pandas writes it (snappy) and
with zstd, libsvm with every other cell left out, recordio dense (a tenth of the rows: the peer is
slow). Files are warm. Every reader runs in a process of its own, in turn; the best round counts.
pyarrow's task is columns of 32-bit floats, smrt's rows of them with a SHA-256 of the file on top.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/interop"))
from decode import ROOT, bench_binary, cpu_seconds  # noqa: E402

COLUMNS = 28
READERS = {"plain.parquet": ["pyarrow"], "zstd.parquet": ["pyarrow"],
           "half.svm": ["scikit-learn", "xgboost"], "dense.recordio": ["protobuf"]}


def make(folder, rows):
    import pyarrow
    import pyarrow.parquet
    chance = numpy.random.default_rng(7)
    features = chance.standard_normal((rows, COLUMNS)).astype(numpy.float32)
    label = chance.integers(0, 2, rows).astype(numpy.float32)
    names = ["label"] + [f"f{at}" for at in range(COLUMNS)]
    table = pyarrow.table([label] + [features[:, at] for at in range(COLUMNS)], names)
    pyarrow.parquet.write_table(table, folder / "plain.parquet")
    pyarrow.parquet.write_table(table, folder / "zstd.parquet", compression="zstd")
    with open(folder / "half.svm", "w") as out:
        for row in range(rows):
            cells = (f"{at}:{features[row, at]:.6g}" for at in range(row % 2, COLUMNS, 2))
            out.write(f"{label[row]:.0f} {' '.join(cells)}\n")
    from recordio import framed, record_class
    Record = record_class()
    with open(folder / "dense.recordio", "wb") as out:
        for row in range(rows // 10):
            record = Record()
            record.features["values"].float32_tensor.values.extend(features[row].tolist())
            record.label["values"].float32_tensor.values.append(float(label[row]))
            out.write(framed(record.SerializeToString()))


def reader(name, path, threads):
    if name == "pyarrow":
        import pyarrow
        import pyarrow.parquet
        pyarrow.set_cpu_count(threads)
        return lambda: pyarrow.parquet.read_table(path).num_rows
    if name == "scikit-learn":
        from sklearn.datasets import load_svmlight_file
        return lambda: load_svmlight_file(path, dtype=numpy.float32, zero_based=True)[0].shape[0]
    if name == "xgboost":
        import xgboost
        return lambda: xgboost.DMatrix(f"{path}?format=libsvm", nthread=threads).num_row()
    from recordio import record_class
    import struct
    Record = record_class()

    def read():
        data, at, rows = pathlib.Path(path).read_bytes(), 0, []
        while at < len(data):
            length = struct.unpack_from("<I", data, at + 4)[0]
            record = Record.FromString(data[at + 8:at + 8 + length])
            rows.append(numpy.array(record.features["values"].float32_tensor.values, numpy.float32))
            at += 8 + (length + 3) // 4 * 4
        return len(numpy.stack(rows))
    return read


def child(name, path, threads):
    import warnings
    warnings.filterwarnings("ignore")
    read = reader(name, path, threads)
    start, used = time.perf_counter(), cpu_seconds()
    rows = read()
    print(time.perf_counter() - start, cpu_seconds() - used, rows, 0)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=500_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--make-only", action="store_true")
    given = arguments.parse_args()
    folder = ROOT / f"target/peers/formats-{given.rows}"
    if not folder.exists():
        folder.mkdir(parents=True)
        make(folder, given.rows)
    if given.make_only:
        return
    binary = os.environ.get("SMRT_BENCH_DECODE") or bench_binary()
    print(f"{given.rows} rows x {COLUMNS}, {given.threads} threads, best of {given.rounds}")
    print(f"{'':16}{'':14}{'s':>8}{'CPU s':>8}{'smrt is, wall':>15}{'smrt is, CPU':>14}")
    for file, names in READERS.items():
        path = folder / file
        path.read_bytes()
        commands = {"smrt": [binary, "file", path, str(given.threads), "1"]}
        for name in names:
            commands[name] = [sys.executable, __file__, "child", name, path, str(given.threads)]
        best = {name: [float("inf")] * 2 for name in commands}
        for _ in range(given.rounds):
            for name, command in commands.items():
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                wall, cpu, rows, _ = (float(word) for word in said.splitlines()[-1].split())
                best[name] = [min(best[name][0], wall), min(best[name][1], cpu)]
        for name, (wall, cpu) in best.items():
            ours = best["smrt"]
            print(f"{file:16}{name:14}{wall:8.3f}{cpu:8.2f}{wall / ours[0]:14.2f}x{cpu / max(ours[1], .01):13.2f}x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
