"""Time and memory that a training row of a wide network costs, beside PyTorch.

    python benchmarks/width.py [--classes N ...] [--rows N] [--systems NAME ...] [--json FILE]

The data are those of make_xmc_classification, made anew for each number of labels. All
systems train an epoch of the same network with the same batches, learning rate and loss,
turn by turn in stretches of batches, one thread each on one core; those that look at all
labels train on a few batches only, a stretch each. Printed for each:

    CPU us       CPU microseconds per row, the median over the stretches
    mean         the same over all stretches, rare work such as rehashing in full
    wall us      wall microseconds, the median over the stretches
    of bound     the least time that the machine needs, as roofline.py measures and counts
                 it, as a share of the median
    x PyTorch    how many times more CPU time PyTorch's sampled softmax takes
    x full       the same of PyTorch's full softmax
    P@1          on the test rows, after the epoch
    peak MB      an epoch in a process of its own: how far the peak of resident memory rose
                 above what interpreter, libraries and data had taken before; for the first seed
    / model      that peak, divided by the bytes of parameters and optimizer state

With --threads N sklsh alone trains, on one thread and on N in turns, on all cores, and
"speed-up" is how many times less wall time N threads take.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import roofline
import scipy.sparse as sp
from results import facts
from systems.stepped import SYSTEMS, USUAL
from systems.worker import peak_bytes
from turns import Turn

from sklsh.datasets import make_xmc_classification
from sklsh.metrics import precision_at_k

SIZES = (8_192, 32_768, 131_072, 670_091)
COLUMNS = {  # width and format of what is printed
    "CPU us": (9, ".1f"), "mean": (9, ".1f"), "wall us": (9, ".1f"), "of bound": (10, ".0%"),
    "x PyTorch": (11, ".3g"), "x full": (9, ".3g"), "speed-up": (10, ".2f"), "P@1": (8, ".4f"),
    "peak MB": (9, ".0f"), "/ model": (9, ".3f"),
}  # fmt: skip


def make_data(n_classes, args):
    """Training and test rows: (X, Y, X_test, Y_test)."""
    X, Y = make_xmc_classification(
        args.rows + args.test_rows, args.features, n_classes, noise=args.noise,
        random_state=args.data_seed,
    )  # fmt: skip
    n = args.rows
    return X[:n], Y[:n], X[n:], Y[n:]


def contestants(args):
    """(name, threads) of everything that takes turns."""
    if args.threads == 1:
        return [(name, 1) for name in args.systems]
    ours = [name for name in args.systems if SYSTEMS[name].ours]
    return [(name, n) for name in ours for n in (1, args.threads)]


def train_in_turns(X, Y, seed, args):
    """Train everything for an epoch: {(name, threads): (trained system, its Turn)}."""
    systems, turns = {}, {}
    for name, n_threads in contestants(args):
        system = SYSTEMS[name]
        threads = {"n_threads": n_threads} if n_threads > 1 else {}
        trained = system.kind(args, seed, **threads, **system.settings)
        few = system.full and args.full_batches
        n_rows = min(args.full_batches * args.batch, X.shape[0]) if few else X.shape[0]

        def train(pause, system=trained, n=n_rows):
            system.train(X[:n], Y[:n], pause)

        systems[name, n_threads] = trained
        turns[name, n_threads] = Turn(train, n_rows, args.batch, 1 if few else args.stretch)
    while waiting := [turn for turn in turns.values() if not turn.ended]:
        for turn in waiting:
            turn.go_on()
        n_done = max(sum(rows for rows, _, _ in turn.stretches) for turn in turns.values())
        progress(f"{n_done:,} of {X.shape[0]:,} rows")
    progress()
    return {key: (system, turns[key]) for key, system in systems.items()}


def progress(text=""):
    """Tell on the terminal how far it is; without a text, wipe that away."""
    print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


def peak_of_training(name, folder, seed, args):
    """How far memory rises in an epoch, above what was there before; in a new process."""
    X, Y = (sp.csr_array(sp.load_npz(folder / f"{part}.npz")) for part in ("X", "Y"))
    system = SYSTEMS[name]
    tiny = make_xmc_classification(2 * args.batch, 100, 100, random_state=0)
    system.kind(args, seed, **system.settings).train(*tiny, no_pause)  # for what it imports
    before = resident_bytes()
    trained = system.kind(args, seed, **system.settings)
    trained.train(X, Y, no_pause)
    return peak_bytes() - before, sum(trained.n_bytes)


def no_pause():
    """Stand-in for the pauses of a training that does not take turns."""


def resident_bytes():
    """Memory that this process has now; its peak so far where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def add_memory(results, X, Y, args):
    """Train each system that trains whole epochs again, alone, and note its peak."""
    trained = [result for result in results if "P@1" in result]
    names = [result["name"] for result in trained]
    for result, (peak, model) in zip(trained, peaks(names, X, Y, args), strict=True):
        result["peak MB"] = round(peak / 1e6, 1)
        result["model MB"] = round(model / 1e6, 1)
        result["/ model"] = round(peak / model, 3)


