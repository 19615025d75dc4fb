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
weights over the classes, "chi2" by the statistic. Ours is fitted anew for every number of features
of texts, with its defaults. Of reads, it goes twice through the chunks with partial_fit, once and
for all for the largest number, of which the fewer are the first: with the hinge loss, as
SGDClassifier has it, and the widest sketch that stays within 64 MB.
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
PASSES = 2  # through them
MOST_BYTES = 64e6  # of a model of reads
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
    streamed: bool

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
    return Case("20 newsgroups", X, y, X_test, y_test, LinearSVC, sizes, streamed=False)


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
        streamed=True,
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


class Sketched:
    """MISSIONSelector; of reads one model serves all numbers of features."""

    def __init__(self, mode):
        self.mode = mode
        self.fitted = {}

    def __call__(self, case, size, seed):
        """The best columns, and the bytes of the model."""
        settings = {"mode": self.mode, "random_state": seed, "n_jobs": 1}
        if not case.streamed:
            selector = MISSIONSelector(size, **settings).fit(case.X, case.y)
            return selector.feature_ids_, selector.memory_usage_["total"]
        key = case.name, seed
        if key not in self.fitted:
            self.fitted = {key: self.streamed(case, settings | {"loss": "hinge"})}
        selector = self.fitted[key]
        best = selector.feature_ids_[np.argsort(selector.ranking_)]
        return best[:size], selector.memory_usage_["total"]

    def streamed(self, case, settings):
        """The model of the most features, in the widest sketch that there is room for."""
        width = 2**24
        while self.trained(case, settings, width, 1).memory_usage_["total"] > MOST_BYTES:
            width //= 2
        return self.trained(case, settings, width, case.X.shape[0])

    @staticmethod
    def trained(case, settings, width, n_rows):
        """The model after the first rows, chunk by chunk."""
        selector = MISSIONSelector(max(case.sizes), width=width, **settings)
        classes = np.unique(case.y)
        for _ in range(PASSES):
            for first in range(0, n_rows, CHUNK):
                rows = slice(first, min(first + CHUNK, n_rows))
                selector.partial_fit(case.X[rows], case.y[rows], classes=classes)
        return selector


SYSTEMS = {
    "all": ("all columns", by_all),
    "weights": ("largest weights of that", Weights()),
    "chi2": ("chi2", by_chi2),
    "active": ("MISSIONSelector", Sketched("active")),
    "mission": ('MISSIONSelector, mode="mission"', Sketched("mission")),
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
