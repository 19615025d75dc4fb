"""Hidden layers that compute a few units for each row: accuracy, operations, and time.

    python benchmarks/hidden.py [--tasks accuracy width] [--data DIR] [--seeds N] [--json FILE]

"accuracy": two hidden layers of 1,000 units, of which a row keeps 5 %, beside the dense network
and beside random units, on pictures of rectangles (1,200 training rows) and of convex regions
(8,000), drawn anew for each seed, and on mnist, as far as DIR holds it. Operations are those
of training, hashing included, as shares of the dense network's, which passes over zeros of the
input, and of one that does not.

"width": CPU microseconds of a training row along the width of one hidden layer, for sampled
layers, our dense network, and PyTorch's, which multiplies by BLAS. All take turns in one
process, on one thread.
"""

import argparse
import itertools
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
import warnings

import numpy as np
from hidden_widths import MODELS, us_per_row
from results import facts
from row_tasks import read_mnist
from shapes import make_rectangles, make_regions
from sklearn.exceptions import ConvergenceWarning

from sklsh import SLIDEClassifier

SIZES = 1000, 1000
SYSTEMS = {
    "dense": {"learning_rate_init": 0.001},
    "lsh": {"hidden_sampling": "lsh", "learning_rate_init": 0.002, "beta_2": 0.99},
    "uniform": {"hidden_sampling": "uniform", "learning_rate_init": 0.002, "beta_2": 0.99},
}
N_TEST = 10_000  # generated rows
WIDTHS = 1024, 4096, 16_384, 65_536


def rectangles(args, seed):
    """Training and test rows."""
    return split(*make_rectangles(1200 + N_TEST, seed), 1200)


def regions(args, seed):
    """Training and test rows."""
    return split(*make_regions(8000 + N_TEST, seed), 8000)


def mnist(args, seed):
    """Training and test rows, the same for each seed."""
    return read_mnist(args.data) if args.data and (args.data / "mnist").exists() else None


def split(X, y, n):
    """The first n rows, and the others."""
    return X[:n], y[:n], X[n:], y[n:]


SETS = {"rectangles": (rectangles, 30), "convex": (regions, 20), "mnist": (mnist, 6)}


def accuracies(args):
    """Each system on each set and seed."""
    for seed, name in itertools.product(range(args.seeds), args.sets):
        read, n_epochs = SETS[name]
        data = read(args, seed)
        if data is None:
            print(f"{name} is not in {args.data}")
            continue
        for system in args.systems:
            found = {"task": "accuracy", "set": name, "system": system, "seed": seed}
            yield found | judged(*data, n_epochs, seed, SYSTEMS[system])


def judged(X, y, X_test, y_test, n_epochs, seed, settings):
    """Test accuracy, operations and CPU seconds of a fit."""
    model = SLIDEClassifier(
        SIZES, max_active=0.05, batch_size=64, max_iter=n_epochs, random_state=seed, **settings
    )
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the random control
        model.fit(X, y)
    found = {"cpu_s": time.process_time() - start, "epochs": n_epochs}
    counted = model.multiplications_
    if counted:
        zeros = 2 * SIZES[0] * (X.size - np.count_nonzero(X)) * n_epochs
        taken = counted["products"] + counted["hashing"]
        found |= {"share": counted["share"], "hashing": counted["hashing"] / taken}
        found["share of dense rows"] = taken / (counted["dense"] + zeros)
    return found | {"accuracy": model.score(X_test, y_test)}


def widths(args):
    """Time of each model at each width."""
    for width in args.widths:
        for name, (cpu, n_active) in us_per_row(width, args.models, args.turns).items():
            yield {
                "task": "width", "width": width, "system": name, "cpu_us_per_row": cpu,
                "n_active": n_active,
            }  # fmt: skip


RUNS = {"accuracy": accuracies, "width": widths}


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--data", type=Path, help="folder of mnist")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    for task in args.tasks:
        for found in RUNS[task](args):
            results.append({k: digits(v) for k, v in found.items()})
            print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)
    if args.json:
        keep(args, results)


def digits(value):
    """Four digits of a number."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def keep(args, results):
    """Put a run into the file; of an earlier one it replaces what is of the same kind."""
    run = facts(data=[args.data])
    if args.json.exists():
        before = json.loads(args.json.read_text())
        done = set(map(kind_of, results))
        results = [r for r in before["results"] if kind_of(r) not in done] + results
        commands = [*before["command"].split("` and `"), run["command"]]
        run["command"] = "` and `".join(dict.fromkeys(commands))
    lines = ",\n".join(json.dumps(result) for result in results)
    args.json.write_text(f'{json.dumps(run)[:-1]}, "results": [\n{lines}\n]}}\n')


def kind_of(result):
    """Task, set and system of a result."""
    return result["task"], result.get("set"), result["system"]


if __name__ == "__main__":
    main()
