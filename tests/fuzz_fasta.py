"""Feeds damaged files to the reader of FASTA.

    python tests/fuzz_fasta.py [--seconds 600] [--seed 0] [--input FILE]

Only ValueError and MemoryError may come of a file; what is read must be as a naive reader has
it, and the k-mers alike in chunks of any size and read by blocks of any size. The file in hand
stands under the name of --input: it is left there, and the exit is not zero, if anything else
happens, if reading it takes 20 seconds, or if the process dies. The same seed makes the same
files.
"""

import argparse
import collections
import faulthandler
import gzip
import itertools
import random
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from fuzz_xmc import cut, flip_bits, repeat, shuffle_lines, splice

from sklsh.datasets import (
    _lines,
    decode_kmers,
    iter_fasta,
    iter_fasta_kmers,
    kmer_counts,
    kmer_tokens,
)

PATIENCE = 20  # seconds
LETTERS = b"ACGTURYSWKMBDHVNX-"
TOKENS = [
    b">", b"\n>", b">>", b"\n", b"\r\n", b"\r", b" ", b"\t", b"\0", b"\xff", b"@", b"+", b";", b"*",
    b"N", b"n" * 40, b"ACGT" * 30, b"u", b"-", b"E", b"1", b"\n\n", b"\x1f\x8b", b">\xc3\xa9\n",
]  # fmt: skip


def valid_file(rng):
    """A small well-formed file."""
    newline = rng.choice([b"\n", b"\n", b"\r\n"])
    letters = rng.choice([b"ACGT", b"ACGT", b"ACGTN", b"acgtACGT", LETTERS])
    lines = [b""] if rng.random() < 0.1 else []
    for i in range(rng.randint(1, 5)):
        lines.append(b">record %d" % i)
        width = rng.randint(1, 80)
        sequence = bytes(rng.choices(letters, k=rng.choice([0, 5, 60, 300])))
        lines += [sequence[j : j + width] for j in range(0, len(sequence), width)]
    return newline.join(lines) + rng.choice([newline, b""])


def insert_token(rng, text):
    """Put something that has a meaning anywhere."""
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(TOKENS) + text[place:]


MUTATIONS = [flip_bits, cut, splice, insert_token, insert_token, shuffle_lines, repeat]


def mutated(rng, text, most):
    """Apply up to `most` mutations."""
    for _ in range(rng.randint(0, most)):
        if text:
            text = rng.choice(MUTATIONS)(rng, text)
    return text


def make_case(rng):
    """A damaged file, the keywords to read it with, and the size of blocks."""
    text = mutated(rng, valid_file(rng), rng.choice([0, 1, 1, 2, 4]))
    steps = [1, 7, 50, 400] if len(text) < 2000 else [50, 400]  # or windows would be too many
    if rng.random() < 0.25:
        text = mutated(rng, gzip.compress(text, mtime=0), 1)
    k = rng.choice([1, 2, 5, 12, 31])
    settings = {"k": k, "both_strands": rng.random() < 0.5}
    if rng.random() < 0.6:
        settings["read_length"] = k + rng.choice([0, 1, 20, 200])
        if rng.random() < 0.6:
            settings["step"] = rng.choice(steps)
    return text, settings, rng.choice([1, 2, 5, 10_000]), rng.choice([1, 3, 16, 100, 1 << 20])


def naive_records(text):
    """Records as (header, sequence), or None if the text is no FASTA file."""
    if text.startswith(b"\x1f\x8b"):
        try:
            text = gzip.decompress(text)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    while lines and not lines[0].strip(b" \t\r"):
        del lines[0]
    if not lines or not lines[0].startswith(b">"):
        return None
    records = []
    for line in lines:
        if line.startswith(b">"):
            if b"\r" in line.rstrip(b"\r"):
                return None
            header = line[1:].rstrip(b"\r").decode("utf-8", "backslashreplace")
            records.append((header, b""))
        else:
            letters = bytes(c for c in line if c not in b" \t\r").upper()
            if not set(letters) <= set(LETTERS) or not letters.isascii():
                return None
            records[-1] = (records[-1][0], records[-1][1] + letters)
    return records


def naive_windows(sequence, k, read_length=None, step=None, both_strands=None):
    """Windows of a sequence, as long as there are bases that none has."""
    del k, both_strands
    if read_length is None:
        return [sequence]
    windows, start, step = [], 0, step or read_length
    while True:
        windows.append(sequence[start : start + read_length])
        start += step
        if start - step + read_length >= len(sequence) or start >= len(sequence):
            return windows


def check_kmers(path, settings, chunk_size, records):
    """Raise AssertionError unless both outputs are those of the naive windows."""
    reads = [window for _, sequence in records for window in naive_windows(sequence, **settings)]
    how = {"both_strands": settings["both_strands"]}
    k = settings["k"]
    chunks = list(iter_fasta_kmers(path, chunk_size=chunk_size, **settings))
    assert [X.shape[0] for X in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    X, expected = sp.vstack(chunks, format="csr"), kmer_counts(reads, k, **how)
    assert X.shape == expected.shape == (len(reads), 4**k)
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(X, part), getattr(expected, part))
    X.check_format(full_check=True)
    chunks = iter_fasta_kmers(path, output="tokens", chunk_size=chunk_size, **settings)
    tokens = [row.tolist() for chunk in chunks for row in chunk]
    assert tokens == [row.tolist() for row in kmer_tokens(reads, k, **how)]
    names = decode_kmers(X.indices, k).tolist()
    for row, start, end in zip(tokens, X.indptr, X.indptr[1:], strict=False):
        counted = collections.Counter(token.decode() for token in row)
        assert dict(zip(names[start:end], X.data[start:end], strict=True)) == counted


def run_case(path, settings, chunk_size, block):
    """Read the file all ways; returns the name of the error it gives, or "loaded"."""
    _lines.BLOCK = block
    expected = naive_records(path.read_bytes())
    try:
        records = list(iter_fasta(path))
    except (ValueError, MemoryError) as error:
        assert expected is None, f"a naive reader can read it: {error}"
        assert str(error).startswith(str(path))
        try:
            list(iter_fasta_kmers(path, chunk_size=chunk_size, **settings))
        except (ValueError, MemoryError):
            return type(error).__name__
        raise AssertionError(f"k-mers were read, but not records: {error}") from error
    assert records == expected
    check_kmers(path, settings, chunk_size, records)
    return "loaded"


def fuzz(path, *, seed=0, n_cases=None, seconds=None):
    """Run cases until their number or the time is up; returns the count of each outcome."""
    rng = random.Random(seed)
    started, block = time.monotonic(), _lines.BLOCK
    outcomes = collections.Counter()
    try:
        for case in itertools.count() if n_cases is None else range(n_cases):
            if seconds is not None and time.monotonic() - started > seconds:
                break
            text, *settings = make_case(rng)
            path.write_bytes(text)
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                outcomes[run_case(path, *settings)] += 1
            except BaseException as error:
                error.add_note(f"case {case} of seed {seed}, {settings}, file left in {path}")
                raise
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        _lines.BLOCK = block
    path.unlink(missing_ok=True)
    return outcomes


def main():
    """Run for the time given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--input", type=Path, default=Path(tempfile.gettempdir(), "fuzz_fasta_input")
    )
    args = parser.parse_args()
    outcomes = fuzz(args.input, seed=args.seed, seconds=args.seconds)
    print(f"{outcomes.total():,} files in {args.seconds:g} s:", dict(outcomes))


if __name__ == "__main__":
    sys.exit(main())
