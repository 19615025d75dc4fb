"""Feeds damaged files to the readers of extreme multi-label text.

    python tests/fuzz_xmc.py [--seconds 600] [--seed 0] [--input FILE]

Only ValueError and MemoryError may come of a file; what is loaded must be valid and alike in
one piece, in chunks, and after writing it again. The file in hand stands under the name of
--input: it is left there, and the exit is not zero, if anything else happens, if reading it
takes 20 seconds, or if the process dies. The same seed makes the same files.
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
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklsh.datasets import _lines, iter_xmc_file, load_xmc_file, save_xmc_file

PATIENCE = 20  # seconds
TOKENS = [
    b" ", b"\t", b"\n", b"\r\n", b"\r", b",", b":", b"-", b"+", b".", b"e", b"\0", b"\xff", b"#",
    b"nan", b"inf", b"-inf", b"0", b"-1", b"1e39", b"1e-46", b"3.4e38", b"1e999999999999999999",
    b"2147483646", b"2147483647", b"2147483648", b"4294967296", b"18446744073709551616",
    b"9" * 50, b"0." + b"0" * 60 + b"1", b"16777217", b"0x1p3", b"\xd9\xa1", b" 1:1", b"1,2 3:4\n",
]  # fmt: skip


def valid_file(rng):
    """A small well-formed file."""
    n_rows, n_features, n_classes = rng.randint(0, 12), rng.randint(1, 40), rng.randint(1, 20)
    newline = rng.choice(["\n", "\n", "\r\n"])
    lines = [f"{n_rows} {n_features} {n_classes}"] if rng.random() < 0.8 else []
    for _ in range(n_rows):
        labels = rng.sample(range(n_classes), rng.randint(0, min(4, n_classes)))
        features = rng.sample(range(n_features), rng.randint(0, min(9, n_features)))
        form = rng.choice(["%d:%.6g", "%d:%.9g", "%d:%g", "%d:%.4f", "%d:%.20e"])
        entries = [form % (f, rng.lognormvariate(0, rng.choice([1, 1, 30]))) for f in features]
        lines.append(",".join(map(str, labels)) + " " + " ".join(entries))
    return (newline.join(lines) + rng.choice([newline, ""])).encode()


def flip_bits(rng, text):
    """Flip a few bits."""
    text = bytearray(text)
    for _ in range(rng.randint(1, 4)):
        text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
    return bytes(text)


def cut(rng, text):
    """Keep a part."""
    return text[: rng.randrange(len(text))] if rng.random() < 0.7 else text[rng.randrange(9) :]


def splice(rng, text):
    """Put one part in another place, over or between what is there."""
    start, place = rng.randrange(len(text)), rng.randrange(len(text))
    part = text[start : start + rng.randint(1, 40)]
    return text[:place] + part + text[place + rng.choice([0, len(part)]) :]


def insert_token(rng, text):
    """Put something that has a meaning anywhere."""
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(TOKENS) + text[place:]


def replace_number(rng, text):
    """Put a token in place of what stands between two separators."""
    ends = [i for i, c in enumerate(text) if c in b" ,:\n"]
    if not ends:
        return text
    k = rng.randrange(len(ends))
    start = ends[k - 1] + 1 if k else 0
    return text[:start] + rng.choice(TOKENS) + text[ends[k] :]


def shuffle_lines(rng, text):
    """Drop, repeat and swap lines."""
    lines = text.splitlines(keepends=True)
    return b"".join(rng.choices(lines, k=rng.randint(0, len(lines) + 2)))


def repeat(rng, text):
    """Repeat a part very often."""
    start = rng.randrange(len(text))
    part = text[start : start + rng.randint(1, 12)]
    return text[:start] + part * rng.choice([10, 1000]) + text[start:]


MUTATIONS = [flip_bits, cut, splice, insert_token, replace_number, shuffle_lines, repeat]


def mutated(rng, text, most):
    """Apply up to `most` mutations."""
    for _ in range(rng.randint(0, most)):
        if text:
            text = rng.choice(MUTATIONS)(rng, text)
    return text


def make_case(rng):
    """A damaged file, the keywords to read it with, and the sizes of chunks and blocks."""
    text = mutated(rng, valid_file(rng), rng.choice([1, 1, 2, 4]))
    if rng.random() < 0.25:
        text = mutated(rng, gzip.compress(text, mtime=0), 1)
    settings = {}
    if rng.random() < 0.3:
        settings = {"n_features": rng.choice([1, 20, 2**31 - 1]), "n_classes": rng.randint(1, 20)}
    settings["header"] = rng.choice(["auto", "auto", "auto", True, False])
    return text, settings, rng.choice([1, 2, 5, 10_000]), rng.choice([1, 3, 16, 100, 1 << 20])


def check_valid(X, Y):
    """Raise AssertionError unless X and Y are what load_xmc_file promises."""
    for part in (X, Y):
        assert isinstance(part, sp.csr_array)
        part.check_format(full_check=True)
        rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        assert not ((np.diff(rows) == 0) & (np.diff(part.indices) <= 0)).any()
    assert X.shape[0] == Y.shape[0]
    assert (X.dtype, Y.dtype) == (np.float32, np.uint8)
    assert np.isfinite(X.data).all()
    assert (Y.data == 1).all()


def check_equal(one, other):
    """Raise AssertionError unless two matrices have the same parts."""
    assert one.shape == other.shape
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def read_in_chunks(path, chunk_size, settings):
    """Join what iter_xmc_file gives; None if it gives nothing."""
    chunks = list(iter_xmc_file(path, chunk_size=chunk_size, **settings))
    for chunk in chunks:
        check_valid(*chunk)
        assert chunk[0].shape[0] <= chunk_size
    return [sp.vstack(parts, format="csr") for parts in zip(*chunks, strict=True)] or None


def run_case(path, settings, chunk_size, block):
    """Read the file all ways; returns the name of the error it gives, or "loaded"."""
    _lines.BLOCK = block
    try:
        X, Y = load_xmc_file(path, **settings)
    except (ValueError, MemoryError) as error:
        try:
            read_in_chunks(path, chunk_size, settings)
        except (ValueError, MemoryError):
            return type(error).__name__
        raise AssertionError(f"read in chunks, but not at once: {error}") from error
    check_valid(X, Y)
    if min(X.shape[1], Y.shape[1]) > 0:  # or else n_features and n_classes could not be given
        settings = settings | {"n_features": X.shape[1], "n_classes": Y.shape[1]}
        chunked = read_in_chunks(path, chunk_size, settings)
        if chunked is not None:
            check_equal(X, chunked[0])
            check_equal(Y, chunked[1])
        else:
            assert X.shape[0] == 0
    again = path.with_name(f"{path.name}.again")
    save_xmc_file(again, X, Y)
    for one, other in zip(load_xmc_file(again), (X, Y), strict=True):
        check_equal(one, other)
    again.unlink()
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
    parser.add_argument("--input", type=Path, default=Path(tempfile.gettempdir(), "fuzz_xmc_input"))
    args = parser.parse_args()
    outcomes = fuzz(args.input, seed=args.seed, seconds=args.seconds)
    print(f"{outcomes.total():,} files in {args.seconds:g} s:", dict(outcomes))


if __name__ == "__main__":
    sys.exit(main())
