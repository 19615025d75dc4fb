"""What ways to choose negatives are worth: accuracy along CPU time.

    python benchmarks/negatives.py [--rows N] [--classes N] [--epochs N] [--seeds N] [--json FILE]

The data are those of make_xmc_classification. Each sampler trains the same network, with a
softmax and correction="head_tail", biases started at the classes' log prior, the same batches,
rate and number of candidates beside the labels, on one core. Only training is timed.
Printed: CPU microseconds per row, and P@1 on the test rows with the CPU seconds spent so far,
at checkpoints along the training.

"first come" takes what the hash buckets hold table by table, as SLIDE was published; "exact"
ranks all classes for each row; "full" looks at all classes and is run only on demand, by
--samplers: at 131,072 classes it takes a millisecond a row and more.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts

from sklsh._batches import Rows, as_batch
from sklsh._kernels import _candidates
from sklsh._network import Network
from sklsh.datasets import make_xmc_classification
from sklsh.metrics import precision_at_k
from sklsh.negatives import LSH, Drawn, Full, InBatch
from sklsh.optimizers import Adam

EXACT_DEPTH = 96  # best classes of each row that take turns


class FirstCome(LSH):
    """Retrieved classes as the buckets hold them, table by table, without ranking."""

    def draw(self, hidden, Y, output):
        """Labels, ids of the buckets in the order of tables and rows, a uniform tail."""
        positions, n_labels = self._begin(Y.indices)
        self.tables.rehash_when_due(output.weights, self.n_threads)
        codes, tables = self.tables.codes(hidden, self.n_threads), self.tables.tables
        n, limit = n_labels, n_labels + round((1 - self.tail) * self.n_active)
        for t in range(codes.shape[1]):
            for code in codes[:, t]:
                bucket = tables.ids[t, tables.starts[t, code] : tables.starts[t, code + 1]]
                bucket = bucket[: self.tables.bucket_cap][None, :]
                if n < limit and code >= 0 and bucket.size:
                    found = np.array([bucket.size], dtype=np.intp)
                    n = _candidates.take_ranked(bucket, found, self._position, self._ids, n, limit)
        return self._with_tail(positions, n, n_labels + self.n_active - n)


class ExactHard(Drawn):
    """The classes of largest logit of each row, found among all, round robin by rank."""

    def draw(self, hidden, Y, output):
        """Labels, best classes of each row, a uniform tail of at least a quarter."""
        positions, n_labels = self._begin(Y.indices)
        best, _ = output.top_k(hidden, min(EXACT_DEPTH, self.n_classes), self.n_threads)
        found = np.full(len(best), best.shape[1], dtype=np.intp)
        limit = n_labels + round(0.75 * self.n_active)
        n = _candidates.take_ranked(best, found, self._position, self._ids, n_labels, limit)
        return self._with_tail(positions, n, n_labels + self.n_active - n)


def make_sampler(name, n_classes, args, seed):
    """The sampler that a name of --samplers stands for."""
    correction, drawn = args.correction, {"n_active": args.negatives, "seed": seed}
    if name == "full":
        return Full(n_classes)
    if name == "in-batch":
        return InBatch(n_classes, correction)
    if name in ("uniform", "exact"):
        return {"uniform": Drawn, "exact": ExactHard}[name](n_classes, correction, **drawn)
    return {"lsh": LSH, "first come": FirstCome}[name](
        n_classes, correction, **drawn, width=args.hidden, hash_family="simhash", n_bits="auto",
        n_tables=args.tables, bucket_size=args.bucket_size, rehash_every=args.rehash_every,
        rehash_growth=args.rehash_growth,
    )  # fmt: skip


def train(name, data, args, seed):
    """Train with a sampler; returns [(CPU seconds, P@1)] at the checkpoints."""
    X, Y, X_test, Y_test = data
    network = Network(
        X.shape[1], Y.shape[1], (args.hidden,), optimizer=Adam(),
        random_state=np.random.RandomState(seed),
    )  # fmt: skip
    if args.start == "prior":
        share = (np.bincount(Y.indices, minlength=Y.shape[1]) + 0.5) / (X.shape[0] + 1)
        network.output.start_bias_at_prior(share)
    sampler = make_sampler(name, Y.shape[1], args, seed)
    generator = np.random.default_rng(seed)
    n_steps = args.epochs * -(-X.shape[0] // args.batch)
    marks = {round(n_steps * (i + 1) / args.checkpoints) for i in range(args.checkpoints)}
    step, seconds, curve = 0, 0.0, []
    for epoch in range(args.epochs):
        order = generator.permutation(X.shape[0])
        inputs = Rows(X).batches(order, args.batch, args.dropout, seed=seed * args.epochs + epoch)
        batches = zip(inputs, Rows(Y).batches(order, args.batch), strict=True)
        begin = time.process_time()
        for X_batch, Y_batch in batches:
            n = X_batch.shape[0]
            network.train_step(
                X_batch, Y_batch, np.full(n, 1 / n, dtype=np.float32), sampler,
                args.rate * (1 - step / n_steps),
            )  # fmt: skip
            step += 1
            if step in marks:
                seconds += time.process_time() - begin
                best = network.top_k(as_batch(X_test), 1)[0]
                curve.append((round(seconds, 2), round(float(precision_at_k(Y_test, best)), 4)))
                begin = time.process_time()
        seconds += time.process_time() - begin
    return curve


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--classes", type=int, default=131_072)
    parser.add_argument("--noise", type=float, default=0.65, help="share of a row's features")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--correction", default="head_tail")
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--bucket-size", type=int, default=24)
    parser.add_argument("--rehash-every", type=int, default=20)
    parser.add_argument("--rehash-growth", type=float, default=1.3)
    parser.add_argument("--rate", type=float, default=16e-3, help="falls to 0 in a straight line")
    parser.add_argument("--start", choices=["prior", "zero"], default="prior", help="of biases")
    parser.add_argument("--dropout", type=float, default=0.0, help="share of a row's values")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--checkpoints", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--samplers", nargs="+", default=["lsh", "first come", "uniform", "in-batch", "exact"]
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    X, Y = make_xmc_classification(
        args.rows + args.test_rows, args.features, args.classes, noise=args.noise,
        random_state=args.data_seed,
    )  # fmt: skip
    data = X[: args.rows], Y[: args.rows], X[args.rows :], Y[args.rows :]
    results = []
    for seed in range(args.seeds):
        for name in args.samplers:
            curve = train(name, data, args, seed)
            cost = round(1e6 * curve[-1][0] / (args.epochs * args.rows), 1)
            results.append({"sampler": name, "seed": seed, "cpu_us_per_row": cost, "curve": curve})
            points = "  ".join(f"{p1:.4f} ({seconds:.1f} s)" for seconds, p1 in curve)
            print(f"{name:12s} seed {seed}  {cost:6.1f} us a row  P@1 {points}", flush=True)
    if args.json:
        setting = {
            "data": f"{args.rows:,} rows, {args.features:,} features, {args.classes:,} labels, "
            f"{args.noise:.0%} noise",
            "setting": f"hidden {args.hidden}, batch {args.batch}, {args.negatives} candidates "
            f"beside the labels, softmax, correction={args.correction!r}, biases from the "
            f"{args.start}, dropout {args.dropout}, rate {args.rate} falling to 0, epochs "
            f"{args.epochs}, one thread",
        }
        kept = facts() | setting | {"results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
