"""What processes that train together send each other, and what they learn.

    python benchmarks/distributed.py [--tasks bytes] [--workers 2 4 8 16] [--steps 200]
        [--seeds 3] [--json FILE]

"bytes" plays workers of a data-parallel training in one process: SGD by the mean of their
gradients, which travel under each scheme of `sklsh.distributed.SketchCompressor`. Kept for each
scheme and setting: bytes that a process sends a step, the final loss and accuracy of test rows.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import compressed_training
from results import facts
from softmax import keep

TASKS = {"bytes": compressed_training.runs}  # of the arguments; each yields runs


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--workers", nargs="+", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    for task in args.tasks:
        for run in TASKS[task](args):
            if args.json:
                keep(args.json, facts() | run)


if __name__ == "__main__":
    main()
