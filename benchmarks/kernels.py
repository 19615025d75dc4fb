"""The kernels one at a time, beside NumPy or SciPy and against what the machine can do.

    python benchmarks/kernels.py [--only NAME ...] [--repeats N] [--json FILE]

Ours and NumPy's take turns, one thread each on one core; that both give the same result is
checked first. Printed for each: CPU microseconds (median), billions of operations and of
bytes a second that this comes to, the least time that the machine needs (roofline.py) as a
share of it, and how many times longer NumPy takes.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import roofline
from cases import KERNELS, Sizes
from results import facts
from roofline import cpu_seconds

HEADER = ("kernel", "on", "us", "G op/s", "GB/s", "of bound", "NumPy / this")
LINE = "{:<26}{:<36}{:>10}{:>9}{:>7}{:>10}{:>14}"


def check(name, case):
    """Stop if the two do not do the same; codes may differ where a projection is near zero."""
    mine, its = case.compared(case.ours(0)), case.compared(case.rival(0))
    near = mine.shape == its.shape and np.abs(mine - its) <= case.tolerance * np.abs(its).max()
    if np.mean(near) < 0.999:
        raise AssertionError(f"{name}: NumPy does something else.")


def measure(name, case, machine, repeats):
    """Figures of one kernel."""
    check(name, case)
    ours, rival = [], []
    for i in range(1, repeats + 1):  # never the same rows one after the other
        ours.append(cpu_seconds(case.ours, 2 * i))
        rival.append(cpu_seconds(case.rival, 2 * i + 1))
    seconds = np.median(ours)
    work = case.work
    return {
        "kernel": name,
        "on": case.shape,
        "us": float(f"{seconds * 1e6:.4g}"),
        "G op/s": round(work.operations / seconds / 1e9, 1),
        "GB/s": round((work.read + work.rewritten) / seconds / 1e9, 1),
        "of bound": round(machine.seconds(work, case.precision) / seconds, 3),
        "NumPy / this": float(f"{np.median(rival) / seconds:.3g}"),
    }


def line(result):
    """A result as a line of the printed table."""
    cells = [result[key] for key in HEADER]
    cells[2] = f"{result['us']:,.0f}"
    cells[5] = f"{result['of bound']:.0%}"
    return LINE.format(*(cell if cell else "-" for cell in cells))


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=KERNELS, default=list(KERNELS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=15)
    for field in dataclasses.fields(Sizes):
        name = field.name.replace("_", "-")
        parser.add_argument(f"--{name}", type=int, default=field.default)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    sizes = Sizes(*(getattr(args, field.name) for field in dataclasses.fields(Sizes)))
    machine = roofline.measured()
    print(f"{machine}\n\n{LINE.format(*HEADER)}", flush=True)
    results = []
    for name in args.only:
        case = KERNELS[name](sizes, np.random.default_rng(0))
        results.append(measure(name, case, machine, args.repeats))
        print(line(results[-1]), flush=True)
    if args.json:
        kept = facts() | {"measured": dataclasses.asdict(machine), "results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
