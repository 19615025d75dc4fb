"""What training in many places takes, what is sent, and what is learnt.

    python benchmarks/cluster.py --tasks bytes [--workers 2 4 8 16] [--steps 200]
        [--seeds 3] [--json FILE]
    python benchmarks/cluster.py --tasks networks mission --data DIR [--rows 400000]
        [--seeds 3] [--json FILE]

"bytes" plays workers of a data-parallel training in one process: SGD by the mean of their
gradients, which travel under each scheme of `sklsh.distributed.SketchCompressor`. Kept for each
scheme and setting: bytes that a process sends a step, the final loss and accuracy of test rows.

"networks" and "mission" fit over Dask's partitions on clusters of processes on this machine,
SLIDEClassifier to the extreme multi-label set in DIR (see benchmarks/xmc.py) and
MISSIONClassifier to generated rows, by models and rounds; they need Dask.
"""

import argparse
import os
import tempfile
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # here and in workers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from results import facts
from softmax import keep

TASKS = {
    "bytes": ("compressed_training", "runs"),
    "networks": ("dask_fits", "networks"),
    "mission": ("dask_fits", "mission"),
}


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["bytes"])
    parser.add_argument("--workers", nargs="+", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of the set for networks")
    parser.add_argument("--rows", type=int, default=400_000, help="generated for mission")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    for task in args.tasks:
        module, name = TASKS[task]
        runs = getattr(import_module(module), name)
        with tempfile.TemporaryDirectory() as args.folder:
            for run in runs(args):
                if args.json:
                    keep(args.json, facts([args.data]) | run)


if __name__ == "__main__":
    main()
