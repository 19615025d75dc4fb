"""Kernels of k-mers against plain strings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklsh._kernels import _kmers

LETTERS = "ACGT"
COMPLEMENT = str.maketrans("ACGT", "TGCA")
READS = st.lists(st.text("ACGTUacgtuNRYKMSWBDHVXn-", max_size=40), max_size=4)


def kmers_of(read, k, both_strands):
    """K-mers of a read as strings, those with unknown bases left out."""
    read = read.upper().replace("U", "T")
    kmers = [read[i : i + k] for i in range(len(read) - k + 1)]
    kmers = [kmer for kmer in kmers if set(kmer) <= set(LETTERS)]
    if both_strands:
        kmers = [min(kmer, kmer[::-1].translate(COMPLEMENT)) for kmer in kmers]
    return kmers


def code_of(kmer):
    return sum(LETTERS.index(base) * 4**i for i, base in enumerate(reversed(kmer)))


def codes_of(reads, k, both_strands):
    text = np.frombuffer("".join(reads).encode(), dtype=np.uint8)
    ends = np.cumsum([len(read) for read in reads], dtype=np.intp)
    codes = np.full(sum(max(len(read) - k + 1, 0) for read in reads), -1)
    indptr = np.full(len(reads) + 1, -1)
    _kmers.kmer_codes(text, ends, k, both_strands, codes, indptr)
    return codes, indptr


@settings(max_examples=300, deadline=None, derandomize=True)
@given(READS, st.integers(1, 31), st.booleans())
def test_codes_match_strings(reads, k, both_strands):
    codes, indptr = codes_of(reads, k, both_strands)
    expected = [kmers_of(read, k, both_strands) for read in reads]
    assert np.diff(indptr).tolist() == [len(kmers) for kmers in expected]
    assert codes[: indptr[-1]].tolist() == [code_of(kmer) for kmers in expected for kmer in kmers]
    assert (codes[indptr[-1] :] == -1).all()


@pytest.mark.parametrize("k", [1, 2, 16, 30, 31])
def test_letters_of_codes(k):
    codes = np.array([0, 1, 4**k - 1, 4**k // 3, 27 % 4**k])
    text = np.empty((5, k), dtype=np.uint8)
    _kmers.decode(codes, text)
    assert [code_of(bytes(row).decode()) for row in text] == codes.tolist()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=5))
def test_runs(rows):
    codes = np.array([code for row in rows for code in sorted(row)], dtype=np.int64)
    indptr = np.cumsum([0] + [len(row) for row in rows])
    counts = np.empty(len(codes), dtype=np.float32)
    _kmers.count_runs(codes, indptr, counts)
    for row, start, end in zip(rows, indptr, indptr[1:], strict=False):
        assert codes[start:end].tolist() == sorted(set(row))
        assert counts[start:end].tolist() == [row.count(code) for code in sorted(set(row))]


def test_every_byte_is_known_or_wrong():
    for byte in range(256):
        is_wrong = chr(byte) not in "ACGTURYSWKMBDHVNXacgturyswkmbdhvnx-"
        assert _kmers.first_wrong(np.array([65, byte], dtype=np.uint8)) == (1 if is_wrong else -1)


def test_wrong_sizes():
    text, codes, indptr = np.full(9, 65, np.uint8), np.empty(8, np.int64), np.empty(3, np.int64)
    _kmers.kmer_codes(text, np.array([2, 9]), 1, False, np.empty(9, np.int64), indptr)
    for ends, k in (([2, 9], 1), ([2, 10], 3), ([5, 4], 3), ([9], 3), ([2, 9], 0), ([2, 9], 32)):
        with pytest.raises(ValueError):
            _kmers.kmer_codes(text, np.array(ends), k, False, codes, indptr)
    with pytest.raises(ValueError):
        _kmers.count_runs(codes, np.array([0, 9]), np.empty(9, np.float32))
    with pytest.raises(ValueError):
        _kmers.count_runs(codes, np.array([0, 8]), np.empty(7, np.float32))
    with pytest.raises(ValueError):
        _kmers.decode(codes, np.empty((7, 2), np.uint8))
