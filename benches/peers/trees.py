#!/usr/bin/env python3
"""Boosted trees of smrt beside XGBoost and LightGBM, in one run.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install xgboost==3.2.0 lightgbm scikit-learn
    cargo build --release --example boost
    /tmp/peers/bin/python benches/peers/trees.py [gen1000000 gen200000 nsl_kdd mnist] [--rounds 3]
        [--leaves]

For each set the three take turns at fitting (100 rounds; depth 6 and eta 0.3, LightGBM with 31
leaves; with --leaves all three grow 31 leaves, the one that saves most first), at answering the test rows and at SHAP values, with the same number of threads. The
ratio of medians is the figure; seconds only hold for this machine at this hour. XGBoost's
DMatrix and LightGBM's Dataset are made inside the clock, since smrt bins inside it too. On a
busy machine compare the CPU seconds (`cpu`), which waiting does not touch.
"""
import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

# Without these, OpenMP spins while it waits and a busy machine is unfair to the peers.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIGHTGBM = {"binary:logistic": "binary", "multi:softprob": "multiclass"}


def main():
    options = arguments()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory(prefix="smrt-trees-") as scratch:
        for name in options.sets:
            compare(options, name, pathlib.Path(scratch))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=["gen200000", "nsl_kdd", "mnist"],
                        help="genROWS, nsl_kdd, mnist")
    parser.add_argument("--smrt", help="the built example `boost`")
    parser.add_argument("--shared", default=os.environ.get("SMRT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    parser.add_argument("--trees", type=int, default=100, help="boosting rounds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--leaves", action="store_true", help="31 leaves, grown leaf by leaf")
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.smrt = options.smrt or target / "release" / "examples" / "boost"
    return options


def generated(rows, columns=28, seed=3):
    """Sums, products, a sine and noise, so that depth pays."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype("f4")
    z = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3] ** 2 - x[:, 4] * x[:, 5] * x[:, 6]
    z += 0.5 * x[:, 7:14].sum(1)
    y = z + rng.normal(size=rows) > np.median(z)
    return np.c_[y, x].astype("<f4")


def load(options, name):
    if name.startswith("gen"):
        rows = int(name[3:])
        data = generated(rows + rows // 5)
        return data[:rows], data[rows:], {"objective": "binary:logistic"}
    folder = pathlib.Path(options.shared) / "data" / name
    train, test = (np.genfromtxt(next(folder.glob(f"{part}.csv*")), delimiter=",", dtype="<f4")
                   for part in ("train", "test"))
    if name == "mnist":
        return train[:10000], test, {"objective": "multi:softprob", "num_class": 10}
    return train, test, {"objective": "binary:logistic"}


def timed(work):
    """What `work` gives, and its wall and CPU seconds in this process."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    out = work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return out, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Smrt:
    def __init__(self, options, parameters, train, test, scratch):
        self.options, self.parameters, self.scratch = options, parameters, scratch
        train.tofile(scratch / "train")
        np.ascontiguousarray(test[:, 1:]).tofile(scratch / "test")
        self.columns = train.shape[1]

    def call(self, command, data, columns, *rest):
        line = [self.options.smrt, command, self.scratch / data, str(columns),
                self.scratch / "model", str(self.options.threads), *rest]
        out = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
        return out

    def fit(self):
        given = [f"{name}={value}" for name, value in self.parameters.items()]
        out = self.call("fit", "train", self.columns, f"num_round={self.options.trees}", *given)
        self.peak_kib = out[2].split("=")[1]
        return float(out[0]), float(out[1].split("=")[1])

    def predict(self):
        out = self.call("predict", "test", self.columns - 1, self.scratch / "out")
        self.one_us = float(out[1]) * 1e6
        return np.fromfile(self.scratch / "out", "<f4"), float(out[0])

    def shap(self):
        return float(self.call("shap", "few", self.columns - 1, self.scratch / "out")[0])


def compare(options, name, scratch):
    import lightgbm
    import xgboost

    train, test, parameters = load(options, name)
    x, y, held = train[:, 1:].copy(), train[:, 0].copy(), np.ascontiguousarray(test[:, 1:])
    shape = {"max_depth": 6}
    if options.leaves:
        shape = {"max_depth": 0, "max_leaves": 31, "grow_policy": "lossguide"}
    ours = Smrt(options, {**parameters, **shape, "eta": 0.3}, train, test, scratch)
    few = held[:1000].copy()
    few.tofile(scratch / "few")
    theirs = {**parameters, **shape, "eta": 0.3, "nthread": options.threads, "seed": 7,
              "tree_method": "hist"}
    leaf = {"objective": LIGHTGBM[parameters["objective"]], "num_leaves": 31, "verbose": -1,
            "num_threads": options.threads, "seed": 7}
    if "num_class" in parameters:
        leaf["num_class"] = parameters["num_class"]
    took = {}

    def note(who, what, wall, cpu=None):
        took.setdefault((who, what), []).append(wall)
        if cpu is not None:
            took.setdefault((who, what + " cpu"), []).append(cpu)

    for _ in range(options.rounds):
        note("smrt", "fit", *ours.fit())
        xgb, wall, cpu = timed(lambda: xgboost.train(
            theirs, xgboost.DMatrix(x, y, nthread=options.threads), options.trees))
        note("xgboost", "fit", wall, cpu)
        lgb, wall, cpu = timed(lambda: lightgbm.train(
            leaf, lightgbm.Dataset(x, y, params={"verbose": -1}), options.trees))
        note("lightgbm", "fit", wall, cpu)
        answers = {}
        answers["smrt"], wall = ours.predict()
        note("smrt", "predict", wall)
        answers["xgboost"], wall, _ = timed(lambda: xgb.inplace_predict(held))
        note("xgboost", "predict", wall)
        answers["lightgbm"], wall, _ = timed(lambda: lgb.predict(held, num_threads=options.threads))
        note("lightgbm", "predict", wall)
        note("smrt", "shap", ours.shap())
        _, wall, _ = timed(lambda: xgb.predict(xgboost.DMatrix(few), pred_contribs=True))
        note("xgboost", "shap", wall)
    report(name, took, {who: quality(test[:, 0], out) for who, out in answers.items()}, ours)


def quality(y, scores):
    from sklearn.metrics import roc_auc_score

    scores = np.asarray(scores).reshape(len(y), -1)
    if scores.shape[1] > 1:
        return (scores.argmax(1) == y).mean()
    return roc_auc_score(y, scores[:, 0])


def report(name, took, figures, ours):
    middle = {key: statistics.median(values) for key, values in took.items()}
    print(f"{name}: " + ", ".join(f"{who} {figure:.4f}" for who, figure in figures.items())
          + f"; smrt holds {int(ours.peak_kib) >> 10} MiB, one row {ours.one_us:.1f} us")
    for what in ("fit", "fit cpu", "predict", "shap"):
        mine = middle[("smrt", what)]
        peers = {who: middle[(who, what)] for who in ("xgboost", "lightgbm")
                 if (who, what) in middle}
        print(f"  {what}: smrt {mine:.3f} s; " + ", ".join(
            f"{who} takes {seconds / mine:.2f} times as long" for who, seconds in peers.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
