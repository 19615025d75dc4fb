"""Sequences of FASTA files, and the k-mers of them."""

import re

import numpy as np

from sklsh._memory import require_bytes
from sklsh.datasets import _lines
from sklsh.datasets._kmers import MOST_K, kmer_counts, kmer_tokens
from sklsh.datasets._lines import LineReader, check_count, file_name, opened, quoted

MOST_BASES = 1 << 24  # of the rows of a chunk
_LETTERS = b"ACGTURYSWKMBDHVNX"
_UPPER = bytes.maketrans(_LETTERS.lower(), _LETTERS)
_BLANKS = b" \t\r\n"
_WRONG = re.compile(rb"[^%b%b\- \t\r\n]" % (_LETTERS, _LETTERS.lower()))


def iter_fasta(path):
    r"""Read the records of a FASTA file of nucleotides.

    A record is a line that begins with ">", its header, and lines of sequence::

        >NC_000913.3 Escherichia coli
        AGCTTTTCATTCTGACTGCA
        ACGGGCAATATGTCTCTGTG

    Parameters
    ----------
    path : str, path-like or file object
        File; or an object whose `read` gives bytes, which is read from where it stands and
        left open. Plain or compressed by gzip, which its first bytes tell.

    Yields
    ------
    header : str
        The header without its mark.

    sequence : bytes
        The sequence in upper case: letters of the IUPAC code for nucleotides, X and "-".

    Raises
    ------
    ValueError
        If the file is malformed, with its name, the number of the line, what was expected
        and what was found; when the record in question is due.

    TypeError
        If `path` is no path and gives no bytes.

    MemoryError
        If a record will not fit, with the number of bytes.

    See Also
    --------
    iter_fasta_kmers : Reads k-mers in chunks, for `partial_fit`.

    Notes
    -----
    Lines end with "\n" or "\r\n"; empty lines are skipped, blanks within a sequence are left
    out. Memory holds a record, twice while it is joined.

    References
    ----------
    A. Cornish-Bowden, "Nomenclature for incompletely specified bases in nucleic acid
    sequences: recommendations 1984", Nucleic Acids Research 13(9), 1985,
    doi:10.1093/nar/13.9.3021.

    Examples
    --------
    >>> from io import BytesIO
    >>> from sklsh.datasets import iter_fasta
    >>> list(iter_fasta(BytesIO(b">one\nACG\nTn\n>two\n")))
    [('one', b'ACGTN'), ('two', b'')]
    """
    return _records(path, file_name(path))


def iter_fasta_kmers(
    path,
    k,
    *,
    read_length=None,
    step=None,
    both_strands=True,
    output="counts",
    chunk_size=10_000,
):
    r"""Read the k-mers of a FASTA file in chunks of rows, for `partial_fit`.

    A row is a record, or a window of it. Memory holds a record and a chunk.

    Parameters
    ----------
    path
        As for :func:`iter_fasta`.

    k : int
        Bases of a k-mer, 1 to 31.

    read_length : int, default=None
        Bases of a window, `k` or more; a record's last one has what is left. By default
        rows are whole records.

    step : int, default=None
        Bases from the start of a window to that of the next. By default `read_length`:
        windows side by side.

    both_strands : bool, default=True
        Whether a k-mer and its reverse complement are one, as of :func:`kmer_counts`.

    output : {"counts", "tokens"}, default="counts"
        Whether chunks are matrices of counts or lists of tokens.

    chunk_size : int, default=10_000
        Rows of a chunk. It has fewer if it is the last one, or if the rows together would
        have more than 2**24 bases.

    Yields
    ------
    csr_array of shape (chunk_size, 4**k), or list of ndarray of dtype "S{k}"
        What :func:`kmer_counts` or :func:`kmer_tokens` make of the rows.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have; at once. Or as by
        :func:`iter_fasta`, when the rows in question are due.

    TypeError, MemoryError
        As by :func:`iter_fasta`.

    Examples
    --------
    >>> from io import BytesIO
    >>> from sklsh.datasets import decode_kmers, iter_fasta_kmers
    >>> file = BytesIO(b">one\nACGTTA\n>two\nCCC\n")
    >>> for X in iter_fasta_kmers(file, 2, read_length=4, chunk_size=2):
    ...     print(X.shape, decode_kmers(X.indices, 2), X.data)
    (2, 16) ['AC' 'CG' 'TA'] [2. 1. 1.]
    (1, 16) ['CC'] [2.]
    """
    check_count("k", k, most=MOST_K)
    check_count("chunk_size", chunk_size)
    if read_length is not None:
        check_count("read_length", read_length, low=k)
    if step is None:
        step = read_length
    elif read_length is None:
        raise ValueError(f"step must be None without read_length; got {step!r}.")
    else:
        check_count("step", step)
    if not isinstance(both_strands, (bool, np.bool_)):
        raise ValueError(f"both_strands must be True or False; got {both_strands!r}.")
    if not isinstance(output, str) or output not in ("counts", "tokens"):
        raise ValueError(f'output must be "counts" or "tokens"; got {output!r}.')
    made = kmer_counts if output == "counts" else kmer_tokens
    reads = _windows(_records(path, file_name(path)), read_length, step)
    return (made(chunk, k, both_strands=both_strands) for chunk in _chunks(reads, chunk_size))


