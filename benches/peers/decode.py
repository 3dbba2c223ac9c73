#!/usr/bin/env python3
"""Decodes one CSV file with smrt, polars, pyarrow and pandas, by turns, and prints the ratios.

    python3 -m venv venv && venv/bin/pip install polars pyarrow pandas numpy
    venv/bin/python benches/peers/decode.py [--megabytes 200] [--rounds 5] [--threads 2] [--long]

Everyone gets the same threads and the same task: the file, warm in the page cache, to 32-bit floats
in memory. smrt also hashes the file (SHA-256, for provenance). Each reader runs in a process of its
own, `--rounds` times in turn, so that a busy machine is busy for all; the best round counts. The
ratio of CPU seconds is the steadier one on a shared machine. `--long` writes numbers of 15 to 17
digits, as Python prints doubles, in place of card transactions.
"""

import argparse
import os
import pathlib
import random
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
READERS = ["polars", "pyarrow", "pandas"]


def reader(name, path, columns, threads):
    names = [f"c{at}" for at in range(columns)]
    if name == "polars":
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars
        schema = {name: polars.Float32 for name in names}
        return lambda: polars.read_csv(path, has_header=False, schema=schema).height
    if name == "pyarrow":
        import pyarrow
        import pyarrow.csv
        pyarrow.set_cpu_count(threads)
        options = {
            "read_options": pyarrow.csv.ReadOptions(column_names=names),
            "convert_options": pyarrow.csv.ConvertOptions(
                column_types={name: pyarrow.float32() for name in names}),
        }
        return lambda: pyarrow.csv.read_csv(path, **options).num_rows
    import numpy
    import pandas
    return lambda: len(pandas.read_csv(path, header=None, dtype=numpy.float32))


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def child(name, path, columns, threads):
    """One decode in this process: wall seconds, CPU seconds, rows, peak MiB."""
    read = reader(name, path, columns, threads)
    start, used = time.perf_counter(), cpu_seconds()
    rows = read()
    wall, used = time.perf_counter() - start, cpu_seconds() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(wall, used, rows, peak)


def bench_binary():
    subprocess.run(["cargo", "build", "--release", "--bench", "decode"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = [path for path in (target / "release/deps").glob("decode-*") if not path.suffix]
    return max(found, key=lambda path: path.stat().st_mtime)


def write_long(path, size):
    chance = random.Random(7)
    lines = []
    for _ in range(2000):
        numbers = (repr(chance.gauss(0, 1) * 10 ** chance.randint(-2, 3)) for _ in range(30))
        lines.append(f"{chance.randint(0, 1)}," + ",".join(numbers) + "\n")
    block = "".join(lines)
    with open(path, "w") as file:
        for _ in range(size // len(block) + 1):
            file.write(block)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--long", action="store_true")
    given = arguments.parse_args()
    binary = bench_binary()
    kind = "long" if given.long else "transactions"
    path = ROOT / f"target/peers/decode-{kind}-{given.megabytes}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        size = given.megabytes * 1_000_000
        if given.long:
            write_long(path, size)
        else:
            subprocess.run([binary, "generate", path, str(size)], check=True)
    with open(path, "rb") as file:
        columns = file.readline().count(b",") + 1
        while file.read(1 << 24):  # into the page cache
            pass
    commands = {"smrt": [binary, "file", path, str(given.threads), "1"],
                "floor": [binary, "floor", path, "1"]}
    for name in READERS:
        commands[name] = [sys.executable, __file__, "child", name, path, str(columns),
                          str(given.threads)]
    best = {name: [float("inf"), float("inf"), 0, float("inf")] for name in commands}
    for _ in range(given.rounds):
        for name, command in commands.items():
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            wall, cpu, rows, peak = (float(word) for word in answer.split())
            was = best[name]
            best[name] = [min(was[0], wall), min(was[1], cpu), rows, min(was[3], peak)]
    size = path.stat().st_size / 1e6
    matrix = best["smrt"][2] * columns * 4 / 2**20
    print(f"{path.name}: {size:.0f} MB, {columns} columns, matrix {matrix:.0f} MiB, "
          f"{given.threads} threads, best of {given.rounds}")
    print(f"{'':9}{'MB/s':>7}{'CPU s':>8}{'peak MiB':>10}{'smrt is, wall':>15}{'smrt is, CPU':>14}")
    ours = best["smrt"]
    for name, (wall, cpu, rows, peak) in best.items():
        assert rows == ours[2], f"{name} read {rows} rows"
        print(f"{name:9}{size / wall:7.0f}{cpu:8.2f}{peak:10.0f}{wall / ours[0]:14.2f}x{cpu / ours[1]:13.2f}x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
