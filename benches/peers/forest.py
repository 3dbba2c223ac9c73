#!/usr/bin/env python3
"""The random cut forest of smrt beside scikit-learn's IsolationForest and PyPI rrcf, in one run.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install scikit-learn rrcf
    cargo build --release --example forest
    /tmp/peers/bin/python benches/peers/forest.py [gen100000 ad_shuttle … nab] [--rounds 3]

For each set both fit 100 trees of 256 rows to all rows and score the same rows, in turns; the
ratio of medians is the figure (both on `--threads`), and seconds only hold for this machine at this hour. The AUC is
against the labels neither saw, mean over seeds. `nab` takes each series in shingles of 12 rows
(nyc_taxi 48) and counts the windows hit by the rule mean + 3 sd. rrcf (`--rrcf`) is given the
first 300 rows one by one, as it is meant to be used.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETS = ["ionosphere", "optdigits", "pima", "satellite", "shuttle", "thyroid"]


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="smrt-forest-") as scratch:
        options.scratch = pathlib.Path(scratch)
        for name in options.sets:
            nab(options) if name == "nab" else compare(options, name)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=[f"ad_{name}" for name in SETS] + ["gen100000"])
    parser.add_argument("--smrt", help="the built example `forest`")
    parser.add_argument("--shared", default=os.environ.get("SMRT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--rounds", type=int, default=3, help="turns and seeds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rrcf", action="store_true", help="time rrcf as well")
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.smrt = options.smrt or target / "release" / "examples" / "forest"
    return options


def load(options, name):
    """Labels (None when there are none) and rows."""
    if name.startswith("gen"):
        rng = np.random.default_rng(3)
        x = rng.normal(size=(int(name[3:]), 10)).astype("f4")
        y = np.arange(len(x)) % 200 == 0
        x[y] += rng.normal(scale=2, size=(y.sum(), 10)).astype("f4")
        return y, x
    path = pathlib.Path(options.shared) / "data" / name / "data.csv"
    data = np.genfromtxt(path, delimiter=",", dtype="f4")
    return data[:, 0] != 0, data[:, 1:].copy()


def smrt(options, rows, seed, *parameters):
    rows.astype("<f4").tofile(options.scratch / "rows")
    line = [options.smrt, options.scratch / "rows", str(rows.shape[1]), options.scratch / "scores",
            str(options.threads), f"seed={seed}", *parameters]
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    return np.fromfile(options.scratch / "scores", "<f4"), [float(value) for value in out]


def isolation(rows, seed, threads):
    """Scores on all threads, which n_jobs alone does not make it do: see its _iforest.py."""
    import joblib
    from sklearn.ensemble import IsolationForest
    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=seed,
                             n_jobs=threads)
    start = time.perf_counter()
    forest.fit(rows)
    fit = time.perf_counter() - start
    start = time.perf_counter()
    with joblib.parallel_backend("threading", n_jobs=threads):
        scores = -forest.score_samples(rows)
    return scores, fit, time.perf_counter() - start


def compare(options, name):
    from sklearn.metrics import roc_auc_score
    y, x = load(options, name)
    took = {"smrt": [], "scikit-learn": []}
    auc = {"smrt": [], "raw": [], "scikit-learn": []}
    for seed in range(1, options.rounds + 1):
        scores, (fit, score, one_us, _) = smrt(options, x, seed)
        took["smrt"].append((fit, score))
        auc["smrt"].append(roc_auc_score(y, scores))
        auc["raw"].append(roc_auc_score(y, smrt(options, x, seed, "normalize=false")[0]))
        scores, *seconds = isolation(x, seed, options.threads)
        took["scikit-learn"].append(seconds)
        auc["scikit-learn"].append(roc_auc_score(y, scores))
    middle = {who: [statistics.median(part) for part in zip(*all)] for who, all in took.items()}
    ours, theirs = middle["smrt"], middle["scikit-learn"]
    print(f"{name:14} {x.shape[0]:>8} x {x.shape[1]:<4}"
          f" fit+score {sum(theirs) / sum(ours):5.2f} times scikit-learn's speed"
          f" (smrt {ours[0]:.3f}+{ours[1]:.3f} s, it {theirs[0]:.3f}+{theirs[1]:.3f} s;"
          f" one row {one_us:.0f} us)"
          f"  AUC {np.mean(auc['smrt']):.4f} (sd {np.std(auc['smrt']):.4f};"
          f" normalize=false {np.mean(auc['raw']):.4f})"
          f" against {np.mean(auc['scikit-learn']):.4f}", flush=True)
    if options.rrcf:
        stream(name, x[:300], sum(ours) / len(x))


def stream(name, rows, ours):
    """rrcf as its README uses it: insert, codisp, forget, 40 trees."""
    import rrcf
    forest = [rrcf.RCTree() for _ in range(40)]
    start = time.perf_counter()
    for at, row in enumerate(rows):
        for tree in forest:
            if len(tree.leaves) > 256:
                tree.forget_point(at - 256)
            tree.insert_point(row.astype(float), index=at)
            tree.codisp(at)
    each = (time.perf_counter() - start) / len(rows) * 100 / 40
    print(f"{name:14} a row through 100 trees: {each / ours:.0f} times rrcf's speed")


def nab(options):
    from sklearn.metrics import roc_auc_score
    total = {"smrt": [], "scikit-learn": []}
    hits = {"smrt": 0, "scikit-learn": 0}
    flags = {"smrt": 0, "scikit-learn": 0}
    windows = 0
    for path in sorted((pathlib.Path(options.shared) / "data" / "nab").glob("*.csv")):
        table = np.genfromtxt(path, delimiter=",", usecols=(0, 2), dtype="f4")
        shingle = 48 if path.stem == "nyc_taxi" else 12
        y, x = table[shingle - 1:, 0] != 0, table[:, 1:].copy()
        if not y.any():
            continue
        found = {"smrt": smrt(options, x, 7, f"shingle_size={shingle}")[0]}
        series = np.lib.stride_tricks.sliding_window_view(x[:, 0], shingle)
        found["scikit-learn"] = isolation(np.ascontiguousarray(series), 7, options.threads)[0]
        spans = np.split(np.flatnonzero(y), np.flatnonzero(np.diff(np.flatnonzero(y)) > 1) + 1)
        windows += len(spans)
        line = f"{path.stem:36} {shingle:>3}"
        for who, scores in found.items():
            flagged = scores > scores.mean() + 3 * scores.std()
            hit = sum(flagged[span].any() for span in spans)
            total[who].append(roc_auc_score(y, scores))
            hits[who] += hit
            flags[who] += flagged.sum()
            line += f"  {who} AUC {total[who][-1]:.4f} windows {hit}/{len(spans)} flagged {flagged.sum()}"
        print(line, flush=True)
    for who in total:
        print(f"mean AUC of {who} {np.mean(total[who]):.4f}, {hits[who]} of {windows} windows hit,"
              f" {flags[who]} points flagged")


if __name__ == "__main__":
    main()
