#!/usr/bin/env python3
"""Held-out quality of smrt beside scikit-learn, on the data sets of the shared folder.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install scikit-learn
    cargo build --release
    /tmp/peers/bin/python benches/peers/quality.py target/release/smrt

For each set it trains scikit-learn's model as REFERENCE.md describes it (or, with --peer table,
takes the figures from that page), runs `smrt train` on the job file examples/quality/<set>-<model>.toml
and `smrt predict` on the test features, computes the same figures from both answers, and prints
one line per figure. It ends with 1 when smrt is worse by more than the model's allowance.

It measures quality only; times are printed for orientation and are not a benchmark.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
SETS = {
    "adult": BINARY,
    "nsl_kdd": BINARY,
    "mlc_churn": BINARY,
    "letter": MULTICLASS,
    "mnist": MULTICLASS,
    "california_housing": REGRESSION,
}
# How much worse than the peer each model may be.
ALLOWANCE = {"linear": 0.005, "mlp": 0.01}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    options = arguments()
    lines, worse = [], 0
    with tempfile.TemporaryDirectory(prefix="smrt-quality-") as scratch:
        for model in options.models.split(","):
            for name in options.sets.split(","):
                job = ROOT / "examples" / "quality" / f"{name}-{model}.toml"
                if not job.exists():
                    print(f"{name} {model}: {job.relative_to(ROOT)} does not exist", file=sys.stderr)
                    continue
                peer, ours = compare(options, name, model, job, pathlib.Path(scratch))
                for figure, theirs in peer.items():
                    if figure not in ours:
                        continue
                    # Errors are better when smaller.
                    loss = (ours[figure] - theirs) * (1 if figure in ("rmse", "mae") else -1)
                    judged = figure in ("accuracy", "auc", "rmse")
                    verdict = "" if not judged else "ok" if loss <= ALLOWANCE[model] else "WORSE"
                    worse += verdict == "WORSE"
                    lines.append((name, model, figure, theirs, ours[figure], -loss, verdict))
                report(lines[-len(peer):])
    print("\n| set | model | figure | scikit-learn | smrt | better by | |")
    print("|---|---|---|---|---|---|---|")
    for name, model, figure, theirs, mine, better, verdict in lines:
        print(f"| {name} | {model} | {figure} | {theirs:.4f} | {mine:.4f} | {better:+.4f} | {verdict} |")
    return 1 if worse else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("smrt", help="the smrt binary")
    parser.add_argument("--shared", default=os.environ.get("SMRT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--sets", default=",".join(SETS), help="some of " + ",".join(SETS))
    parser.add_argument("--models", default="linear", help="linear, mlp, or both with a comma")
    parser.add_argument("--peer", choices=("run", "table"), default="run",
                        help="run scikit-learn, or take its figures from REFERENCE.md")
    parser.add_argument("--threads", type=int, default=0, help="resources.threads of the jobs")
    return parser.parse_args()


def report(lines):
    for name, model, figure, theirs, ours, better, verdict in lines:
        print(f"{name:20} {model:7} {figure:9} {theirs:8.4f} {ours:8.4f} {better:+.4f} {verdict}",
              flush=True)


def compare(options, name, model, job, scratch):
    folder = pathlib.Path(options.shared) / "data" / name
    test = load(folder, "test")
    started = time.perf_counter()
    if options.peer == "run":
        peer = figures(SETS[name], test, *scikit(SETS[name], model, load(folder, "train"), test))
    else:
        peer = table(pathlib.Path(options.shared) / "data" / "REFERENCE.md", name, model)
    between = time.perf_counter()
    ours = figures(SETS[name], test, *smrt(options, SETS[name], job, test, scratch))
    ended = time.perf_counter()
    print(f"# {name} {model}: peer {between - started:.1f} s, smrt {ended - between:.1f} s", flush=True)
    return peer, ours


def load(folder, part):
    """Label first, no header: (labels, features)."""
    path = folder / f"{part}.csv"
    if not path.exists():
        path = folder / f"{part}.csv.gz"
    rows = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
    return rows[:, 0], rows[:, 1:]


def scikit(kind, model, train, test):
    """Labels answered, and scores: of the positive class, or the numbers themselves."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    warnings.filterwarnings("ignore")
    labels, features = train
    hidden = (128, 64) if features.shape[1] > 300 else (64, 32)
    if model == "linear":
        learner = LinearRegression() if kind == REGRESSION else LogisticRegression(max_iter=1000)
    else:
        learner = (MLPRegressor if kind == REGRESSION else MLPClassifier)(
            hidden_layer_sizes=hidden, random_state=7)
    pipeline = make_pipeline(StandardScaler(), learner).fit(features, labels)
    answered = pipeline.predict(test[1])
    if kind == BINARY:
        return answered, pipeline.predict_proba(test[1])[:, 1]
    return answered, answered


def smrt(options, kind, job, test, scratch):
    """As scikit(), from the command line."""
    environment = {**os.environ, "SMRT_HOME": str(scratch / "home")}
    output = scratch / "models"
    arguments = ["train", "--set", f"output.uri={output}"]
    if options.threads:
        arguments += ["--set", f"resources.threads={options.threads}"]
    run([options.smrt, *arguments, str(job)], environment)
    name = re.search(r'^name\s*=\s*"([^"]+)"', job.read_text(), re.M).group(1)
    rows = scratch / f"{name}.csv"
    np.savetxt(rows, test[1], delimiter=",", fmt="%.9g")
    artifact = output / name / "output" / "model.tar.gz"
    answer = run([options.smrt, "predict", "--format", "json", str(artifact), str(rows)], environment)
    predictions = [row for line in answer.splitlines() if line.strip()
                   for row in json.loads(line)["predictions"]]
    if kind == REGRESSION:
        scores = np.array([row["score"] for row in predictions])
        return scores, scores
    answered = np.array([float(row["predicted_label"]) for row in predictions])
    if kind == BINARY:
        return answered, np.array([row["score"] for row in predictions])
    return answered, answered


def run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def figures(kind, test, answered, scores):
    labels = test[0]
    if len(answered) != len(labels):
        sys.exit(f"{len(answered)} answers for {len(labels)} rows")
    if kind == REGRESSION:
        errors = scores - labels
        return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
    found = {"accuracy": float(np.mean(answered == labels))}
    if kind == BINARY:
        found["auc"] = auc(labels > labels.min(), scores)
    return found


def auc(positive, scores):
    """By ranks, ties counting half."""
    order = np.argsort(scores, kind="stable")
    values, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    positives = positive.sum()
    wins = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(scores) - positives)))


def table(page, name, model):
    """The figures of REFERENCE.md's row of this set."""
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] != name or len(cells) < 6:
            continue
        if SETS[name] == REGRESSION:
            column, names = (4 if model == "linear" else 5), ["rmse", "mae", "r2"]
        else:
            column, names = (6 if model == "linear" else 7), cells[5].split(" / ")
        values = [float(value) for value in cells[column].split(" / ")]
        known = {"acc": "accuracy", "auc": "auc", "rmse": "rmse", "mae": "mae"}
        return {known[n]: value for n, value in zip(names, values) if n in known}
    sys.exit(f"{page} has no row {name}")


if __name__ == "__main__":
    sys.exit(main())
