"""Reads of genomes, cut at random as a sequencer would, and their k-mers as sparse rows.

Bases are the codes A C G T = 0 1 2 3; 4 stands for any other letter. A k-mer's code has its first
base in the highest bits; canonical is the smaller of its code and that of its reverse complement.
"""

import gzip

import numpy as np
import scipy.sparse as sp

UNKNOWN = 4
CODES = np.full(256, UNKNOWN, dtype=np.uint8)
CODES[list(b"ACGT")] = CODES[list(b"acgt")] = range(4)


def contigs(path):
    """Codes of each record of a FASTA file, compressed or not."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        records = (b"\n" + file.read()).split(b"\n>")[1:]
    lines = (record.partition(b"\n")[2] for record in records)
    return [CODES[np.frombuffer(b"".join(part.split()), dtype=np.uint8)] for part in lines]


def draw_reads(parts, n, length, substitutions, rng):
    """(n, length) codes, from anywhere in the contigs and either strand.

    `substitutions` is the share of bases that another one stands for.
    """
    room = np.array([max(len(part) - length + 1, 0) for part in parts])
    ends, sizes = np.cumsum(room), np.array([len(part) for part in parts])
    place = rng.integers(0, ends[-1], n)
    contig = np.searchsorted(ends, place, side="right")
    start = place - (ends - room)[contig] + (np.cumsum(sizes) - sizes)[contig]
    reads = np.concatenate(parts)[start[:, None] + np.arange(length)]
    back = rng.random(n) < 0.5
    reads[back] = complement(reads[back, ::-1])
    wrong = (rng.random(reads.shape) < substitutions) & (reads != UNKNOWN)
    reads[wrong] = (reads[wrong] + rng.integers(1, 4, wrong.sum())) % 4
    return reads


def complement(reads):
    """Codes of the bases that pair with these."""
    return np.where(reads == UNKNOWN, UNKNOWN, 3 - reads)


def kmer_counts(reads, k):
    """CSR rows of the counts of canonical k-mers, which are the columns."""
    n = reads.shape[1] - k + 1
    forward, backward = np.zeros((2, len(reads), n), dtype=np.int64)
    known = np.ones(forward.shape, dtype=bool)
    for j in range(k):
        base = reads[:, j : j + n]
        forward = 4 * forward + base
        backward += (3 - base.astype(np.int64)) << (2 * j)
        known &= base != UNKNOWN
    codes = np.sort(np.where(known, np.minimum(forward, backward), -1), axis=1)
    index = np.int32 if 4**k < 2**31 else np.int64
    starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(index)
    ids = codes[codes >= 0].astype(index)
    counts = sp.csr_array(
        (np.ones(len(ids), np.float32), ids, starts), shape=(len(reads), 4**k)
    )  # fmt: skip
    counts.sum_duplicates()
    return counts
