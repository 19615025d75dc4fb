"""How fast strings become columns: ours beside FeatureHasher.

    python benchmarks/token_hashing.py [--rows N] [--turns 5] [--news DIR] [--json FILE]

Rows are lists of strings: "f" and a number, as benchmarks/mission.py names its features, and with
--news words and pairs of words of the training half of 20 newsgroups (see selection_curves.py).
Both make a CSR matrix of them, turn by turn on one thread: FeatureHasher of 2^20 columns, in which
names are lost, ours of 2^63 - 1, with the texts beside it. Printed are million strings per CPU
second, medians over the turns.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from feature_selectors.tokens import tokens_of
from results import facts, token_hashing_table
from selection_curves import jsonl
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer
from sparse_support import FAMILIES, make_sparse_support

from sklsh._tokens import hash_rows

SYSTEMS = {
    "FeatureHasher": FeatureHasher(2**20, input_type="string").transform,
    "sklsh": lambda rows: hash_rows(rows).X,
}


def numbers(n_rows):
    """Names of generated features."""
    return tokens_of(make_sparse_support(FAMILIES["zipf"], n_rows=n_rows, n_test=1).X)


def words(folder, n_rows):
    """Words and pairs of words of texts, in order."""
    texts, _ = jsonl(folder / "train.jsonl.gz")
    return list(map(CountVectorizer(ngram_range=(1, 2)).build_analyzer(), texts[:n_rows]))


def measure(data, rows, turns):
    """A result for each system, from turns one after the other."""
    n_strings = sum(map(len, rows))
    seconds = {name: [] for name in SYSTEMS}
    for _ in range(turns):
        for name, hashed in SYSTEMS.items():
            start = time.process_time()
            hashed(rows)
            seconds[name].append(time.process_time() - start)
    rates = {name: n_strings / np.median(spent) / 1e6 for name, spent in seconds.items()}
    base = rates["FeatureHasher"]
    return [
        {"data": data, "system": name, "rate": round(rate, 3), "ratio": round(rate / base, 2)}
        for name, rate in rates.items()
    ]


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--news", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results = measure("numbered names", numbers(args.rows), args.turns)
    if args.news:
        results += measure("words and their pairs", words(args.news, args.rows), args.turns)
    kept = facts({args.news}) | {"results": results}
    print("\n".join(token_hashing_table(kept)))
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
