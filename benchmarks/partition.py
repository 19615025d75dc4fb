"""What estimates of a softmax's partition function are worth, and what they cost.

    python benchmarks/partition.py [--classes N] [--draws N] [--queries N] [--json FILE]

Z is the sum of exp(q . v + b) over all classes: of a model that SLIDEClassifier has trained on
data of make_xmc_classification, for activations of test rows; and of random vectors. Each way to
estimate it is drawn anew a number of times, hash functions included, for the same queries:

importance      classes in the query's hash buckets, each weighted by one over its probability
mixed           the same and uniform draws, each weighted by one over its probability to be either
head and tail   the same classes as they are, and uniform draws from the others
best and tail   the classes of largest logit, found exactly, and uniform draws from the others
uniform         uniform draws, without replacement
by frequency    draws by frequency^0.75 in the training rows, with replacement, weighted by one
                over their expected number
all             the exact sum, in blocks

Printed: products of the query with a vector, of a class or of a hash function ("best" looks at
codes of all classes instead, which are not counted); CPU microseconds per query, all of them
asked at once, on one core (medians over the draws; making the tables is apart); the mean of the
estimate over Z less 1, with its standard error over the draws; the mean square of the same; and
the median error of log Z.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts

from sklsh import SLIDEClassifier
from sklsh._batches import as_batch
from sklsh._memory import padded
from sklsh._top_k import top_k
from sklsh.datasets import make_xmc_classification
from sklsh.negatives import LSHSampler
from sklsh.negatives._partition import Sums, UnitRows, log_sum_exp

TABLES = ((11, 16), (8, 16), (14, 64), (11, 64))  # bits and tables
N_TAIL = 256
N_BEST = (10, 100)
N_DRAWN = (250, 1000, 4000)


def trained(args):
    """Vectors, offsets, frequencies and queries of a trained model."""
    X, Y = make_xmc_classification(
        args.rows + args.queries, args.features, args.classes, noise=0.65, random_state=0
    )
    model = SLIDEClassifier(
        (args.width,), loss="softmax", correction="head_tail", n_active=2000, batch_size=256,
        learning_rate_init=0.016, input_dropout=0, hidden_dropout=0, max_iter=3, random_state=0,
    ).fit(X[: args.rows], Y[: args.rows])  # fmt: skip
    network = model._network
    hidden = network.hidden(as_batch(X[args.rows :]))[:, : args.width]
    frequency = np.bincount(Y[: args.rows].indices, minlength=args.classes)
    return network.output.weights[:, : args.width], network.output.bias, frequency, hidden


def random_vectors(args):
    """Gaussian vectors and queries, whose logits have a standard deviation of 2."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(args.classes, args.width))
    queries = 2 / np.sqrt(args.width) * rng.normal(size=(args.queries, args.width))
    return vectors, np.zeros(args.classes), None, queries


def by_tables(vectors, offset, queries, estimator, n_bits, n_tables, seed):
    """A draw of hash functions: how to estimate, and the products it takes."""
    sampler = LSHSampler(n_bits, n_tables=n_tables, n_uniform=N_TAIL, random_state=seed)
    begin = time.process_time()
    sampler.fit(vectors, offset)
    making = time.process_time() - begin
    n_found = len(sampler.candidates(queries).indices) / len(queries)
    cost = n_found + n_bits * n_tables + N_TAIL * (estimator != "importance")
    return lambda: sampler.estimate_partition(queries, estimator), cost, making


def by_uniform(vectors, offset, queries, n, seed):
    """A draw of classes."""
    sampler = LSHSampler(1, n_tables=1, n_uniform=n, random_state=seed).fit(vectors, offset)
    return lambda: sampler.estimate_partition(queries, "uniform"), n, None


def by_all(sampler, queries, seed):
    """Nothing is drawn."""
    return lambda: sampler.log_partition(queries), sampler.n_items_, None


def by_best(sampler, vectors, offset, queries, k, seed):
    """The best classes of all and a uniform tail."""
    weights = aligned(vectors)

    def estimate():
        best, _ = top_k(aligned(queries), weights, np.float32(offset), k, 1)
        found = k * np.arange(len(best) + 1), best.ravel()
        return Sums(sampler._items, UnitRows.of(queries), found, 1).head_tail(N_TAIL, seed)

    return estimate, k + N_TAIL, None


