"""Reads of genomes, cut at random as a sequencer would.

Bases are the codes A C G T = 0 1 2 3; 4 stands for any other letter.
"""

import numpy as np

from sklsh.datasets import iter_fasta, kmer_counts

LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
UNKNOWN = 4
CODES = np.full(256, UNKNOWN, dtype=np.uint8)
CODES[LETTERS] = range(5)


def contigs(path):
    """Codes of each record of a FASTA file, compressed or not."""
    return [CODES[np.frombuffer(sequence, dtype=np.uint8)] for _, sequence in iter_fasta(path)]


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


def kmers_of(reads, k):
    """CSR rows of the counts of k-mers, either strand's, which are the columns.

    Their numbers are int32 where that is enough: scikit-learn's SGDClassifier takes no others.
    """
    X = kmer_counts(LETTERS[reads], k)
    if 4**k < 2**31:
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X
