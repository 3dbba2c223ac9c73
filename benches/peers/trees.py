#!/usr/bin/env python3
"""Boosted trees of smrt beside XGBoost and LightGBM, in one run.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install xgboost==3.2.0 lightgbm scikit-learn
    cargo build --release --example boost
    /tmp/peers/bin/python benches/peers/trees.py [gen1000000 gen200000 nsl_kdd mnist] [--rounds 3]
        [--leaves] [--what fit,predict,shap,memory,threads] [--held 1000000]

For each set the three take turns at fitting (100 rounds; depth 6 and eta 0.3, LightGBM with 31
leaves; with --leaves all three grow 31 leaves, the one that saves most first), at answering the test rows and at SHAP values, with the same number of threads. The
ratio of medians is the figure; seconds only hold for this machine at this hour. XGBoost's
DMatrix and LightGBM's Dataset are made inside the clock, since smrt bins inside it too. On a
busy machine compare the CPU seconds (`cpu`), which waiting does not touch. `memory` fits once more,
each library in a process of its own, and tells what the fit took beyond what the process held just
before it (its code and the rows), and the most it held in all;
`threads` lets smrt fit with one thread and with two.
"""
import argparse
import json
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
    if options.fit_one:
        fit_one(options.fit_one)
        return
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
    parser.add_argument("--held", type=int, help="generated rows to answer; a fifth of the others")
    parser.add_argument("--what", default="fit,predict,shap", help="what is measured")
    parser.add_argument("--fit-one", help=argparse.SUPPRESS)
    parser.add_argument("--leaves", action="store_true", help="31 leaves, grown leaf by leaf")
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.what = options.what.split(",")
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
        data = generated(rows + (options.held or rows // 5))
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

    def call(self, command, data, columns, *rest, threads=None):
        line = [self.options.smrt, command, self.scratch / data, str(columns),
                self.scratch / "model", str(threads or self.options.threads), *rest]
        out = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
        return out

    def fit(self, threads=None):
        given = [f"{name}={value}" for name, value in self.parameters.items()]
        out = self.call("fit", "train", self.columns, f"num_round={self.options.trees}", *given,
                        threads=threads)
        self.peak_kib, self.fit_kib = (int(out[at].split("=")[1]) for at in (2, 3))
        return float(out[0]), float(out[1].split("=")[1])

    def predict(self):
        out = self.call("predict", "test", self.columns - 1, self.scratch / "out")
        self.one_us = float(out[1]) * 1e6
        return np.fromfile(self.scratch / "out", "<f4"), float(out[0])

    def shap(self):
        return float(self.call("shap", "few", self.columns - 1, self.scratch / "out")[0])


def parameters_of(options, given):
    """Of smrt, of XGBoost and of LightGBM."""
    shape = {"max_depth": 6}
    if options.leaves:
        shape = {"max_depth": 0, "max_leaves": 31, "grow_policy": "lossguide"}
    theirs = {**given, **shape, "eta": 0.3, "nthread": options.threads, "seed": 7,
              "tree_method": "hist"}
    leaf = {"objective": LIGHTGBM[given["objective"]], "num_leaves": 31, "verbose": -1,
            "num_threads": options.threads, "seed": 7}
    if "num_class" in given:
        leaf["num_class"] = given["num_class"]
    return {**given, **shape, "eta": 0.3}, theirs, leaf


def fit_xgboost(options, theirs, x, y):
    import xgboost
    return xgboost.train(theirs, xgboost.DMatrix(x, y, nthread=options.threads), options.trees)


def fit_lightgbm(options, leaf, x, y):
    import lightgbm
    return lightgbm.train(leaf, lightgbm.Dataset(x, y, params={"verbose": -1}), options.trees)


def held_by(options, library, given, scratch):
    """MiB that a fresh process takes to fit the matrix in `scratch` with `library`, and holds at most."""
    line = [sys.executable, __file__, "--fit-one", json.dumps(
        [library, given, str(scratch), options.leaves, options.threads, options.trees])]
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    return tuple(int(kib) >> 10 for kib in out)


def held_kib(name):
    """What Linux says of this process: `VmRSS` now, `VmHWM` at most."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name))


def fit_one(task):
    library, given, scratch, leaves, threads, trees = json.loads(task)
    options = argparse.Namespace(leaves=leaves, threads=threads, trees=trees)
    _, theirs, leaf = parameters_of(options, given)
    x, y = np.load(f"{scratch}/x.npy"), np.load(f"{scratch}/y.npy")
    # A few rows first, so that what the library loads once is there before.
    fit, parameters = {"xgboost": (fit_xgboost, theirs), "lightgbm": (fit_lightgbm, leaf)}[library]
    fit(argparse.Namespace(threads=threads, trees=1), parameters, x[:1000].copy(), y[:1000].copy())
    # The peak so far is forgotten.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = held_kib("VmRSS")
    fit(options, parameters, x, y)
    peak = held_kib("VmHWM")
    print(peak - before, peak)


def compare(options, name, scratch):
    import xgboost

    train, test, given = load(options, name)
    x, y, held = train[:, 1:].copy(), train[:, 0].copy(), np.ascontiguousarray(test[:, 1:])
    own, theirs, leaf = parameters_of(options, given)
    ours = Smrt(options, own, train, test, scratch)
    few = held[:1000].copy()
    few.tofile(scratch / "few")
    took, what = {}, options.what

    def note(who, what, wall, cpu=None):
        took.setdefault((who, what), []).append(wall)
        if cpu is not None:
            took.setdefault((who, what + " cpu"), []).append(cpu)

    xgb = lgb = None
    answers = {}
    for turn in range(options.rounds):
        if "fit" in what or turn == 0:
            note("smrt", "fit", *ours.fit())
        if "fit" in what or xgb is None and {"predict", "shap"} & set(what):
            xgb, wall, cpu = timed(lambda: fit_xgboost(options, theirs, x, y))
            note("xgboost", "fit", wall, cpu)
            lgb, wall, cpu = timed(lambda: fit_lightgbm(options, leaf, x, y))
            note("lightgbm", "fit", wall, cpu)
        if "predict" in what:
            answers["smrt"], wall = ours.predict()
            note("smrt", "predict", wall)
            answers["xgboost"], wall, _ = timed(lambda: xgb.inplace_predict(held))
            note("xgboost", "predict", wall)
            answers["lightgbm"], wall, _ = timed(
                lambda: lgb.predict(held, num_threads=options.threads))
            note("lightgbm", "predict", wall)
        if "shap" in what:
            note("smrt", "shap", ours.shap())
            _, wall, _ = timed(lambda: xgb.predict(xgboost.DMatrix(few), pred_contribs=True))
            note("xgboost", "shap", wall)
        if "threads" in what:
            note("smrt", "one thread", ours.fit(threads=1)[0])
            note("smrt", "two threads", ours.fit(threads=2)[0])
    report(name, took, {who: quality(test[:, 0], out) for who, out in answers.items()}, ours)
    if "threads" in what:
        one, two = (statistics.median(took[("smrt", f"{count}")]) for count in
                    ("one thread", "two threads"))
        print(f"  one to two threads: {one:.3f} s to {two:.3f} s, {one / two:.2f} times as fast")
    if "memory" in what:
        np.save(scratch / "x.npy", x)
        np.save(scratch / "y.npy", y)
        own = (ours.fit_kib >> 10, ours.peak_kib >> 10)
        held = {"smrt": own, **{library: held_by(options, library, given, scratch)
                                for library in ("xgboost", "lightgbm")}}
        told = ", ".join(f"{who} {fit} MiB ({peak} MiB in all)" for who, (fit, peak) in held.items())
        print(f"  memory for the fit: {told}")


def quality(y, scores):
    from sklearn.metrics import roc_auc_score

    scores = np.asarray(scores).reshape(len(y), -1)
    if scores.shape[1] > 1:
        return (scores.argmax(1) == y).mean()
    return roc_auc_score(y, scores[:, 0])


def report(name, took, figures, ours):
    middle = {key: statistics.median(values) for key, values in took.items()}
    print(f"{name}: " + ", ".join(f"{who} {figure:.4f}" for who, figure in figures.items())
          + (f"; one row {ours.one_us:.1f} us" if figures else ""))
    for what in ("fit", "fit cpu", "predict", "shap"):
        peers = {who: middle[(who, what)] for who in ("xgboost", "lightgbm")
                 if (who, what) in middle}
        if not peers:
            continue
        mine = middle[("smrt", what)]
        print(f"  {what}: smrt {mine:.3f} s; " + ", ".join(
            f"{who} takes {seconds / mine:.2f} times as long" for who, seconds in peers.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
