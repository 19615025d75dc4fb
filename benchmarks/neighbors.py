"""How long it takes to find the training rows nearest to a row, and how many are found.

    python benchmarks/neighbors.py --data DIR [DIR ...] [--queries 1000] [--dense WIDTH]
        [--tables N,SIZE ...]

Each DIR is as for benchmarks/xmc.py. Exact search, by an inverted index on sparse rows and
by products on dense ones, and LSHIndex with N tables of about SIZE rows a bucket look for the
ten training rows of largest cosine with test rows, on one thread. Printed are CPU seconds to
build, CPU microseconds a query, the share of the ten that was found, the share of their
squared cosines, and what is kept. With --dense rows are projected on their WIDTH
leading singular vectors first. LSHIndex keeps dense rows: what does not fit is left out.

What `algorithm="auto"` of NeighborBlendClassifier does goes by these figures.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import xmc
from sklearn.decomposition import TruncatedSVD

from sklsh._neighbors import DenseRows, HashedRows, Postings

K = 10


def timed(call):
    """What a call returns, and the CPU seconds it took."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def measure(make, X, queries):
    """(ids, cosines) of the nearest, and figures."""
    finder, build = timed(lambda: make(X))
    found, seconds = timed(lambda: finder.nearest(queries, K, 1))
    return found, {
        "build s": build, "us a query": 1e6 * seconds / queries.shape[0],
        "MB": finder.nbytes / 1e6,
    }  # fmt: skip


def shares_found(found, exact):
    """Share of the nearest rows that was found, and of their squared cosines."""
    hits = [np.isin(e[e >= 0], f) for e, f in zip(exact[0], found[0], strict=True)]
    return {
        "found": np.concatenate(hits).mean(),
        "squares": np.square(found[1]).sum() / np.square(exact[1]).sum(),
    }


def compare(X, queries, tables):
    """Yield (name, figures) of the exact search and of hash tables."""
    exact, figures = measure(Postings if hasattr(X, "indptr") else DenseRows, X, queries)
    yield "exact", figures | shares_found(exact, exact)
    for n_tables, bucket_size in tables:
        name = f"{n_tables} tables of {bucket_size}"
        try:
            found, figures = measure(
                lambda X, n=n_tables, size=bucket_size: HashedRows(
                    X, random_state=0, n_tables=n, bucket_size=size
                ),
                X, queries,
            )  # fmt: skip
        except MemoryError as error:
            print(f"{name}: {error}")
            continue
        yield name, figures | shares_found(found, exact)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dense", type=int, metavar="WIDTH")
    parser.add_argument("--tables", nargs="*", default=["16,8", "32,16", "64,32"], metavar="N,SIZE")
    args = parser.parse_args()
    tables = [tuple(map(int, pair.split(","))) for pair in args.tables]
    for folder in args.data:
        X, X_test, _, _ = xmc.read(folder)
        X, X_test = xmc.scaled(X, X_test)
        if args.dense:
            svd = TruncatedSVD(args.dense, n_iter=2, random_state=0).fit(X)
            X, X_test = (svd.transform(x).astype(np.float32) for x in (X, X_test))
        print(f"{folder.name}: {X.shape[0]:,} rows of {X.shape[1]:,} features")
        for name, figures in compare(X, X_test[: args.queries], tables):
            line = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"  {name}: {line}", flush=True)


if __name__ == "__main__":
    main()
