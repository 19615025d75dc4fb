"""Where a training step's time goes, part by part, each against its bound.

    make profile
    python benchmarks/profile_step.py [--systems NAME ...] [--classes N] [--json FILE]

Trains SLIDEClassifier twice on the same synthetic rows: the first pass is not looked at, in
the second every part of a step is timed, on one thread of one core. A part is one or more
functions named in PARTS; where one calls another, the time is the inner one's. Printed, in
CPU microseconds per row: the time of each part, its share of the whole, and the bound, the
least time that this machine needs for it (see roofline.py).
"""

import argparse
import dataclasses
import importlib
import json
import os
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import roofline
from results import facts
from systems.stepped import SYSTEMS, Sklsh

from sklsh.datasets import make_xmc_classification

# part: the functions whose time it is, and which of the roofline's parts bound it
PARTS = {
    "take the batch": (["sklsh._batches.Rows.take"], []),
    "embed, sort columns": (
        ["sklsh._kernels._rows.embed_and_transpose"], ["batch", "embed"]
    ),
    "rehash": (
        ["sklsh._layer_tables.LayerTables.rehash", "sklsh._kernels._coded_rows.code_rows"], []
    ),
    "hash the batch": (["sklsh._kernels._simhash.simhash"], []),
    "rank hits": (
        ["sklsh._kernels._candidates.pool_hits", "sklsh._kernels._coded_rows.rank_pools"], []
    ),
    "rest of the draw": (
        ["sklsh.negatives.Drawn.draw", "sklsh.negatives.LSH.draw"], []
    ),
    "gather": (["sklsh._kernels._rows.gather_rows"], ["gather"]),
    "logits": (["sklsh._kernels._products.product_nt"], ["logits"]),
    "softmax": (["sklsh._kernels._losses.softmax_loss"], ["softmax"]),
    "hidden gradient": (["sklsh._kernels._products.product_nn"], ["hidden gradient"]),
    "output gradient": (["sklsh._kernels._products.product_tn"], ["output gradient"]),
    "8-bit products, output update": (
        ["sklsh._kernels._int8.step"],
        ["gather", "logits", "softmax", "hidden gradient", "output gradient", "output update"],
    ),
    "bias gradients": (
        ["sklsh._kernels._layers.column_sums", "sklsh._kernels._layers.relu_gradient"], []
    ),
    "output update": (["sklsh._kernels._rows.step_rows"], ["output update"]),
    "embedding update": (["sklsh._kernels._rows.step_embedding"], ["embedding update"]),
    "rest of the step": (["sklsh._network.Network.train_step"], []),
}  # fmt: skip
WHOLE = ("rehash",)  # parts whose time includes that of all they call


class Timer:
    """CPU seconds of functions, each without those of other timed functions it calls."""

    def __init__(self):
        self.seconds = Counter()
        self._parts = []  # that are running, the innermost last
        self._last = 0.0

    def _switch(self):
        now = time.thread_time()
        if self._parts:
            self.seconds[self._parts[-1]] += now - self._last
        self._last = now

    @contextmanager
    def timing(self, parts):
        """Time the functions of `parts` wherever they are called."""
        with ExitStack() as undo:
            for part, (names, _) in parts.items():
                for name in names:
                    undo.callback(self._wrap(part, name))
            yield

    def _wrap(self, part, name):
        owner, attribute = resolve(name)
        original = getattr(owner, attribute)
        inherited = attribute not in vars(owner)

        def timed(*args, **kwargs):
            if self._parts and self._parts[-1] in WHOLE:
                return original(*args, **kwargs)
            self._switch()
            self._parts.append(part)
            try:
                return original(*args, **kwargs)
            finally:
                self._switch()
                self._parts.pop()

        setattr(owner, attribute, timed)
        if inherited:
            return lambda: delattr(owner, attribute)
        return lambda: setattr(owner, attribute, original)


def resolve(name):
    """(module or class, attribute) of a dotted name; AttributeError if it is not there."""
    words = name.split(".")
    for n in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(words[:n]))
        except ImportError:
            continue
        for word in words[n:-1]:
            owner = getattr(owner, word)
        getattr(owner, words[-1])
        return owner, words[-1]
    raise ImportError(f"{name} is in no module.")


def profiled(system, X, Y, machine, args):
    """Microseconds per row of each part and of the whole, each with its bound."""
    trained = Sklsh(args, seed=0, **system.settings)
    model = trained.model
    model.pause = lambda: None
    model.partial_fit(X, Y)
    timer = Timer()
    with timer.timing(PARTS):
        start = time.thread_time()
        model.partial_fit(X, Y)
        whole = time.thread_time() - start
    us = {part: s / X.shape[0] * 1e6 for part, s in timer.seconds.items()}
    whole *= 1e6 / X.shape[0]
    bounds = trained.work(X, Y, system).bounds(machine)
    in_all = sum(bounds.values())
    parts = {}
    for part, (_, keys) in PARTS.items():
        if part in us:  # the first part that has a bound: 8-bit steps update the rows, too
            parts[part] = us[part], sum(bounds.pop(key, 0.0) for key in keys)
    parts["rest of training"] = whole - sum(us.values()), 0.0
    return parts | {"all": (whole, in_all)}


def table(parts):
    """Lines of the printed table."""
    lines = [f"{'':<28}{'us/row':>9}{'share':>8}{'bound':>9}{'of bound':>10}"]
    whole, _ = parts["all"]
    for part, (us, bound) in parts.items():
        line = f"{part:<28}{us:>9.2f}{us / whole:>8.0%}"
        lines.append(line + (f"{bound:>9.2f}{bound / us:>10.0%}" if bound else ""))
    return lines


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ours = [name for name, system in SYSTEMS.items() if system.ours]
    parser.add_argument(
        "--systems", nargs="+", choices=ours, default=("uniform-row-int8", "uniform", "lsh")
    )
    parser.add_argument("--classes", type=int, default=131_072)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    machine = roofline.measured()
    print(machine, flush=True)
    X, Y = make_xmc_classification(
        args.rows, args.features, args.classes, noise=0.65, random_state=0
    )
    results = {}
    for name in args.systems:
        parts = profiled(SYSTEMS[name], X, Y, machine, args)
        print(f"\n{SYSTEMS[name].title}, {args.classes:,} labels, {args.rows:,} rows")
        print("\n".join(table(parts)), flush=True)
        results[name] = {k: {"us": us, "bound": bound} for k, (us, bound) in parts.items()}
    if args.json:
        kept = facts() | {"measured": dataclasses.asdict(machine), "results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
