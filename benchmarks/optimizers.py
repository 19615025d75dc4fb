"""What optimizers with state in count-sketches cost, save and learn, beside dense ones.

    python benchmarks/optimizers.py [--tasks synthetic documents words memory] [--data DIR]
        [--tokens FILE.npz] [--systems NAME ...] [--epochs 2] [--seeds 3] [--json FILE]

"synthetic" has the data of make_xmc_classification; "documents" those of DIR, in a form that
benchmarks/xmc.py reads; "words" asks LSHSoftmaxClassifier for the next word of a text, whose
arrays FILE.npz holds as benchmarks/softmax.py reads them. Under each optimizer the same network
is trained for --epochs epochs at a rate that falls to 0, with the same batches; all of a seed
take turns in one process, on one thread. Kept for each: CPU microseconds of a training row, the
median over stretches of batches; bytes of the optimizer's state; after each epoch P@1 in percent
and, for words, the exact perplexity of the test rows; and the loss of the epochs.

"memory" trains an epoch over 670,091 labels in a process of its own, as benchmarks/width.py does,
and keeps how far the peak of resident memory rose above interpreter, libraries and data.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import softmax
import width
from optimizer_trainings import SYSTEMS, Task, take_turns
from results import facts
from xmc import read, scaled

from sklsh.datasets import make_xmc_classification

USUAL = "Adam", "cs_adam", "cs_adam, beta_1=.9", "RMSprop", "cs_rmsprop, 10 %"
FEATURES, NOISE, NEGATIVES, TEST_ROWS = 135_909, 0.65, 2000, 5000  # of synthetic labels
LARGE = 670_091
MEASURED = {  # systems of benchmarks/width.py
    "lsh": "Adam", "lsh-cs-adam": "cs_adam", "lsh-cs-rmsprop": "cs_rmsprop, 10 %"
}  # fmt: skip


def synthetic_task(args):
    """Many labels, a cluster of features each."""
    n = args.rows
    X, Y = make_xmc_classification(
        n + TEST_ROWS, FEATURES, args.classes, noise=NOISE, random_state=0
    )  # fmt: skip
    settings = {
        "loss": "softmax", "correction": "none", "n_active": NEGATIVES, "batch_size": 256,
        "learning_rate_init": 4e-3, "input_dropout": 0, "hidden_dropout": 0,
    }  # fmt: skip
    described = f"{NEGATIVES:,} negatives, batch 256, rate .004, plain softmax, no dropout"
    name = f"{args.classes:,} synthetic labels"
    return Task(name, (X[:n], Y[:n]), (X[n:], Y[n:]), settings, described)


def documents_task(args):
    """Texts and their labels."""
    X, X_test, Y, Y_test = read(args.data.resolve())
    X, X_test = scaled(X, X_test)
    settings = {"batch_size": 512}
    name = f"{args.data.name}, {Y.shape[1]:,} labels"
    return Task(name, (X, Y), (X_test, Y_test), settings, "all else at its defaults")


def words_task(args):
    """The next word."""
    task = softmax.task_of(
        argparse.Namespace(
            tokens=args.tokens,
            window=4,
            rows=None,
            valid_rows=1,
            test_rows=args.test_rows,
        )
    )
    settings = task.settings | {"batch_size": 512}
    return Task(task.name, task.train, task.test, settings, "all else at its defaults")


def learning(task, args):
    """The run of a task: all optimizers, seed by seed."""
    task = task._replace(settings=task.settings | {"hidden_layer_sizes": (args.hidden,)})
    results = []
    for seed in range(args.seeds):
        found = take_turns(args.systems, task, args.epochs, seed, args.stretch)
        for name, figures in found.items():
            results.append({"method": name, "seed": seed} | rounded(figures))
            print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)
    n_rows, n_features = task.train[0].shape
    return {
        "data": f"{task.name}, {n_rows:,} rows of {n_features:,} features",
        "setting": f"hidden {args.hidden}, {task.described}, {args.epochs} epochs, products in "
        "floats where nothing else is said, one thread",
        "results": results,
    }


def rounded(figures):
    """Four digits of each."""
    return {
        k: [float(f"{x:.4g}") for x in v] if isinstance(v, list) else float(f"{v:.4g}")
        for k, v in figures.items()
    }


def memory(args):
    """The run of the peaks."""
    X, Y = make_xmc_classification(
        args.rows, FEATURES, LARGE, noise=NOISE, random_state=0
    )  # fmt: skip
    usual = argparse.Namespace(hidden=args.hidden, batch=256, negatives=NEGATIVES, rate=4e-3)
    results = []
    found = width.peaks(MEASURED, X, Y, usual)
    for title, (peak, model) in zip(MEASURED.values(), found, strict=True):
        figures = {"peak_mb": peak / 1e6, "model_mb": model / 1e6}
        results.append({"method": title} | rounded(figures))
        print(results[-1], flush=True)
    return {
        "data": f"{LARGE:,} synthetic labels, {args.rows:,} rows of {FEATURES:,} features",
        "setting": f"hidden {args.hidden}, {NEGATIVES:,} negatives, one epoch, one thread",
        "results": results,
    }


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    tasks = {
        "synthetic": synthetic_task, "documents": documents_task, "words": words_task,
        "memory": None,
    }  # fmt: skip
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=["synthetic", "memory"])
    parser.add_argument("--data", type=Path, help="folder of documents")
    parser.add_argument("--tokens", type=Path, metavar="FILE")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=USUAL, metavar="NAME")
    parser.add_argument("--classes", type=int, default=131_072, help="synthetic ones")
    parser.add_argument("--rows", type=int, default=100_000, help="synthetic ones")
    parser.add_argument("--test-rows", type=int, default=20_000, help="of words")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stretch", type=int, default=20, help="batches of one turn")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in args.tasks:
        run = memory(args) if name == "memory" else learning(tasks[name](args), args)
        if args.json:
            softmax.keep(args.json, facts(data=[args.data, args.tokens]) | run)


if __name__ == "__main__":
    main()
