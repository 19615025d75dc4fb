"""Time the best labels of a row take, exactly and through hash tables, beside PyTorch's.

    python benchmarks/predict.py [--classes N ...] [--rows N] [--json FILE]
        [--rivals-python PYTHON]

For each number of labels a SLIDEClassifier is trained for an epoch on the data of
make_xmc_classification. Then all ways rank the same activations of test rows, one after the
other on one core with one thread: PyTorch's product and topk in blocks of several sizes, the
classifier's exact top-k, the same by products of floats alone, and hash tables of several
sizes; and three of these asked for one row at a time. Printed as soon as it is known: CPU and
wall microseconds per row (medians over the turns), how many times faster than PyTorch's best
block that is, the share of the exact top-k that was found, and P@1. Hash tables are made
before the clock starts; what the exact ranking prepares in each call is in its time.

With --rivals-python (see benchmarks/xmc.py) PECOS and omikuji train on the same data, and
predict from its features; theirs is the cost of a whole prediction, so that of the
classifier is printed beside it.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
import torch
import xmc
from results import facts

from sklsh import SLIDEClassifier
from sklsh._kernels import _topk
from sklsh._layer_tables import PredictionTables
from sklsh._samplers import table_settings
from sklsh.datasets import make_xmc_classification
from sklsh.metrics import precision_at_k

TRAINING = {
    "loss": "softmax", "negatives": "uniform", "n_active": 2000, "correction": "head_tail",
    "batch_size": 256, "learning_rate_init": 0.016,
}  # fmt: skip
TABLES = ((8, 24), (32, 24), (32, 96), (32, 384))  # how many, and classes in a bucket
BLOCKS = (16, 64, 256)  # rows of PyTorch's product
FEW = 128  # rows of the first look, and of what is asked one row at a time
SINGLY = ", one row at a time"
RIVALS = ("pecos", "omikuji")


def exact(model, k):
    """The classifier's own exact ranking of activations."""
    return lambda hidden: model._network.output.top_k(hidden, k, 1)[0]


def exact_in_floats(model, k):
    """The same without bounds."""
    output = model._network.output

    def rank(hidden):
        ids = np.empty((len(hidden), k), dtype=np.int32)
        scores = np.empty((len(hidden), k), dtype=np.float32)
        _topk.top_k(hidden, output.weights, output.bias, ids, scores, 1)
        return ids

    return rank


def by_tables(model, k, n_tables, bucket_size):
    """Hash tables of some size, made before the first turn."""
    network = model._network
    model.set_params(n_tables=n_tables, bucket_size=bucket_size)
    settings, tables = table_settings(model, network.sizes[-2]), PredictionTables(0)
    return lambda hidden: tables.top_k(hidden, network.output, k, settings, 1)[0]


def by_pytorch(model, k, block):
    """PyTorch's product and topk."""
    output = model._network.output
    weights, bias = torch.from_numpy(output.weights), torch.from_numpy(output.bias.copy())

    def rank(hidden):
        blocks = torch.from_numpy(hidden).split(block)
        with torch.no_grad():
            found = [torch.addmm(bias, part, weights.T).topk(k).indices for part in blocks]
        return torch.cat(found).numpy()

    return rank


def ways(model, k):
    """All that rank activations, by name: PyTorch's first, as others are set beside it."""
    found = {f"PyTorch, {block} rows": by_pytorch(model, k, block) for block in BLOCKS}
    found |= {"sklsh, exact": exact(model, k), "sklsh, exact, in floats": exact_in_floats(model, k)}
    for n, size in TABLES:
        found[f"sklsh, lsh, {n} tables of {size}"] = by_tables(model, k, n, size)
    found["PyTorch" + SINGLY] = singly(by_pytorch(model, k, 1))
    for name in ("sklsh, exact", "sklsh, lsh, 32 tables of 96"):
        found[name + SINGLY] = singly(found[name])
    return found


def singly(rank):
    """The same way for few rows, one at a time, as a service would be asked."""
    return lambda hidden: np.concatenate([rank(row[None]) for row in hidden[:FEW]])


def timed(rank, hidden, turns):
    """Median CPU and wall microseconds a row, and the ids."""
    rank(hidden[:FEW])  # makes tables
    spent = []
    for _ in range(turns):
        cpu, wall = time.process_time(), time.perf_counter()
        ids = rank(hidden)
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    return *np.median(spent, axis=0) / len(ids) * 1e6, ids