def by_frequency(items, frequency, queries, n, seed):
    """Draws with replacement by frequency^0.75, of which no class has none."""
    share = (frequency + 0.5) ** 0.75
    share /= share.sum()
    edges, rng = np.cumsum(share)[:-1], np.random.default_rng(seed)

    def estimate():
        ids = np.searchsorted(edges, rng.random(len(queries) * n)).astype(np.int32)
        rows, indptr = UnitRows.of(queries), n * np.arange(len(queries) + 1)
        logits = items.logits(items.cosines(rows, indptr, ids, 1), rows, indptr, ids)
        return log_sum_exp(logits - np.log(n * share)[ids], indptr)

    return estimate, n, None


def aligned(rows):
    """Float32 rows padded as the kernels take them."""
    wide = np.zeros((len(rows), padded(rows.shape[1])), dtype=np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def ways(vectors, offset, frequency, queries):
    """Each way by its name and size: called with a seed it is ready to estimate."""
    sampler = LSHSampler(random_state=0).fit(vectors, offset)
    data, found = (vectors, offset, queries), {}
    for estimator in ("importance", "mixed", "head_tail"):
        for n_bits, n_tables in TABLES:
            size = f"{n_bits} bits, {n_tables} tables"
            way = functools.partial(by_tables, *data, estimator, n_bits, n_tables)
            found[estimator.replace("_", " and "), size] = way
    for k in N_BEST:
        found["best and tail", f"best {k}"] = functools.partial(by_best, sampler, *data, k)
    for n in N_DRAWN:
        found["uniform", f"{n:,} draws"] = functools.partial(by_uniform, *data, n)
    if frequency is not None:
        for n in N_DRAWN:
            way = functools.partial(by_frequency, sampler._items, frequency, queries, n)
            found["by frequency", f"{n:,} draws"] = way
    return found | {("all", ""): functools.partial(by_all, sampler, queries)}


def measure(way, log_z, n_draws):
    """Figures of one way, over independent draws."""
    errors, seconds, costs, makings = [], [], [], []
    for seed in range(n_draws):
        estimate, cost, making = way(seed)
        begin = time.process_time()
        errors.append(estimate() - log_z)
        seconds.append(time.process_time() - begin)
        costs.append(cost)
        makings.append(making)
    ratios = np.expm1(errors)
    by_draw = ratios.mean(axis=1)
    figures = {
        "products": float(np.mean(costs)),
        "cpu_us": float(np.median(seconds) / len(log_z) * 1e6),
        "bias": float(by_draw.mean()),
        "bias_error": float(by_draw.std(ddof=1) / np.sqrt(n_draws)),
        "variance": float(np.mean(ratios**2)),
        "log_error": float(np.median(np.abs(errors))),
    }
    if makings[0] is not None:
        figures["tables_ms"] = float(1e3 * np.median(makings))
    return figures


def line(r):
    """A way's figures, to be printed."""
    bias = f"{r['bias']:8.4f} ({r['bias_error']:.4f})"
    return (
        f"{r['data']:8s} {r['way']:14s} {r['size']:20s} {r['products']:8,.0f} products "
        f"{r['cpu_us']:7.1f} us  bias {bias}  variance {r['variance']:.3g}  "
        f"log Z off by {r['log_error']:.3g}"
    )


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000, help="training rows")
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer")
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    results = []
    for data, make in (("trained", trained), ("random", random_vectors)):
        vectors, offset, frequency, queries = make(args)
        logits = queries.astype(float) @ vectors.T.astype(float) + offset
        log_z = np.logaddexp.reduce(logits, axis=1)
        for (name, size), way in ways(vectors, offset, frequency, queries).items():
            figures = measure(way, log_z, args.draws)
            results.append({"data": data, "way": name, "size": size} | figures)
            print(line(results[-1]), flush=True)
    if args.json:
        setting = {
            "setting": f"{args.classes:,} classes, {args.width} features, {args.queries} queries, "
            f"{args.draws} draws, {N_TAIL} uniform draws in a tail, one thread",
            "training": f"{args.rows:,} rows of make_xmc_classification, three epochs",
        }
        args.json.write_text(json.dumps(facts() | setting | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
