#!/usr/bin/env python3
"""k-means and PCA of smrt beside scikit-learn, in one run.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install scikit-learn
    cargo build --release --example cluster
    /tmp/peers/bin/python benches/peers/cluster.py [--rows 1000000] [--rounds 3]

Rows of 28 normal columns, the same for both. k-means: Lloyd from one k-means++ start, 20
iterations, k 10; the inertia of both is printed. PCA: 10 components, from the covariance and
randomized; how far the explained variances differ is printed. The two take turns; the ratio of
medians is the figure, seconds only hold for this machine at this hour.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = 28


def main():
    options = arguments()
    rng = np.random.default_rng(3)
    # Columns of different spread, so that components differ.
    x = (rng.normal(size=(options.rows, COLUMNS)) * np.linspace(1, 3, COLUMNS)).astype("<f4")
    with tempfile.TemporaryDirectory(prefix="smrt-cluster-") as folder:
        data = pathlib.Path(folder) / "x"
        x.tofile(data)
        for name, algorithm, parameters, peer, figure in cases():
            ours, theirs, figures = [], [], None
            for _ in range(options.rounds):
                start = time.perf_counter()
                model = peer().fit(x)
                theirs.append(time.perf_counter() - start)
                seconds, metrics = smrt(options, algorithm, data, parameters)
                ours.append(seconds)
                figures = figure(model, metrics, options.rows)
            ratio = statistics.median(theirs) / statistics.median(ours)
            print(f"{name:16} scikit-learn {statistics.median(theirs):6.3f} s, smrt "
                  f"{statistics.median(ours):6.3f} s: {ratio:.2f} times as fast; {figures}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smrt", help="the built example `cluster`")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.smrt = options.smrt or target / "release" / "examples" / "cluster"
    return options


def cases():
    def inertia(model, metrics, rows):
        return (f"inertia per row {model.inertia_ / rows:.5f} and {metrics['train:msd']:.5f}, "
                f"iterations {model.n_iter_} and {metrics['epochs']:.0f}")

    def variance(model, metrics, _rows):
        theirs, ours = model.explained_variance_ratio_.sum(), metrics["train:explained_variance_ratio"]
        return f"explained variance {theirs:.6f} and {ours:.6f}"

    yield ("k-means", "kmeans", ["k=10", "local_lloyd_max_iter=20", "local_lloyd_tol=0"],
           lambda: KMeans(10, n_init=1, max_iter=20, tol=0, random_state=7), inertia)
    yield ("pca", "pca", ["num_components=10"],
           lambda: PCA(10, svd_solver="covariance_eigh"), variance)
    yield ("pca randomized", "pca", ["num_components=10", "algorithm_mode=randomized"],
           lambda: PCA(10, svd_solver="randomized", random_state=7), variance)


def smrt(options, algorithm, data, parameters):
    """Seconds of the fit alone, as it measures them, and its metrics."""
    command = [options.smrt, "fit", algorithm, data, str(COLUMNS), f"{data}.{algorithm}",
               str(options.threads), *parameters]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    metrics = dict(word.split("=") for word in said[1:])
    return float(said[0]), {name: float(value) for name, value in metrics.items()}


if __name__ == "__main__":
    main()
