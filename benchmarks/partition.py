"""What estimates of a softmax's partition function are worth, and what they cost.

    python benchmarks/partition.py [--classes N ...] [--draws N] [--queries N] [--json FILE]

Z is the sum of exp(q . v + b) over all classes: of a model that SLIDEClassifier has trained on
data of make_xmc_classification, for activations of test rows, for each number of classes; and of
as many random vectors as the first number says. Each way to
estimate it is drawn anew a number of times, hash functions included, for the same queries:

importance      classes in the query's hash buckets, each weighted by one over its probability
mixed           the same and uniform draws, each weighted by one over its probability to be either
head and tail   the same classes as they are, and uniform draws from the others
best and tail   the classes of largest logit, found exactly, and uniform draws from the others
uniform         uniform draws, without replacement
shared lsh      one set for all queries, as a training step has it: labels drawn by frequency, one
                for each query, classes that the buckets of queries hold, ranked by their logit,
                and a quarter of uniform draws; head and tail
shared uniform  the same labels, and uniform draws
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
import scipy.sparse as sp
from results import facts
from scipy.special import logsumexp

from sklsh import SLIDEClassifier
from sklsh._batches import as_batch
from sklsh._memory import padded
from sklsh._output import OutputLayer
from sklsh.datasets import make_xmc_classification
from sklsh.negatives import LSH, Drawn, LSHSampler
from sklsh.negatives._partition import log_sum_exp

BY_TABLES = {
    "importance": {"estimator": "importance"},
    "mixed": {"estimator": "mixed"},
    "head and tail": {"estimator": "head_tail", "head": "buckets"},
}
TABLES = ((0, 16), (-3, 16), (3, 64), (0, 64))  # bits, above those of "auto", and tables
N_TAIL = 256
N_BEST = (10, 100)
N_DRAWN = (250, 1000, 4000)


def trained(n_classes, args):
    """Vectors, offsets, frequencies and queries of a trained model."""
    X, Y = make_xmc_classification(
        args.rows + args.queries, args.features, n_classes, noise=0.65, random_state=0
    )
    model = SLIDEClassifier(
        (args.width,), loss="softmax", correction="head_tail", n_active=2000, batch_size=256,
        learning_rate_init=0.016, input_dropout=0, hidden_dropout=0, max_iter=3, random_state=0,
    ).fit(X[: args.rows], Y[: args.rows])  # fmt: skip
    network = model._network
    hidden = network.hidden(as_batch(X[args.rows :]))[:, : args.width]
    frequency = np.bincount(Y[: args.rows].indices, minlength=n_classes)
    return network.output.weights[:, : args.width], network.output.bias, frequency, hidden


def random_vectors(n_classes, args):
    """Gaussian vectors and queries, whose logits have a standard deviation of 2."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n_classes, args.width))
    queries = 2 / np.sqrt(args.width) * rng.normal(size=(args.queries, args.width))
    return vectors, np.zeros(n_classes), None, queries


# Each way is made ready by a seed: it returns how to estimate, the products that takes, and the
# CPU seconds of what was made before; or that for several estimates of one draw.


def by_tables(vectors, offset, queries, n_bits, n_tables, seed):
    """A draw of hash functions."""
    sampler = LSHSampler(n_bits, n_tables=n_tables, n_uniform=N_TAIL, random_state=seed)
    begin = time.process_time()
    sampler.fit(vectors, offset)
    making = time.process_time() - begin
    found = len(sampler.candidates(queries).indices) / len(queries) + n_bits * n_tables
    return {
        name: (
            functools.partial(sampler.estimate_partition, queries, **settings),
            found + N_TAIL * (name != "importance"),
            making,
        )
        for name, settings in BY_TABLES.items()
    }


def by_uniform(vectors, offset, queries, n, seed):
    """A draw of classes."""
    sampler = without_tables(vectors, offset, n, seed)
    estimate = functools.partial(sampler.estimate_partition, queries, "uniform")
    return {"uniform": (estimate, n, None)}


def by_best(vectors, offset, queries, k, seed):
    """The best classes of all and a uniform tail."""
    sampler = without_tables(vectors, offset, N_TAIL, seed)
    estimate = functools.partial(sampler.estimate_partition, queries, n_head=k)
    return {"best and tail": (estimate, k + N_TAIL, None)}


def without_tables(vectors, offset, n_uniform, seed):
    """A sampler for what does not look at its tables, which are as small as can be."""
    return LSHSampler(1, n_tables=1, n_uniform=n_uniform, random_state=seed).fit(vectors, offset)


def by_shared_sets(vectors, offset, frequency, queries, n, seed):
    """Candidates of a training step whose rows are the queries."""
    n_classes, width = vectors.shape
    output = OutputLayer(n_classes, width)
    output.weights[:, :width], output.bias[:] = vectors, offset
    labels = np.random.default_rng(seed).choice(
        n_classes, size=len(queries), p=frequency / frequency.sum()
    )
    Y = as_batch(sp.csr_array((np.ones(len(labels)), labels, np.arange(len(labels) + 1))))
    samplers = {
        "shared lsh": LSH(
            n_classes, "head_tail", n_active=n, seed=seed, width=width, hash_family="simhash",
            n_bits="auto", n_tables=8, bucket_size=24, rehash_every=10**9, rehash_growth=1,
        ),
        "shared uniform": Drawn(n_classes, "head_tail", n_active=n, seed=seed),
    }  # fmt: skip
    wide = aligned(queries)

    def estimate(sampler):
        drawn = sampler.draw(wide, Y, output)
        logits = wide @ output.weights[drawn.ids].T + output.bias[drawn.ids]
        return logsumexp(logits + np.log(drawn.weights), axis=1)

    return {
        name: (
            functools.partial(estimate, sampler), len(sampler.draw(wide, Y, output).ids), None
        )
        for name, sampler in samplers.items()
    }  # fmt: skip


