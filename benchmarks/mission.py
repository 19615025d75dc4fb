"""Speed, memory and truth of MISSIONSelector and of other selectors where the truth is known.

    python benchmarks/mission.py [--families NAME ...] [--systems NAME ...] [--seeds 5]
        [--turns 3] [--passes 1] [--threads 1] [--rivals-python PYTHON] [--json FILE]

benchmarks/sparse_support.py draws the rows: 100,000 with 50 features of value 1, among which
those that matter are few and known; the features of the families named 2^40 have ids up to
there. Each seed draws other rows; all systems then fit to them turn by turn in one process, one
thread on one core, with equal passes where they make passes. Those that read tokens get lists of
strings, or a text file; hashing and parsing are in their time. Printed, medians over the seeds:

    rows / s     training rows per CPU second of a fit
    peak MB      a fit in a process of its own: how far the peak of resident memory rose above
                 what interpreter, libraries and rows had taken before; for the first seed
    state MB     the model between batches, as kept for more rows
    recall       share of the 100 true features among the 100 that were chosen; the least and the
                 mean over the seeds
    refit        test accuracy of LogisticRegression on the chosen features; the model that drew
                 the labels reaches the "ceiling"

Vowpal Wabbit runs under --rivals-python, the Python of an environment with

    pip install vowpalwabbit==9.11.9 numpy scipy

With --threads N a fit of ours on N threads takes turns with one on one thread, on all cores, and
"speed-up" is how many times less wall time it takes. What is slow fits once, to the first rows.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from feature_selectors import SYSTEMS
from results import facts, mission_tables
from sklearn.linear_model import LogisticRegression
from sparse_support import FAMILIES, Data, Family, make_sparse_support
from systems.worker import peak_bytes
from width import resident_bytes

FEW = {"n_rows": 200, "n_test": 10, "n_true": 10}  # rows that make a system import what it needs


def made(name, n, seed, args, **settings):
    """The system under that name, to choose n features."""
    settings |= {"n_features_to_select": n, "passes": args.passes, "seed": seed}
    if SYSTEMS[name].rival:
        settings |= {"python": args.rivals_python, "folder": args.folder}
    return SYSTEMS[name].make(**settings)


def makes_sense(name, family, seed, args):
    """Whether to run it on those rows."""
    system = SYSTEMS[name]
    if seed and system.slow:
        return False
    if system.rival and args.rivals_python is None:
        return False
    return system.wide or FAMILIES[family].n_features < 2**31


def fitted(name, data, seed, args, **settings):
    """The system after a fit, and its CPU and wall seconds."""
    model = made(name, args.true, seed, args, **settings)
    inputs = model.inputs(data)
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(*inputs)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return model, getattr(model, "cpu_s", cpu), wall


def fitted_in_turns(names, data, seed, args):
    """Each system after its last fit, and the median of its CPU seconds."""
    models, seconds = {}, {name: [] for name in names}
    for turn, name in itertools.product(range(args.turns), names):
        if turn == 0 or not SYSTEMS[name].slow:
            models[name], cpu, _ = fitted(name, data, seed, args)
            seconds[name].append(cpu)
    return {name: (models[name], float(np.median(seconds[name]))) for name in names}


def speed_up(name, data, args):
    """Wall seconds of a fit on one thread over those on many, medians of turns."""
    seconds = {1: [], args.threads: []}
    for _, n_jobs in itertools.product(range(args.turns), seconds):
        seconds[n_jobs].append(fitted(name, data, 0, args, n_jobs=n_jobs)[2])
    return float(np.median(seconds[1]) / np.median(seconds[args.threads]))


def columns(X, ids):
    """The columns with these ascending ids, without a look at any other."""
    places = np.minimum(np.searchsorted(ids, X.indices), len(ids) - 1)
    kept = ids[places] == X.indices
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[kept]
    return sp.csr_matrix((X.data[kept], (rows, places[kept])), shape=(X.shape[0], len(ids)))


def refit_accuracy(data, ids):
    """Of a plain logistic regression on the chosen features."""
    ids = np.sort(ids)
    model = LogisticRegression(max_iter=1000).fit(columns(data.X, ids), data.y)
    return model.score(columns(data.X_test, ids), data.y_test)


def measure(family, name, model, seconds, data, seed, args):
    """Figures of one system, fitted to one draw of the rows."""
    result = {"family": family, "system": name, "title": SYSTEMS[name].title, "seed": seed}
    result |= {"cpu_s": seconds, "rows/s": args.rows / seconds, "state_mb": model.n_bytes / 1e6}
    ids = model.ranked(data)
    if ids is not None:
        result |= {"recall": data.recall(ids), "refit": refit_accuracy(data, ids)}
    if seed == 0 and not args.no_memory:
        result["peak_mb"] = getattr(model, "peak_bytes", None)
        if result["peak_mb"] is None:
            result["peak_mb"] = in_a_new_process(peak_of_fit, name, data, args)
        result["peak_mb"] /= 1e6
    if seed == 0 and args.threads > 1 and SYSTEMS[name].ours:
        result["speed-up"] = speed_up(name, data, args)
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in result.items()}


def in_a_new_process(task, name, data, args):
    """What the task returns there; the rows go through files that are read without copies."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("data", "indices", "indptr"):
            np.save(Path(folder, f"{part}.npy"), getattr(data.X, part))
        np.save(Path(folder, "y.npy"), data.y)
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            return process.submit(task, name, Path(folder), data.X.shape, args).result()


def peak_of_fit(name, folder, shape, args):
    """How far memory rises in a fit, above what was there before it."""
    X = sp.csr_array(
        tuple(np.load(folder / f"{part}.npy") for part in ("data", "indices", "indptr")), shape
    )
    y = np.load(folder / "y.npy")
    few = make_sparse_support(Family(1000, None, 0.1), **FEW)
    first = made(name, FEW["n_true"], 0, args)
    first.fit(*first.inputs(few))
    model = made(name, args.true, 0, args)
    inputs = model.inputs(Data(X, y, X, y, np.empty(0), np.empty(0), 0))
    del first, few
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_bytes()
    model.fit(*inputs)
    return peak_bytes() - before


def run(args):
    """Rows of the result, as they come."""
    for family, seed in itertools.product(args.families, range(args.seeds)):
        data = make_sparse_support(
            FAMILIES[family], n_rows=args.rows, n_test=args.test_rows, n_true=args.true, seed=seed
        )
        names = [name for name in args.systems if makes_sense(name, family, seed, args)]
        for name, (model, seconds) in fitted_in_turns(names, data, seed, args).items():
            result = measure(family, name, model, seconds, data, seed, args)
            yield result | {"ceiling": round(data.ceiling, 4)}


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--families", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="NAME"
    )
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME"
    )
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=20_000)
    parser.add_argument("--true", type=int, default=100, help="features that matter")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3, help="fits of each system to the same rows")
    parser.add_argument("--threads", type=int, default=1, help="of ours, for the speed-up")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks")
    parser.add_argument("--rivals-python", help="whose packages hold Vowpal Wabbit")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    results = []
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        for result in run(args):
            results.append(result)
            print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
    setting = {
        "data": f"{args.rows:,} rows, 50 features each, {args.true} true features",
        "setting": f"{args.passes} pass{'es' * (args.passes > 1)}, one thread, {args.seeds} seeds",
        "results": results,
    }
    kept = facts() | setting
    print("\n".join(["", *mission_tables(kept)]))
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
