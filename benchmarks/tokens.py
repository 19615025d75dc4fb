"""Time the hashing of tokens takes, beside scikit-learn's FeatureHasher.

    python benchmarks/tokens.py [--rows N] [--turns N] [--json FILE]

Rows of 50 tokens of 5 to 12 letters become CSR matrices: by FeatureHasher(input_type="string")
and by the hashing of sklsh, from the same lists of str, and, by sklsh alone, from arrays of
fixed-width bytes that hold the same tokens. "shared": the tokens are those of a vocabulary of
50,000 words with Zipf frequencies, a str object for each word, as of interned strings;
"distinct": each token is an object of its own, and they are spread over memory. All take turns
in one process and on one thread; printed are the medians over the turns of CPU nanoseconds per
token, and how many times faster than FeatureHasher that is.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from results import facts
from sklearn.feature_extraction import FeatureHasher

from sklsh._tokens import hash_rows

N_TOKENS = 50  # of a row
SHORTEST, LONGEST = 5, 12  # letters
N_WORDS = 50_000
RIVAL = "FeatureHasher"


def words(n, rng):
    """Random words, each an object of its own."""
    letters = rng.integers(97, 123, (n, LONGEST), dtype=np.uint8)
    lengths = rng.integers(SHORTEST, LONGEST + 1, n)
    letters[np.arange(LONGEST) >= lengths[:, None]] = 0
    return letters.view(f"S{LONGEST}").ravel().astype(str).tolist()


def shared(n_rows, rng):
    """Rows of words of one vocabulary."""
    vocabulary = words(N_WORDS, rng)
    frequency = 1 / np.arange(1, N_WORDS + 1)
    chosen = rng.choice(N_WORDS, (n_rows, N_TOKENS), p=frequency / frequency.sum())
    return [[vocabulary[i] for i in row] for row in chosen]


def distinct(n_rows, rng):
    """Rows of words that stand anywhere in memory."""
    tokens = words(n_rows * N_TOKENS, rng)
    random.Random(0).shuffle(tokens)
    return [tokens[i : i + N_TOKENS] for i in range(0, len(tokens), N_TOKENS)]


def time_ways(rows, n_turns):
    """CPU nanoseconds per token of each way."""
    arrays = [np.array(row, dtype=f"S{LONGEST}") for row in rows]
    hasher = FeatureHasher(input_type="string")
    ways = {
        RIVAL: lambda: hasher.transform(rows),
        "lists of str": lambda: hash_rows(rows),
        "arrays of bytes": lambda: hash_rows(arrays),
    }
    seconds = {name: [] for name in ways}
    for _ in range(n_turns):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name].append(time.process_time() - started)
    n = len(rows) * N_TOKENS
    return {name: float(np.median(turns)) / n * 1e9 for name, turns in seconds.items()}


def main(argv=None):
    """Time all ways on both kinds of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    results = {}
    for made in (shared, distinct):
        kind = made.__name__
        results[kind] = time_ways(made(args.rows, rng), args.turns)
        for name, ns in results[kind].items():
            times = results[kind][RIVAL] / ns
            print(f"{kind:10}{name:18}{ns:8.1f} ns per token{times:8.1f}x", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"facts": facts(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
