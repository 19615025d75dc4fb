"""What each sampler and correction of LSHSoftmaxClassifier is worth: log loss along CPU time.

    python benchmarks/softmax.py --tokens FILE.npz [--window 4]
    python benchmarks/softmax.py --python-tokens
    python benchmarks/softmax.py --classes 131072 [--rows 100000]
        [--methods NAME ...] [--epochs 1 2 4] [--seeds 3] [--pytorch-rows N] [--json FILE]

The tasks: the next word of a text, of which FILE.npz holds the arrays "train", "valid" and
"test" of word numbers; the next token of installed Python sources; or the synthetic set of
make_xmc_classification, several labels a row.

Each method has its learning rate chosen among --rates by the log loss of the validation rows
after --tune-epochs epochs. Then it is fitted for each number of --epochs, each time with a
rate that falls to 0, so that every point of a curve is a model as good as that time allows.
Measured on the test rows: perplexity, exact over all classes; P@1; P@1 of rows whose class is
seldom, beyond the --tail most frequent. Only `fit` is timed, on one core.

--pytorch-rows N beside it trains on N rows the same network with the whole softmax in PyTorch.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from results import facts

from sklsh import LSHSoftmaxClassifier
from sklsh.datasets import load_python_tokens, make_ngram_pairs, make_xmc_classification

HASHED = {"negatives": "lsh", "correction": "logq"}  # what the settings of tables vary
OWN = {"share_negatives": False, "n_active": 200}
METHODS = {
    "defaults": {},
    "full": {"negatives": "full"},
    "in batch, logq": {"negatives": "in_batch", "correction": "logq"},
    "in batch, none": {"negatives": "in_batch", "correction": "none"},
    "uniform, head-tail": {"negatives": "uniform", "correction": "head_tail"},
    "uniform, logq": {"negatives": "uniform", "correction": "logq"},
    "uniform, none": {"negatives": "uniform", "correction": "none"},
    "log-uniform, head-tail": {"negatives": "log_uniform", "correction": "head_tail"},
    "log-uniform, logq": {"negatives": "log_uniform", "correction": "logq"},
    "frequency, head-tail": {"negatives": "frequency", "correction": "head_tail"},
    "frequency, logq": {"negatives": "frequency", "correction": "logq"},
    "lsh, head-tail": {"negatives": "lsh", "correction": "head_tail"},
    "lsh, logq": HASHED,
    "lsh, none": {"negatives": "lsh", "correction": "none"},
    "250 lsh, logq": {"negatives": "lsh", "correction": "logq", "n_active": 250},
    "500 lsh, logq": {"negatives": "lsh", "correction": "logq", "n_active": 500},
    "500 lsh alone, logq": {"negatives": {"lsh": 1}, "correction": "logq", "n_active": 500},
    "500 uniform, logq": {"negatives": "uniform", "correction": "logq", "n_active": 500},
    "500 frequency, logq": {"negatives": "frequency", "correction": "logq", "n_active": 500},
    "lsh by label, head-tail": {"negatives": "lsh", "query": "label", "correction": "head_tail"},
    "lsh + frequency, head-tail": {
        "negatives": {"lsh": 1, "frequency": 1}, "correction": "head_tail"
    },
    "lsh + frequency, logq": {"negatives": {"lsh": 1, "frequency": 1}, "correction": "logq"},
    "lsh, then in batch, logq": {
        "negatives": [(0, "lsh"), (0.5, "in_batch")], "correction": "logq"
    },
    "in batch, then lsh, logq": {
        "negatives": [(0, "in_batch"), (0.5, "lsh")], "correction": "logq"
    },
    "own sets, lsh, head-tail": {"negatives": "lsh", "correction": "head_tail"} | OWN,
    "own sets, lsh, importance": {
        "negatives": "lsh", "correction": "importance", "hash_family": "dense_simhash"
    } | OWN,
    "rehash every 100": HASHED | {"rehash_every": 100, "rehash_growth": 1},
    "rehash every 20": HASHED | {"rehash_every": 20, "rehash_growth": 1},
    "rehash every 5": HASHED | {"rehash_every": 5, "rehash_growth": 1},
    "rehash never": HASHED | {"rehash_every": 10**9},
    "redraw every 200": HASHED | {"redraw_every": 200},
    "16 tables": HASHED | {"n_tables": 16},
    "buckets of 8": HASHED | {"bucket_size": 8},
}  # fmt: skip


class Task(NamedTuple):
    """Rows to train on, to choose by, and to judge by; `frequency` of the classes in training."""

    name: str
    train: tuple
    valid: tuple
    test: tuple
    frequency: np.ndarray
    settings: dict


def next_token_task(name, parts, n_tokens, args):
    """Rows of the tokens before each; those of a token never trained on are left out."""
    rows = [
        make_ngram_pairs(tokens, args.window, n_tokens=n_tokens, documents=documents)
        for tokens, documents in parts
    ]
    rows[0] = sample(rows[0], args.rows)
    frequency = np.bincount(rows[0][1], minlength=n_tokens)
    known = [(X[frequency[y] > 0], y[frequency[y] > 0]) for X, y in rows[1:]]
    limits = args.valid_rows, args.test_rows
    rows[1:] = [sample(part, limit) for part, limit in zip(known, limits, strict=True)]
    frequency = frequency[frequency > 0]
    return Task(name, *rows, frequency, {"input_dropout": 0.1, "hidden_dropout": 0.2})


def sample(rows, limit):
    """At most so many of the rows, drawn at random."""
    X, y = rows
    if limit is None or X.shape[0] <= limit:
        return rows
    chosen = np.sort(np.random.default_rng(0).permutation(X.shape[0])[:limit])
    return X[chosen], y[chosen]


def synthetic_task(args):
    """Several labels a row, in clusters that are hard to tell apart."""
    n = [args.rows or 100_000, 5_000, 5_000]
    X, Y = make_xmc_classification(
        sum(n), 135_909, args.classes, noise=0.65, random_state=0
    )  # fmt: skip
    ends = np.cumsum(n)
    parts = [(X[end - size : end], Y[end - size : end]) for end, size in zip(ends, n, strict=True)]
    frequency = np.bincount(parts[0][1].indices, minlength=args.classes)
    return Task(f"{args.classes:,} synthetic classes", *parts, frequency, {})


def task_of(args):
    """The task that the command names."""
    if args.tokens:
        with np.load(args.tokens) as file:
            parts = [(file[name].astype(np.int32), None) for name in ("train", "valid", "test")]
        n_tokens = 1 + max(int(tokens.max()) for tokens, _ in parts)
        return next_token_task(f"next of {n_tokens:,} words", parts, n_tokens, args)
    if args.python_tokens:
        loaded = [load_python_tokens(subset=s) for s in ("train", "validation", "test")]
        parts, n_tokens = [(b.tokens, b.documents) for b in loaded], len(loaded[0].vocabulary)
        return next_token_task(f"next of {n_tokens:,} Python tokens", parts, n_tokens, args)
    return synthetic_task(args)


def fitted(method, task, args, **settings):
    """A fitted model, and the CPU seconds of its fit."""
    settings = task.settings | METHODS[method] | settings
    settings = {"hidden_layer_sizes": (args.hidden,)} | settings
    if method != "defaults":
        settings = {"n_active": args.negatives} | settings
    model = LSHSoftmaxClassifier(**settings)
    begin = time.process_time()
    model.fit(*task.train)
    return model, time.process_time() - begin


def best_rate(method, task, args):
    """The learning rate of least log loss on the validation rows."""
    if len(args.rates) == 1:
        return args.rates[0]
    losses = [
        fitted(method, task, args, learning_rate_init=rate, max_iter=args.tune_epochs,
               random_state=0)[0].log_loss(*task.valid)
        for rate in args.rates
    ]  # fmt: skip
    return args.rates[int(np.argmin(losses))]


def judged(model, task, args):
    """Exact figures of a model on the test rows."""
    X, y = task.test
    labels = model.predict_top_k(X, 1)[0][:, 0]
    rank = np.argsort(np.argsort(-task.frequency, kind="stable"))
    if sp.issparse(y):
        right = np.asarray(y[np.arange(len(labels)), labels]).ravel()
        labels_of = np.split(y.indices, y.indptr[1:-1])
        seldom = np.array([len(ids) > 0 and rank[ids].min() >= args.tail for ids in labels_of])
    else:
        right, seldom = labels == y, rank[np.searchsorted(model.classes_, y)] >= args.tail
    result = {"perplexity": float(np.exp(model.log_loss(X, y))), "P@1": float(right.mean())}
    if seldom.any():
        result["tail P@1"] = float(right[seldom].mean())
    return result


def measure(method, task, args):
    """All fits of one method, printed as they come."""
    rate = best_rate(method, task, args)
    for seed, epochs in itertools.product(range(args.seeds), args.epochs):
        model, seconds = fitted(
            method, task, args, learning_rate_init=rate, max_iter=epochs, random_state=seed
        )
        result = {"method": method, "rate": rate, "seed": seed, "epochs": epochs}
        result |= {"cpu_s": seconds, "classes": model.n_active_} | judged(model, task, args)
        result = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in result.items()}
        print("  ".join(f"{k} {v}" for k, v in result.items()), flush=True)
        yield result


def pytorch(task, args):
    """The whole softmax in PyTorch: CPU seconds, and what it has learnt."""
    import torch
    from systems.pytorch import Network

    (X, y), (X_test, y_test) = task.train, task.test
    n = min(args.pytorch_rows, X.shape[0])
    classes, ids = (np.arange(y.shape[1]), None) if sp.issparse(y) else np.unique(y, True)
    Y = y[:n] if ids is None else one_hot(ids[:n], len(classes))
    network = Network(X.shape[1], len(classes), args.hidden, seed=0)
    begin = time.process_time()
    network.train(X[:n], Y, epochs=1, size=512, rate=0.005)
    seconds = time.process_time() - begin
    right = one_hot(np.searchsorted(classes, y_test), len(classes)) if ids is not None else y_test
    log_probability = 0.0
    with torch.no_grad():
        for first in range(0, X_test.shape[0], 512):
            rows = slice(first, first + 512)
            weights, bias = network.output.weight, network.output_bias.weight
            logits = network._hidden(X_test[rows]) @ weights.T + bias.T
            part = torch.log_softmax(logits, 1).numpy()
            labels = right[rows].tocoo()
            share = 1 / np.maximum(np.diff(right[rows].indptr), 1)
            log_probability += (part[labels.row, labels.col] * share[labels.row]).sum()
    perplexity = float(np.exp(-log_probability / X_test.shape[0]))
    result = {"method": "PyTorch, full", "rate": 0.005, "seed": 0, "epochs": n / X.shape[0]}
    return result | {"cpu_s": seconds, "classes": len(classes), "perplexity": perplexity}


def one_hot(ids, n):
    """Labels as CSR rows."""
    ones = np.ones(len(ids), dtype=np.float32)
    return sp.csr_array((ones, ids, np.arange(len(ids) + 1)), shape=(len(ids), n))


def keep(path, run):
    """Put a run into a file of them; of one on the same data it replaces the same methods."""
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    before = [r for r in runs if r["data"] == run["data"]]
    for old in before:
        done = {r["method"] for r in run["results"]}
        kept = [r for r in old["results"] if r["method"] not in done]
        run["results"] = kept + run["results"]
        if kept and old["command"] != run["command"]:
            run["command"] = f"{old['command']}` and `{run['command']}"
    runs = [r for r in runs if r["data"] != run["data"]] + [run]
    path.write_text(json.dumps({"runs": runs}, indent=1) + "\n")


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--tokens", type=Path, metavar="FILE")
    task.add_argument("--python-tokens", action="store_true")
    task.add_argument("--classes", type=int)
    parser.add_argument("--window", type=int, default=4, help="tokens before the next")
    parser.add_argument("--rows", type=int, help="training rows; all, or 100,000 synthetic ones")
    parser.add_argument("--valid-rows", type=int, default=10_000)
    parser.add_argument("--test-rows", type=int)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--tail", type=int, default=1000, help="classes that are not seldom")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rates", nargs="+", type=float, default=[2.5e-3, 5e-3, 1e-2])
    parser.add_argument("--tune-epochs", type=int, default=1)
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pytorch-rows", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    data = task_of(args)
    results = []
    for method in args.methods:
        results += measure(method, data, args)
    if args.pytorch_rows:
        results.append(pytorch(data, args))
        print(results[-1])
    if args.json:
        n_rows, n_features = data.train[0].shape
        setting = {
            "data": f"{data.name}, {n_rows:,} rows of {n_features:,} features",
            "setting": f"hidden {args.hidden}, {args.negatives:,} negatives, one thread, rates of "
            f"{args.rates} by {args.valid_rows:,} validation rows, {args.seeds} seeds",
        }
        keep(args.json, facts(data=[args.tokens]) | setting | {"results": results})


if __name__ == "__main__":
    main()
