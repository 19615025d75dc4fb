"""Optimizers with state for each weight beside those on count-sketches.

    python benchmarks/optimizers.py [--classes N] [--rows N] [--systems NAME ...]

A network over many labels, on the data of make_xmc_classification, is trained for an epoch
at a constant rate with each optimizer, turn by turn in stretches of batches, on one thread.
Printed for each:

    P@1        on the test rows, after the epoch
    CPU us     CPU microseconds of a training row, the median over the stretches
    x Adam     the same over that of the first optimizer
    step us    of it, those that the optimizer's own steps take
    state MB   moments, in sketches or not
"""

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from sklsh import SLIDEClassifier
from sklsh.datasets import make_xmc_classification
from sklsh.metrics import precision_at_k
from sklsh.optimizers import Adam, CSAdam, CSRMSprop, RMSprop

SYSTEMS = {
    "adam": Adam(),
    "cs_adam .2": CSAdam(compression=0.2),
    "cs_adam .2, beta_1 0": CSAdam(beta_1=0, compression=0.2),
    "rmsprop": RMSprop(0.999),
    "cs_rmsprop .1": CSRMSprop(0.999, compression=0.1),
}


class Timed:
    """An optimizer's own time, noted on the way."""

    def __init__(self, optimizer):
        self.seconds = 0.0
        for name in ("step", "step_embedding"):
            setattr(optimizer, name, self._timed(getattr(optimizer, name)))

    def _timed(self, step):
        def timed(*args):
            start = time.process_time()
            step(*args)
            self.seconds += time.process_time() - start

        return timed


def train(X, Y, args):
    """Train all models on stretches in turns: {name: (model, CPU us, step us)} a row."""
    models, clocks, spent = {}, {}, {}
    for name in args.systems:
        models[name] = SLIDEClassifier(
            (args.hidden,), optimizer=SYSTEMS[name], negatives=args.sampler,
            n_active=args.negatives, batch_size=args.batch, learning_rate_init=args.rate,
            product_dtype="float32", random_state=0,
        )  # fmt: skip
        spent[name] = []
    n_rows = args.stretch * args.batch
    for first in range(0, X.shape[0], n_rows):
        rows = slice(first, min(first + n_rows, X.shape[0]))
        for name, model in models.items():
            before = clocks[name].seconds if name in clocks else 0.0
            start = time.process_time()
            model.partial_fit(X[rows], Y[rows])
            cpu = time.process_time() - start
            if name in clocks:  # the first stretch makes the model
                own = clocks[name].seconds - before
                spent[name].append(np.array([cpu, own]) / (rows.stop - first) * 1e6)
            else:
                clocks[name] = Timed(model._network.optimizer)
    return {name: (models[name], *np.median(spent[name], axis=0)) for name in models}


def main():
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=131_072)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--rows", type=int, default=50_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--sampler", default="lsh", help="parameter negatives")
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--stretch", type=int, default=20, help="batches of one turn")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=[*SYSTEMS])
    args = parser.parse_args()
    n = args.rows
    X, Y = make_xmc_classification(
        n + args.test_rows, args.features, args.classes, noise=0.65, random_state=0
    )
    found = train(X[:n], Y[:n], args)
    _, least, _ = found[args.systems[0]]
    print(f"{args.classes:,} labels, {n:,} rows, one epoch at {args.rate}")
    print(f"{'':22s}{'P@1':>7s}{'CPU us':>9s}{'x Adam':>8s}{'step us':>9s}{'state MB':>10s}")
    for name, (model, cpu, own) in found.items():
        correct = precision_at_k(Y[n:], model.predict_top_k(X[n:], 1)[0], k=1)
        state = sum(model.memory_usage_[part] for part in ("optimizer", "sketches")) / 1e6
        shown = f"{100 * correct:7.2f}{cpu:9.1f}{cpu / least:8.2f}{own:9.1f}{state:10.1f}"
        print(f"{name:22s}{shown}", flush=True)


if __name__ == "__main__":
    main()
