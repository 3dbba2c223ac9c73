#!/usr/bin/env python3
"""Makes every file in this folder from packages whose licence allows it.

    python3 -m venv venv
    venv/bin/pip install rdata==1.1.0 river==0.26.1 scikit-learn==1.9.1
    venv/bin/python datasets/make.py            # writes beside itself and prints README's table

Needs Debian's `apt-get download` and `dpkg` for churn. Nothing else is downloaded. The same package
versions give the same bytes: `make.py --check` compares with what lies here and writes nothing.
"""

import csv
import hashlib
import io
import lzma
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SEED = 7
VALIDATION_SHARE = 0.25


def churn():
    """mlc_churn of the R package modeldata, one-hot where it has words. Artificial data, MIT."""
    import rdata

    with tempfile.TemporaryDirectory() as folder:
        package = "r-cran-modeldata=1.1.0-1"
        subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        deb = next(pathlib.Path(folder).glob("*.deb"))
        subprocess.run(["dpkg", "-x", deb, folder], check=True)
        base = pathlib.Path(folder) / "usr/lib/R/site-library/modeldata/data/Rdata"
        index = rdata.read_rds(base.with_suffix(".rdx"))
        start, length = (int(n) for n in index["variables"]["mlc_churn"])
        stored = base.with_suffix(".rdb").read_bytes()[start:start + length]
    # R's lazy-load format: size, kind of compression ("Z": raw LZMA2), data.
    assert stored[4:5] == b"Z"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
    plain = lzma.decompress(stored[5:], lzma.FORMAT_RAW, filters=filters)
    assert len(plain) == struct.unpack(">I", stored[:4])[0]
    table = rdata.conversion.convert(rdata.parser.parse_data(plain))

    label = [1 if word == "yes" else 0 for word in table["churn"]]
    names, columns = [], []
    for name in table.columns:
        values = list(table[name])
        if name == "churn":
            continue
        if set(values) == {"yes", "no"}:
            names.append(name)
            columns.append([1 if word == "yes" else 0 for word in values])
        elif isinstance(values[0], str):
            for word in sorted(set(values)):
                names.append(f"{name}_{word.removeprefix('area_code_')}")
                columns.append([1 if value == word else 0 for value in values])
        else:
            names.append(name)
            columns.append(values)
    return "churn", names, label, list(zip(*columns))


def phishing():
    """Phishing sites, UCI 379, as packed in PyPI river. CC BY 4.0."""
    from river import datasets

    rows = list(datasets.Phishing())
    names = list(rows[0][0])
    features = [[row[name] for name in names] for row, _ in rows]
    return "phishing", names, [int(label) for _, label in rows], features


def digits():
    """8x8 handwritten digits, UCI 80 (test part), as packed in PyPI scikit-learn. CC BY 4.0."""
    from sklearn.datasets import load_digits

    data = load_digits()
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    return "digit", names, [int(label) for label in data.target], data.data.tolist()


def number(value):
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def split(labels):
    """Row numbers of train and validation; every class in the same proportion in both."""
    chance = random.Random(SEED)
    chosen = set()
    for kind in sorted(set(labels)):
        rows = [row for row, label in enumerate(labels) if label == kind]
        chance.shuffle(rows)
        chosen.update(rows[:round(len(rows) * VALIDATION_SHARE)])
    train = [row for row in range(len(labels)) if row not in chosen]
    return {"train": train, "validation": sorted(chosen)}


def write(folder, made, check):
    label_name, names, labels, features = made
    for part, rows in split(labels).items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([label_name, *names])
        for row in rows:
            writer.writerow([labels[row], *map(number, features[row])])
        stored = text.getvalue().encode()
        path = HERE / folder / f"{part}.csv"
        if check:
            assert path.read_bytes() == stored, f"{path} is not what this script makes"
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(stored)
        digest = hashlib.sha256(stored).hexdigest()
        counts = ", ".join(f"{kind}: {sum(labels[row] == kind for row in rows)}"
                           for kind in sorted(set(labels)))
        print(f"| {folder}/{part}.csv | {len(rows)} | {len(names)} | {counts} | `{digest}` |")


if __name__ == "__main__":
    checking = "--check" in sys.argv[1:]
    print("| file | rows | features | labels | SHA-256 |\n|---|---|---|---|---|")
    write("churn", churn(), checking)
    write("phishing", phishing(), checking)
    write("digits", digits(), checking)