def peaks(names, X, Y, args):
    """`peak_of_training` of each system, for the first seed."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for part, matrix in {"X": X, "Y": Y}.items():
            sp.save_npz(Path(folder, f"{part}.npz"), matrix, compressed=False)
        for name in names:
            progress(f"memory of {name}")
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                task = process.submit(peak_of_training, name, Path(folder), 0, args)
                yield task.result()
    progress()


def run(data, seed, machine, args):
    """Train everything once; returns the figures of each system."""
    X, Y, X_test, Y_test = data
    trainings = train_in_turns(X, Y, seed, args)
    times = {key: turn.us_per_row() for key, (_, turn) in trainings.items()}
    results = []
    for (name, n_threads), (trained, turn) in trainings.items():
        cpu, wall = times[name, n_threads]
        system = SYSTEMS[name]
        title = system.title + (f", {n_threads} threads" if n_threads > 1 else "")
        result = {"classes": Y.shape[1], "seed": seed, "name": name, "system": title}
        result |= {"CPU us": round(cpu, 2), "mean": round(turn.mean_us_per_row(), 2)}
        result |= {"wall us": round(wall, 2)}
        if system.ours and n_threads == 1:
            least = sum(trained.work(X, Y, system).bounds(machine).values())
            result |= {"bound us": round(least, 2), "of bound": round(least / cpu, 3)}
        for column, rival in {"x PyTorch": "pytorch", "x full": "pytorch-full"}.items():
            if (rival, 1) in times:
                result[column] = float(f"{times[rival, 1][0] / cpu:.3g}")
        if n_threads > 1:
            result["speed-up"] = round(times[name, 1][1] / wall, 2)
        if not (system.full and args.full_batches):
            result["P@1"] = round(precision_at_k(Y_test, trained.best(X_test)), 4)
        results.append(result)
    return results


def table(results):
    """Lines of the results, in the columns that any of them fills."""
    shown = {k: v for k, v in COLUMNS.items() if any(k in result for result in results)}
    lines = [" " * 31 + "".join(f"{name:>{width}}" for name, (width, _) in shown.items())]
    for result in results:
        cells = (
            f"{format(result[name], form) if name in result else '-':>{width}}"
            for name, (width, form) in shown.items()
        )
        lines.append(f"{result['system']:<31}{''.join(cells)}")
    return lines


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--noise", type=float, default=0.65, help="share of a row's features")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--stretch", type=int, default=50, help="batches of one turn")
    parser.add_argument(
        "--full-batches", type=int, default=4, help="of a full softmax; 0: the epoch and P@1"
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=USUAL, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    machine = roofline.measured()
    print(machine, flush=True)
    results = []
    for n_classes in args.classes:
        data = X, Y, *_ = make_data(n_classes, args)
        for seed in range(args.seeds):
            print(f"\n{n_classes:,} labels, seed {seed}", flush=True)
            found = run(data, seed, machine, args)
            if seed == 0 and args.threads == 1 and not args.no_memory:
                add_memory(found, X, Y, args)
            print("\n".join(table(found)), flush=True)
            results += found
    if args.json:
        torch = any(not SYSTEMS[name].ours for name, _ in contestants(args))
        setting = {
            "data": f"{args.rows:,} rows, {args.features:,} features, {args.noise:.0%} noise",
            "setting": f"hidden {args.hidden}, batch {args.batch}, {args.negatives:,} negatives, "
            f"rate {args.rate} falling to 0, one epoch"
            + (f", torch {version('torch')}" if torch else ""),
            "measured": dataclasses.asdict(machine),
        }
        kept = facts() | setting | {"results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