def _chunks(reads, chunk_size):
    """Lists of reads, as many as a chunk may have."""
    chunk, n_bases = [], 0
    for read in reads:
        if len(chunk) == chunk_size or (chunk and n_bases + len(read) > MOST_BASES):
            yield chunk
            chunk, n_bases = [], 0
        chunk.append(read)
        n_bases += len(read)
    if chunk:
        yield chunk


def _windows(records, read_length, step):
    for _, sequence in records:
        if read_length is None or len(sequence) <= read_length:
            yield sequence
        else:  # until one reaches the end, or the next would begin behind it
            last = min(len(sequence), len(sequence) - read_length + step)
            for start in range(0, last, step):
                yield sequence[start : start + read_length]


def _records(path, name):
    with opened(path) as file:
        lines = LineReader(file, name)
        header, parts, checked, held = None, [], 0, 0
        while text := bytes(lines.read()):
            place = 0
            while place < len(text):
                if text.startswith(b">", place):
                    if header is not None:
                        yield header, b"".join(parts)
                    end = text.find(b"\n", place) + 1 or len(text)
                    header, parts, checked, held = _header(text[place + 1 : end], lines), [], 0, 0
                else:
                    end = text.find(b"\n>", place) + 1 or len(text)
                    parts.append(_sequence(text[place:end], lines, header))
                    held += len(parts[-1])
                    if held > checked + _lines.CHECK_EVERY:
                        require_bytes(held, f"Joining a record of {name}")
                        checked = held
                lines.line += text.count(b"\n", place, end)
                place = end
        if header is None:
            raise lines.error("expected a record, which begins with '>', found none")
        yield header, b"".join(parts)


def _header(text, lines):
    header = text.rstrip(b"\r\n")
    if b"\r" in header:
        raise lines.error(
            r"expected a header that ends with '\n' or '\r\n', found a '\r' alone", lines.line + 1
        )
    return header.decode("utf-8", "backslashreplace")


def _sequence(text, lines, header):
    """Letters of some lines; before the first header none are allowed."""
    if header is None and (found := text.lstrip(_BLANKS)):
        line = lines.line + 1 + text[: len(text) - len(found)].count(b"\n")
        first = re.match(rb"[^\r\n]{1,30}", found).group()
        hint = "; FASTQ is another format" if found.startswith(b"@") else ""
        raise lines.error(
            f"expected a line that begins with '>', found {quoted(first)}{hint}", line
        )
    if wrong := _WRONG.search(text):
        line = lines.line + 1 + text.count(b"\n", 0, wrong.start())
        hint = "; is it a protein's sequence?" if wrong.group().isalpha() else ""
        raise lines.error(f"expected nucleotides, found {quoted(wrong.group())}{hint}", line)
    return text.translate(_UPPER, _BLANKS)
