"""Accuracy along the number of features that are chosen, on public data.

    python benchmarks/selection_curves.py [--news DIR] [--genomes FASTA ...] [--k 12 16]
        [--systems NAME ...] [--sizes N ...] [--seeds 5] [--json FILE]

--news: DIR holds 20 newsgroups, split by date, as train.jsonl.gz and test.jsonl.gz of lines
[label, text]. Features are its words and pairs of words as TfidfVectorizer(ngram_range=(1, 2),
sublinear_tf=True) finds them. --genomes: one FASTA file a class. Reads of 200 bases are cut
anywhere on either strand: 60,000 a genome without errors to learn from, 5,000 with 1 % of
substitutions to be classified. Features are counts of canonical k-mers.

Every system ranks the columns on the training rows; a classifier of its own is then refitted on
the best ones, and its test accuracy is what counts: LinearSVC for texts, SGDClassifier for reads,
both as they come. "all" is that classifier with all columns, "weights" ranks by the norm of its
weights over the classes, "chi2" by the statistic. Ours gets the reads in chunks, through
partial_fit, and is fitted anew for every number of features, as its memory depends on it.
"""

import argparse
import gzip
import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from genome_reads import contigs, draw_reads, kmers_of
from mission import columns
from results import facts, selection_curve_tables
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import chi2
from sklearn.linear_model import SGDClassifier
from sklearn.svm import LinearSVC

from sklsh import MISSIONSelector

CHUNK = 1000  # reads of a partial_fit
READS, TEST_READS, LENGTH, SUBSTITUTIONS = 60_000, 5_000, 200, 0.01


@dataclass
class Case:
    """Rows, what to do with them, and how many features to choose."""

    name: str
    X: sp.csr_array
    y: np.ndarray
    X_test: sp.csr_array
    y_test: np.ndarray
    classifier: type
    sizes: tuple
    in_chunks: bool

    def refit(self, ids, seed):
        """Test accuracy of the classifier on these columns."""
        ids = np.sort(ids)
        model = self.classifier(random_state=seed).fit(columns(self.X, ids), self.y)
        return model.score(columns(self.X_test, ids), self.y_test)


# ---- data ----


def news(folder):
    """20 newsgroups."""
    (texts, y), (texts_test, y_test) = (jsonl(folder / f"{s}.jsonl.gz") for s in ("train", "test"))
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    X = tfidf.fit_transform(texts)
    sizes = 100, 1000, 10_000, 100_000
    X_test = tfidf.transform(texts_test)
    return Case("20 newsgroups", X, y, X_test, y_test, LinearSVC, sizes, in_chunks=False)


def jsonl(path):
    """Texts and labels."""
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [text for _, text in rows], np.array([label for label, _ in rows])


def genomes(paths, k, n_train=READS, n_test=TEST_READS):
    """k-mers of reads; training rows in random order."""
    rng = np.random.default_rng(0)
    parts = [contigs(path) for path in paths]
    reads = [draw_reads(part, n_train, LENGTH, 0, rng) for part in parts]
    tests = [draw_reads(part, n_test, LENGTH, SUBSTITUTIONS, rng) for part in parts]
    y, y_test = (np.repeat(np.arange(len(parts)), n) for n in (n_train, n_test))
    order = rng.permutation(len(y))
    X, X_test = (kmers_of(np.concatenate(r), k) for r in (reads, tests))
    n_seen = len(np.unique(X.indices))
    sizes = 10_000, n_seen // 100, n_seen // 20
    return Case(
        f"genomes, k = {k}",
        X[order],
        y[order],
        X_test,
        y_test,
        SGDClassifier,
        sizes,
        in_chunks=True,
    )


# ---- systems ----


def by_all(case, size, seed):
    """Every column that occurs."""
    return np.unique(case.X.indices), None


class Weights:
    """Ranking by the classifier's own weights; fitted once."""

    def __init__(self):
        self.fitted = {}

    def __call__(self, case, size, seed):
        """The best columns."""
        key = case.name, seed
        if key not in self.fitted:
            seen = np.unique(case.X.indices)
            model = case.classifier(random_state=seed).fit(columns(case.X, seen), case.y)
            order = np.argsort(-np.linalg.norm(model.coef_, axis=0), kind="stable")
            self.fitted = {key: (seen[order], model.coef_.nbytes)}
        ids, n_bytes = self.fitted[key]
        return ids[:size], n_bytes


def by_chi2(case, size, seed):
    """The largest statistics."""
    seen = np.unique(case.X.indices)
    statistic = np.nan_to_num(chi2(columns(case.X, seen), case.y)[0])
    return seen[np.argsort(-statistic, kind="stable")[:size]], statistic.nbytes


def sketched(case, size, seed, **settings):
    """MISSIONSelector."""
    selector = MISSIONSelector(
        n_features_to_select=size, random_state=seed, n_jobs=1, **settings
    )  # fmt: skip
    if case.in_chunks:
        classes = np.unique(case.y)
        for first in range(0, case.X.shape[0], CHUNK):
            rows = slice(first, first + CHUNK)
            selector.partial_fit(case.X[rows], case.y[rows], classes=classes)
    else:
        selector.fit(case.X, case.y)
    return selector.feature_ids_, selector.memory_usage_["total"]


SYSTEMS = {
    "all": ("all columns", by_all),
    "weights": ("largest weights of that", Weights()),
    "chi2": ("chi2", by_chi2),
    "active": ("MISSIONSelector", sketched),
    "mission": ('MISSIONSelector, mode="mission"', lambda *a: sketched(*a, mode="mission")),
}
SEEDED = {"active", "mission"}  # the others hardly depend on it


def run(case, args):
    """Rows of the result, as they come."""
    for name, seed in itertools.product(args.systems, range(args.seeds)):
        if seed and name not in SEEDED:
            continue
        title, choose = SYSTEMS[name]
        for size in args.sizes or case.sizes:
            start = time.process_time()
            ids, n_bytes = choose(case, size, seed)
            seconds = time.process_time() - start
            result = {"data": case.name, "system": name, "title": title, "seed": seed}
            result |= {"size": len(ids), "accuracy": round(case.refit(ids, seed), 4)}
            result["cpu_s"] = round(seconds, 2)
            if n_bytes is not None:
                result["state_mb"] = float(f"{n_bytes / 1e6:.3g}")
            yield result
            if name == "all":
                break


def cases(args):
    """The data that the arguments name, one after the other."""
    if args.news:
        yield news(args.news)
    if args.genomes:
        yield from (genomes(args.genomes, k, args.reads, args.test_reads) for k in args.k)


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--news", type=Path, metavar="DIR")
    parser.add_argument("--genomes", type=Path, nargs="+", metavar="FASTA")
    parser.add_argument("--k", type=int, nargs="+", default=[12, 16], help="length of a k-mer")
    parser.add_argument("--reads", type=int, default=READS, help="of a genome, to learn from")
    parser.add_argument("--test-reads", type=int, default=TEST_READS)
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME"
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of features, for all data")
    parser.add_argument("--seeds", type=int, default=5, help="of ours")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    given = {path for path in (args.news, *(args.genomes or ())) if path}
    kept = facts(given) | {"results": []}
    for case in cases(args):
        for result in run(case, args):
            kept["results"].append(result)
            print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
            if args.json:
                args.json.write_text(json.dumps(kept, indent=1) + "\n")
    print("\n".join(["", *selection_curve_tables(kept)]))


if __name__ == "__main__":
    main()