def by_all(sampler, queries, seed):
    """Nothing is drawn."""
    estimate = functools.partial(sampler.log_partition, queries)
    return {"all": (estimate, sampler.n_items_, None)}


def by_frequency(items, frequency, queries, n, seed):
    """Draws with replacement by frequency^0.75, of which no class has none."""
    share = (frequency + 0.5) ** 0.75
    share /= share.sum()
    edges, rng = np.cumsum(share)[:-1], np.random.default_rng(seed)

    def estimate():
        ids = np.searchsorted(edges, rng.random(len(queries) * n)).astype(np.int32)
        indptr = n * np.arange(len(queries) + 1)
        logits = items.logits(aligned(queries), indptr, ids, 1)
        return log_sum_exp(logits - np.log(n * share)[ids], indptr)

    return {"by frequency": (estimate, n, None)}


def aligned(rows):
    """Float32 rows padded as the kernels take them."""
    wide = np.zeros((len(rows), padded(rows.shape[1])), dtype=np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def ways(vectors, offset, frequency, queries):
    """(size, way) of all."""
    sampler = LSHSampler(random_state=0).fit(vectors, offset)
    data = vectors, offset, queries
    for more_bits, n_tables in TABLES:
        n_bits = sampler.n_bits_ + more_bits
        way = functools.partial(by_tables, *data, n_bits, n_tables)
        yield f"{n_bits} bits, {n_tables} tables", way
    for k in N_BEST:
        yield f"best {k}", functools.partial(by_best, *data, k)
    for n in N_DRAWN:
        yield f"{n:,} draws", functools.partial(by_uniform, *data, n)
    if frequency is not None:
        for n in N_DRAWN:
            way = functools.partial(by_shared_sets, vectors, offset, frequency, queries, n)
            yield f"{n:,} negatives", way
        for n in N_DRAWN:
            way = functools.partial(by_frequency, sampler._items, frequency, queries, n)
            yield f"{n:,} draws", way
    yield "", functools.partial(by_all, sampler, queries)


def measure(way, log_z, n_draws):
    """Figures of a way, over independent draws, for each of its estimates by name."""
    runs = {}
    for seed in range(n_draws):
        for name, (estimate, cost, making) in way(seed).items():
            begin = time.process_time()
            error = estimate() - log_z
            runs.setdefault(name, []).append((error, time.process_time() - begin, cost, making))
    return {name: figures(*zip(*of_one, strict=True)) for name, of_one in runs.items()}


def figures(errors, seconds, costs, makings):
    """What is told of errors of log Z, (n_draws, n_queries), and of their costs."""
    ratios = np.expm1(errors)
    by_draw = ratios.mean(axis=1)
    found = {
        "products": float(np.mean(costs)),
        "cpu_us": float(np.median(seconds) / ratios.shape[1] * 1e6),
        "bias": float(by_draw.mean()),
        "bias_error": float(by_draw.std(ddof=1) / np.sqrt(len(by_draw))),
        "variance": float(np.mean(ratios**2)),
        "log_error": float(np.median(np.abs(errors))),
    }
    if makings[0] is not None:
        found["tables_ms"] = float(1e3 * np.median(makings))
    return found


def line(r):
    """A way's figures, to be printed."""
    bias = f"{r['bias']:8.4f} ({r['bias_error']:.4f})"
    return (
        f"{r['data']:24s} {r['way']:14s} {r['size']:20s} {r['products']:8,.0f} products "
        f"{r['cpu_us']:7.1f} us  bias {bias}  variance {r['variance']:.3g}  "
        f"log Z off by {r['log_error']:.3g}"
    )


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000, help="training rows")
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[20_000, 131_072])
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer")
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    results = []
    first = args.classes[0]
    cases = [(f"trained, {n:,} classes", trained, n) for n in args.classes]
    for data, make, n_classes in [*cases, (f"random, {first:,} vectors", random_vectors, first)]:
        vectors, offset, frequency, queries = make(n_classes, args)
        logits = queries.astype(float) @ vectors.T.astype(float) + offset
        log_z = logsumexp(logits, axis=1)
        for size, way in ways(vectors, offset, frequency, queries):
            for name, found in measure(way, log_z, args.draws).items():
                results.append({"data": data, "way": name, "size": size} | found)
                print(line(results[-1]), flush=True)
    if args.json:
        setting = {
            "setting": f"{args.width} features, {args.queries} queries, {args.draws} draws, "
            f"{N_TAIL} uniform draws in a tail, one thread; trained for three epochs on "
            f"{args.rows:,} rows of {args.features:,} features, 65% noise",
        }
        args.json.write_text(json.dumps(facts() | setting | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
