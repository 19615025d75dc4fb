"""K-mers of nucleotide sequences: counts in CSR, tokens, and letters of their codes."""

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _kmers
from sklsh._memory import require_bytes
from sklsh.datasets import _lines
from sklsh.datasets._lines import check_count

MOST_K = 31  # 4**31 columns can be counted in int64


def kmer_counts(reads, k, *, both_strands=True):
    """Count the k-mers of reads.

    Column j stands for the k-mer of code j: two bits a base, A 0, C 1, G 2, T 3, the first
    base the most significant; :func:`decode_kmers` tells its letters.

    Parameters
    ----------
    reads : iterable of str or bytes, or ndarray of shape (n_reads, length), uint8
        Sequences of nucleotides, in upper or lower case; U is T. An array holds their
        characters, such as ``ord("A")``. K-mers with any other letter of the IUPAC code, X or
        a gap, "-", are left out.

    k : int
        Bases of a k-mer, 1 to 31.

    both_strands : bool, default=True
        Whether a k-mer and its reverse complement are one, counted as the one that is first
        in the alphabet: the strand a read came from does then not matter.

    Returns
    -------
    csr_array of shape (n_reads, 4**k), float32
        Counts; int64 indices, sorted.

    Raises
    ------
    ValueError
        If k is out of range, or a read holds a character that no nucleotide has.

    TypeError
        If a read is neither str nor bytes.

    See Also
    --------
    kmer_tokens : The k-mers as tokens.
    iter_fasta_kmers : Reads them from a file.

    Examples
    --------
    >>> from sklsh.datasets import decode_kmers, kmer_counts
    >>> X = kmer_counts(["ACGTT", "ggnca"], 2)
    >>> X.shape
    (2, 16)
    >>> for row in X:
    ...     print(decode_kmers(row.indices, 2), row.data)
    ['AA' 'AC' 'CG'] [1. 2. 1.]
    ['CA' 'CC'] [1. 1.]
    """
    codes, indptr = _codes(reads, k, both_strands)
    for start, end in pairwise(indptr.tolist()):
        codes[start:end].sort()
    counts = np.empty(len(codes), dtype=np.float32)
    _kmers.count_runs(codes, indptr, counts)
    n = indptr[-1]
    parts = (counts[:n].copy(), codes[:n].copy(), indptr.astype(np.int64))
    return sp.csr_array(parts, shape=(len(indptr) - 1, 4**k))


def kmer_tokens(reads, k, *, both_strands=True):
    """K-mers of reads as tokens, as models take them that hash tokens.

    Parameters
    ----------
    reads, k, both_strands
        As for :func:`kmer_counts`.

    Returns
    -------
    list of ndarray of dtype "S{k}"
        K-mers of each read in upper case, from first to last, repeated ones repeated.

    Examples
    --------
    >>> from sklsh.datasets import kmer_tokens
    >>> kmer_tokens(["ACGTT"], 2)
    [array([b'AC', b'CG', b'AC', b'AA'], dtype='|S2')]
    """
    codes, indptr = _codes(reads, k, both_strands)
    tokens = _decoded(codes, k)
    return [tokens[start:end] for start, end in pairwise(indptr.tolist())]


def decode_kmers(codes, k):
    """Letters of k-mers.

    Parameters
    ----------
    codes : array-like of int, of shape (n,)
        Columns of :func:`kmer_counts`.

    k : int
        Bases of a k-mer, 1 to 31.

    Returns
    -------
    ndarray of str, of shape (n,)

    Raises
    ------
    ValueError
        If a code is not among the 4**k.

    Examples
    --------
    >>> from sklsh.datasets import decode_kmers
    >>> decode_kmers([0, 27], 3)
    array(['AAA', 'CGT'], dtype='<U3')
    """
    check_count("k", k, most=MOST_K)
    codes = np.asarray(codes)
    if codes.ndim != 1 or (codes.dtype.kind not in "iu" and codes.size):
        raise ValueError(
            f"codes must be integers of one dimension; got shape {codes.shape}, dtype "
            f"{codes.dtype}."
        )
    wrong = codes[(codes < 0) | (codes >= 4**k)]
    if wrong.size:
        raise ValueError(f"codes must be from 0 to below 4**{k}; got {wrong[0]}.")
    return _decoded(codes.astype(np.int64), k).astype(str)


def _codes(reads, k, both_strands):
    """Codes of k-mers, read after read, and where those of each read begin."""
    check_count("k", k, most=MOST_K)
    if not isinstance(both_strands, (bool, np.bool_)):
        raise ValueError(f"both_strands must be True or False; got {both_strands!r}.")
    text, lengths = _joined(reads)
    wrong = _kmers.first_wrong(text)
    ends = np.cumsum(lengths, dtype=np.intp)
    if wrong >= 0:
        read = np.searchsorted(ends, wrong, side="right")
        raise ValueError(
            f"Read {read} holds {chr(text[wrong])!r} at place "
            f"{wrong - ends[read] + lengths[read]}, which is no code of a nucleotide."
        )
    n = int(np.maximum(lengths - k + 1, 0).sum())
    if 8 * n > _lines.CHECK_EVERY:
        require_bytes(8 * n, f"{n:,} k-mers")
    codes = np.empty(n, dtype=np.int64)
    indptr = np.empty(len(ends) + 1, dtype=np.intp)
    _kmers.kmer_codes(text, ends, k, both_strands, codes, indptr)
    return codes[: indptr[-1]], indptr


def _joined(reads):
    """Characters of all reads, and how many each has."""
    if isinstance(reads, np.ndarray) and reads.dtype == np.uint8 and reads.ndim == 2:
        return np.ascontiguousarray(reads).reshape(-1), np.full(len(reads), reads.shape[1])
    if isinstance(reads, (str, bytes)):
        raise ValueError(f"reads must be an iterable of reads; got a single {type(reads).__name__}")
    reads = [read if type(read) is bytes else _as_bytes(read, i) for i, read in enumerate(reads)]
    lengths = np.fromiter(map(len, reads), dtype=np.intp, count=len(reads))
    return np.frombuffer(b"".join(reads), dtype=np.uint8), lengths


def _as_bytes(read, i):
    if isinstance(read, (bytes, bytearray)):
        return bytes(read)
    if not isinstance(read, str):
        raise TypeError(f"Read {i} must be str or bytes; got {read!r} of {type(read).__name__}.")
    return read.encode("ascii", "replace")  # "?" is no nucleotide either


def _decoded(codes, k):
    """K-mers as fixed-width bytes."""
    text = np.empty((len(codes), k), dtype=np.uint8)
    _kmers.decode(codes, text)
    return text.reshape(-1).view(f"S{k}")
