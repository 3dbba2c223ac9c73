#!/usr/bin/env python3
"""Held-out quality of smrt's boosted trees beside XGBoost and LightGBM, on the shared data sets.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install xgboost-cpu lightgbm scikit-learn
    cargo build --release
    /tmp/peers/bin/python benches/peers/boosted_quality.py target/release/smrt

Parameters are REFERENCE.md's: XGBoost 100 rounds, depth 6, eta 0.3; LightGBM its defaults, 100
rounds. Each library trains on train.csv and is judged on test.csv; smrt trains the same parameters
from a job file and answers through `smrt predict`. One line per set: AUC of two classes, accuracy
of several, RMSE of numbers. It ends with 1 when the better of smrt's two is worse by more than
0.002 than the better of theirs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETS = ("adult breast_cancer creditcard_fraud digits german_credit iris letter mlc_churn mnist nsl_kdd "
        "phishing_river sagemaker_churn wine abalone california_housing").split()
NUMBERS = {"abalone", "california_housing"}
ALLOWANCE = 0.002
LIGHT = {"num_leaves": 31, "max_depth": -1, "min_data_in_leaf": 20, "feature_fraction": 1,
         "bagging_freq": 0}


def load(folder, part):
    path = folder / f"{part}.csv"
    path = path if path.exists() else folder / f"{part}.csv.gz"
    rows = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
    return rows[:, 0], rows[:, 1:]


def peers(kind, classes, train, test, seed):
    import lightgbm as lgb
    import xgboost as xgb
    warnings.filterwarnings("ignore")
    own = {"two": "binary:logistic", "many": "multi:softprob", "numbers": "reg:squarederror"}[kind]
    given = {"objective": own, "seed": seed, "tree_method": "hist", "max_depth": 6, "eta": 0.3}
    if kind == "many":
        given["num_class"] = classes
    booster = xgb.train(given, xgb.DMatrix(train[1], label=train[0]), 100)
    first = booster.predict(xgb.DMatrix(test[1]))
    own = {"two": "binary", "many": "multiclass", "numbers": "regression"}[kind]
    given = {"objective": own, "seed": seed, "verbose": -1}
    if kind == "many":
        given["num_class"] = classes
    booster = lgb.train(given, lgb.Dataset(train[1], label=train[0]), 100)
    return first, booster.predict(test[1])


def smrt(options, algorithm, kind, classes, folder, test, scratch):
    if algorithm == "xgboost":
        own = {"two": "binary:logistic", "many": "multi:softprob", "numbers": "reg:squarederror"}[kind]
        given = {"objective": own, "num_round": 100}
    else:
        own = {"two": "binary", "many": "multiclass", "numbers": "regression"}[kind]
        given = {"objective": own, "num_boost_round": 100, **LIGHT}
    if kind == "many":
        given["num_class"] = classes
    path = folder / "train.csv"
    path = path if path.exists() else folder / "train.csv.gz"
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    job = scratch / "job.toml"
    job.write_text(f'[job]\nname = "quality"\nseed = {options.seed}\n[algorithm]\nname = "{algorithm}"\n'
                   f'[hyperparameters]\n{lines}\n[channels.train]\nuri = "{path}"\n'
                   f'[output]\nuri = "{scratch}/models"\nkms_key = "none"\n')
    environment = {**os.environ, "SMRT_HOME": str(scratch / "home")}
    run([options.smrt, "train", str(job)], environment)
    rows = scratch / "rows.csv"
    np.savetxt(rows, test[1], delimiter=",", fmt="%.9g")
    artifact = scratch / "models" / "quality" / "output" / "model.tar.gz"
    answer = run([options.smrt, "predict", str(artifact), str(rows)], environment)
    return np.array([[float(cell) for cell in line.split(",")] for line in answer.split()]).squeeze()


def run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def figure(kind, labels, scores):
    """More is better."""
    from sklearn.metrics import roc_auc_score
    if kind == "two":
        return roc_auc_score(labels, scores)
    if kind == "many":
        return np.mean(scores.argmax(1) == labels)
    return -np.sqrt(np.mean((scores - labels) ** 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("smrt", help="the smrt binary")
    parser.add_argument("--shared", default=os.environ.get("SMRT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    worse = 0
    print("| set | figure | XGBoost | LightGBM | smrt xgboost | smrt lightgbm | better by | |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        folder = pathlib.Path(options.shared) / "data" / name
        train, test = load(folder, "train"), load(folder, "test")
        classes = len(np.unique(train[0]))
        kind = "numbers" if name in NUMBERS else "two" if classes == 2 else "many"
        theirs = [figure(kind, test[0], scores)
                  for scores in peers(kind, classes, train, test, options.seed)]
        with tempfile.TemporaryDirectory(prefix="smrt-quality-") as scratch:
            ours = [figure(kind, test[0], smrt(options, algorithm, kind, classes, folder, test,
                                               pathlib.Path(scratch)))
                    for algorithm in ("xgboost", "lightgbm")]
        gain = max(ours) - max(theirs)
        worse += gain < -ALLOWANCE
        shown = " | ".join(f"{abs(value):.4f}" for value in [*theirs, *ours])
        word = {"two": "AUC", "many": "accuracy", "numbers": "RMSE"}[kind]
        print(f"| {name} | {word} | {shown} | {gain:+.4f} | {'WORSE' if gain < -ALLOWANCE else 'ok'} |",
              flush=True)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
