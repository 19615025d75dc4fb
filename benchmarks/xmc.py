"""Accuracy and cost of SLIDEClassifier and of other systems on extreme multi-label data.

    python benchmarks/xmc.py --data DIR [DIR ...] [--systems NAME ...] [--seeds 3]
        [--epochs N] [--rivals-python PYTHON] [--json FILE] [--missing]

Each DIR holds X_train.npz, Y_train.npz, X_test.npz and Y_test.npz as scipy.sparse.save_npz
writes them, features and 0/1 labels, or train.txt and test.txt in the format of the Extreme
Classification Repository (benchmarks/convert_xmc.py says where to get data). Counts become
TF-IDF (sublinear, unit length) fitted on the training half; other values are scaled to rows
of unit length. All systems get the same features.

Every run is a process of its own on one thread, so that its CPU seconds and its peak memory
(all it holds: interpreter, libraries and data too) are its own. It returns the five best
labels of each test row; what they are worth is computed here. Networks train for --epochs
epochs; without it ours for as many as it chooses, and PyTorch for ten. PyTorch runs under this
Python (pip install torch). omikuji, PECOS and napkinXC want NumPy below 2 and run under
--rivals-python, the Python of an environment with

    pip install "numpy<2" scipy omikuji==0.5.2 libpecos==1.2.8 napkinxc==0.7.2

The rivals named "-blend" get the votes of neighbours that NeighborBlendClassifier gives to ours:
the same rows vote, and their weight is chosen on the same held-out rows. What rivals give as
probabilities becomes logits first.

What is not installed is left out. With --json a run replaces the one of the same data,
system, epochs and seed in FILE and leaves the others, so that tables can be made in pieces;
with --missing only what FILE does not hold is run. benchmarks/results/xmc.json is what the
README shows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from results import cpu_model, xmc_tables
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize
from systems import SYSTEMS
from systems.worker import MISSING

from sklsh.datasets import load_xmc_file
from sklsh.metrics import jain_propensities, ndcg_at_k, precision_at_k, psp_at_k

HERE = Path(__file__).resolve().parent
K = 5
ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"], "1"
)


@dataclass
class Data:
    """A data set: where its training files are, and what its predictions are judged by.

    `frequency` counts the training rows of each label.
    """

    name: str
    folder: Path
    Y_test: sp.csr_array
    propensities: np.ndarray
    size: dict
    frequency: np.ndarray | None = None

    def placed(self, labels):
        """The labels, where -1 stands for one that was not given: columns behind all others."""
        return np.where(labels < 0, self.size["n_labels"] + np.arange(K), labels)


def read(folder):
    """Features and labels of both halves, as they are in `folder`."""
    if (folder / "train.txt").exists():
        (X, Y), (X_test, Y_test) = (load_xmc_file(folder / f"{h}.txt") for h in ("train", "test"))
    else:
        X, Y, X_test, Y_test = (
            sp.load_npz(folder / f"{name}.npz")
            for name in ("X_train", "Y_train", "X_test", "Y_test")
        )
    X, X_test = (sp.csr_matrix(x, dtype=np.float32) for x in (X, X_test))
    return X, X_test, sp.csr_matrix(Y, dtype=np.uint8), sp.csr_matrix(Y_test, dtype=np.uint8)


def scaled(X, X_test):
    """TF-IDF of counts; unit length of anything else."""
    if (X.data == np.round(X.data)).all() and X.data.min(initial=1) >= 0:
        tfidf = TfidfTransformer(sublinear_tf=True).fit(X)
        return tfidf.transform(X), tfidf.transform(X_test)
    return normalize(X), normalize(X_test)


def prepare(folder, scratch, share=1.0):
    """Write the features and labels that all systems read; returns the Data.

    `share` is the part of the training rows that is kept, drawn at random.
    """
    X, X_test, Y, Y_test = read(folder)
    if share < 1:
        rows = np.random.default_rng(0).permutation(X.shape[0])[: round(share * X.shape[0])]
        X, Y = X[rows], Y[rows]
    X, X_test = scaled(X, X_test)
    out = scratch / folder.name
    out.mkdir(parents=True)
    for name, matrix in {"X_train": X, "X_test": X_test, "Y_train": Y}.items():
        matrix.sort_indices()
        sp.save_npz(out / f"{name}.npz", matrix, compressed=False)
    # a system may return fewer than K labels: the columns behind stand for those it leaves out
    nothing = sp.csr_matrix((Y_test.shape[0], K), dtype=np.uint8)
    padded = sp.hstack([Y_test, nothing], format="csr")
    propensities = np.concatenate([jain_propensities(Y), np.ones(K)])
    frequency = np.concatenate([np.bincount(Y.indices, minlength=Y.shape[1]), np.zeros(K, int)])
    size = {"n_rows": X.shape[0], "n_features": X.shape[1], "n_labels": Y.shape[1]}
    return Data(folder.name, out, padded, propensities, size, frequency)


def scores(data, labels):
    """P, nDCG and PSP at 1, 3 and 5, in percent."""
    labels = data.placed(labels)
    found = {}
    for k in (1, 3, 5):
        found[f"P@{k}"] = precision_at_k(data.Y_test, labels, k=k)
        found[f"nDCG@{k}"] = ndcg_at_k(data.Y_test, labels, k=k)
        found[f"PSP@{k}"] = psp_at_k(data.Y_test, labels, k=k, propensities=data.propensities)
    return {name: 100 * value for name, value in found.items()}


def predicted(wanted, data, rivals_python, scratch):
    """What one run of one system predicts, and what it says of itself.

    `wanted` holds what tells the run from others: "data", "system", "epochs" and "seed".
    Returns the labels, and figures and versions; or None, with a word why there is nothing.
    """
    name = wanted["system"]
    system = SYSTEMS[name]
    python = rivals_python if system.rival else sys.executable
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        task = wanted | {"data": str(data.folder), "out": out, "k": K}
        environment = os.environ | ONE_THREAD | {"RIVALS_PYTHON": str(rivals_python)}
        if system.rival:
            environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [python, "-m", "systems.worker", json.dumps(task)],
            cwd=HERE, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode == MISSING:
            print(f"{data.name}: no {name}; {done.stderr.splitlines()[-1]}")
            return None
        if done.returncode:
            print(f"{data.name}: {name} failed\n{done.stderr[-2000:]}")
            return None
        returned = json.loads(Path(out, "run.json").read_text())
        return np.load(Path(out, "labels.npy")), returned


def run(wanted, data, rivals_python, scratch):
    """The row that one run of one system makes, or None."""
    answer = predicted(wanted, data, rivals_python, scratch)
    if answer is None:
        return None
    labels, returned = answer
    figures = scores(data, labels) | returned["figures"]
    figures = {key: float(f"{value:.5g}") for key, value in figures.items()}
    origin = {"versions": returned["versions"], "cpu": cpu_model()}
    return wanted | {"title": SYSTEMS[wanted["system"]].title} | data.size | figures | origin


def makes_sense(name, data):
    """Whether to run it on data of this size; says why not."""
    least, most = SYSTEMS[name].n_labels
    n_labels = data.size["n_labels"]
    if n_labels < least:
        print(f"{data.name}: no {name}; below {least:,} labels nothing is sampled")
    elif n_labels > most:
        print(f"{data.name}: no {name}; it is for up to {most:,} labels")
    return least <= n_labels <= most


def runs(data_name, names, epochs, seeds):
    """What tells each of the runs from the others."""
    for name in names:
        trained = epochs if SYSTEMS[name].epochs else None
        for seed in range(seeds):
            yield {"data": data_name, "system": name, "epochs": trained, "seed": seed}


def identity(row):
    """What tells one run from another."""
    return row["data"], row["system"], row["epochs"], row["seed"]


def kept(path):
    """Rows of the result file."""
    return json.loads(path.read_text())["runs"] if path and path.exists() else []


def keep(path, row):
    """Put the row into the result file, in place of the one that it repeats."""
    rows = [r for r in kept(path) if identity(r) != identity(row)] + [row]
    names = list(SYSTEMS)
    rows.sort(key=lambda r: (r["n_labels"], names.index(r["system"]), r["epochs"] or 0, r["seed"]))
    lines = ",\n".join(json.dumps(r) for r in rows)
    path.write_text(f'{{"runs": [\n{lines}\n]}}\n')


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of the networks, if not their usual ones")
    parser.add_argument("--rivals-python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--missing", action="store_true", help="only what --json lacks")
    args = parser.parse_args()
    done = {identity(row) for row in kept(args.json)} if args.missing else set()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in args.data:
            data = prepare(folder.resolve(), Path(scratch))
            names = [name for name in args.systems if makes_sense(name, data)]
            for wanted in runs(data.name, names, args.epochs, args.seeds):
                if identity(wanted) in done:
                    continue
                row = run(wanted, data, args.rivals_python, scratch)
                if row is None:
                    done.update(identity(wanted | {"seed": seed}) for seed in range(args.seeds))
                    continue
                rows.append(row)
                print(xmc_tables([row])[-1], flush=True)
                if args.json:
                    keep(args.json, row)
    print("\n".join(["", *xmc_tables(rows)]))


if __name__ == "__main__":
    main()