def recall(found, best):
    """Mean share of the best ids that were found."""
    pairs = zip(found, best, strict=True)
    return np.mean([len(np.intersect1d(*pair)) / best.shape[1] for pair in pairs])


def rank_each_way(model, X, Y, args):
    """Rows of the result, as they come: every way to rank the activations of X."""
    hidden, fastest = model._network.hidden(X), {True: np.inf, False: np.inf}
    best = exact(model, args.k)(hidden)
    for name, rank in ways(model, args.k).items():
        cpu, wall, ids = timed(rank, hidden, args.turns)
        row = {"system": name, "cpu_us_per_row": round(cpu, 1), "wall_us_per_row": round(wall, 1)}
        one = name.endswith(SINGLY)
        if name.startswith("PyTorch"):
            fastest[one] = min(fastest[one], cpu)
        else:
            row["torch_over_this"] = round(fastest[one] / cpu, 2)
        row[f"recall@{args.k}"] = round(recall(ids, best[: len(ids)]), 4)
        if not one:
            row["P@1"] = round(float(precision_at_k(Y, ids, k=1)), 4)
        yield row


def whole_predictions(model, data, python, args):
    """Rows of the result: the classifier's and the rivals' predictions from features."""
    X, Y, X_test, Y_test = data
    cpu = time.process_time()
    labels = model.predict_top_k(X_test, args.k)[0]
    cpu = (time.process_time() - cpu) / X_test.shape[0] * 1e6
    rows = [{"system": "sklsh, from features", "cpu_us_per_row": round(cpu, 1),
             "P@1": round(precision_at_k(Y_test, labels, k=1), 4)}]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, matrix in {"X_train": X, "Y_train": Y, "X_test": X_test}.items():
            sp.save_npz(folder / f"{name}.npz", sp.csr_matrix(matrix), compressed=False)
        padded = sp.hstack([Y_test, sp.csr_matrix((Y_test.shape[0], xmc.K))], format="csr")
        size = {"n_rows": X.shape[0], "n_features": X.shape[1], "n_labels": Y.shape[1]}
        judged = xmc.Data("synthetic", folder, padded, np.ones(padded.shape[1]), size)
        for name in RIVALS:
            wanted = {"data": "synthetic", "system": name, "epochs": None, "seed": 0}
            run = xmc.run(wanted, judged, python, folder)
            if run:
                cost = 1000 * run["predict_cpu_ms_per_row"]
                rows.append({"system": run["title"], "cpu_us_per_row": round(cost, 1),
                             "P@1": round(run["P@1"] / 100, 4)})  # fmt: skip
    return rows


def keep(results, n_classes, rows):
    """Print rows and add them to the results, one by one."""
    for row in rows:
        results.append({"classes": n_classes} | row)
        print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, nargs="+", default=[131_072, 670_091])
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=1024)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--noise", type=float, default=0.65, help="share of a row's features")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rivals-python", help="whose packages hold PECOS and omikuji")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)

    results = []
    for n_classes in args.classes:
        X, Y = make_xmc_classification(
            args.rows + args.test_rows, args.features, n_classes, noise=args.noise, random_state=0
        )
        data = X[: args.rows], Y[: args.rows], X[args.rows :], Y[args.rows :]
        model = SLIDEClassifier(
            (args.hidden,), max_iter=1, random_state=0, n_jobs=1,
            input_dropout=0, hidden_dropout=0, **TRAINING,
        )  # fmt: skip
        model.fit(*data[:2])
        if args.rivals_python:
            keep(results, n_classes, whole_predictions(model, data, args.rivals_python, args))
        keep(results, n_classes, rank_each_way(model, *data[2:], args))
    if args.json:
        setting = {
            "data": f"{args.rows:,} rows, {args.features:,} features, {args.noise:.0%} noise",
            "setting": f"hidden {args.hidden}, one softmax epoch with {TRAINING['n_active']:,} "
            f"uniform negatives, {args.test_rows:,} test rows, k={args.k}, one thread, "
            f"torch {torch.__version__}",
        }
        kept = facts() | setting | {"results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
