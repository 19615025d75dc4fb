"""FASTA files: against naive readers, in chunks, and errors that say where."""

import gzip
import re
from io import BytesIO
from itertools import chain

import fuzz_fasta
import numpy as np
import pytest
import scipy.sparse as sp
from fuzz_fasta import naive_records, naive_windows
from hypothesis import given, settings
from hypothesis import strategies as st

from sklsh import _memory
from sklsh._tokens import hash_rows
from sklsh.datasets import (
    _fasta,
    _lines,
    decode_kmers,
    iter_fasta,
    iter_fasta_kmers,
    kmer_counts,
    kmer_tokens,
)

SEQUENCES = st.lists(st.text("ACGTacgtNnRYu-", max_size=30), min_size=1, max_size=4)


def fasta(sequences, width=7, newline="\n"):
    lines = []
    for i, sequence in enumerate(sequences):
        lines.append(f">record {i}")
        lines += [sequence[j : j + width] for j in range(0, len(sequence), width)]
    return newline.join([*lines, ""]).encode()


def random_sequence(n, seed=0, letters="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(letters), n))


def check_same(one, other):
    assert one.shape == other.shape
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SEQUENCES, st.integers(1, 9), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_records(sequences, width, newline, is_packed):
    text = fasta(sequences, width, newline)
    expected = [(f"record {i}", s.upper().encode()) for i, s in enumerate(sequences)]
    assert naive_records(text) == expected
    assert list(iter_fasta(BytesIO(gzip.compress(text) if is_packed else text))) == expected


def test_what_a_file_may_look_like(tmp_path):
    text = b"\n \r\n>a \xc3\xa9\xff|b\r\nAC GT\t\n\n  acgtu\r\n>\n>no newline\nNN--\nx"
    expected = [("a \xe9\\xff|b", b"ACGTACGTU"), ("", b""), ("no newline", b"NN--X")]
    path = tmp_path / "file.fa"
    path.write_bytes(text)
    for file in (path, str(path), bytes(path), BytesIO(text)):
        assert list(iter_fasta(file)) == expected
    members = gzip.compress(text[:20]) + gzip.compress(text[20:])
    assert list(iter_fasta(BytesIO(members))) == expected
    with open(path, "rb") as file:
        list(iter_fasta(file))
        assert not file.closed


@pytest.mark.parametrize("block", [1, 2, 7, 1 << 20])
def test_blocks_change_nothing(monkeypatch, block):
    text = fasta([random_sequence(50), "", random_sequence(20, 1)], newline="\r\n")
    expected = list(iter_fasta(BytesIO(text)))
    monkeypatch.setattr(_lines, "BLOCK", block)
    assert list(iter_fasta(BytesIO(text))) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    SEQUENCES, st.integers(1, 6), st.none() | st.integers(0, 9), st.none() | st.integers(1, 20),
    st.integers(1, 5),
)  # fmt: skip
def test_rows_are_windows(sequences, k, more, step, chunk_size):
    options = {} if more is None else {"read_length": k + more, "step": step}
    reads = [w for sequence in sequences for w in naive_windows(sequence, k, **options)]
    file = fasta(sequences)
    chunks = list(iter_fasta_kmers(BytesIO(file), k, chunk_size=chunk_size, **options))
    assert [X.shape[0] for X in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    check_same(sp.vstack(chunks, format="csr"), kmer_counts(reads, k))
    tokens = chain(*iter_fasta_kmers(BytesIO(file), k, output="tokens", **options))
    assert [row.tolist() for row in tokens] == [row.tolist() for row in kmer_tokens(reads, k)]


def test_chunks_end_early_where_rows_are_long(monkeypatch):
    monkeypatch.setattr(_fasta, "MOST_BASES", 100)
    file = BytesIO(fasta(["A" * n for n in (60, 40, 1, 300, 99, 1)]))
    assert [X.shape[0] for X in iter_fasta_kmers(file, 3)] == [2, 1, 1, 2]


@pytest.mark.parametrize("k", [1, 5, 16, 31])
@pytest.mark.parametrize("form", [str, str.encode, str.lower, "array", "S", "generator"])
def test_counts_of_reads_in_any_form(k, form):
    reads = [random_sequence(60, seed, "ACGTN" if seed else "ACGT") for seed in range(5)]
    expected = kmer_counts(reads, k)
    assert (expected.dtype, expected.indices.dtype, expected.shape) == (
        np.float32, np.int64, (5, 4**k),
    )  # fmt: skip
    expected.check_format(full_check=True)
    for i, read in enumerate(reads):
        found = decode_kmers(expected[[i]].indices, k)
        assert found.tolist() == sorted(found)
        assert expected[[i]].data.sum() == sum(
            set(read[j : j + k]) <= set("ACGT") for j in range(61 - k)
        )
    given_as = {
        "array": np.array([list(read.encode()) for read in reads], dtype=np.uint8),
        "S": np.array(reads, dtype="S60"),
        "generator": (read for read in reads),
    }
    check_same(
        kmer_counts(given_as.get(form) if form in given_as else map(form, reads), k), expected
    )


@pytest.mark.parametrize("k", [1, 4, 13, 31])
def test_both_strands_are_one(k):
    read = random_sequence(200)
    turned = read[::-1].translate(str.maketrans("ACGT", "TGCA"))
    X = kmer_counts([read, turned], k)
    check_same(X[[0]], X[[1]])
    one_strand = kmer_counts([read, turned], k, both_strands=False)
    assert (one_strand[[0]] != one_strand[[1]]).nnz
    assert one_strand.sum() == X.sum() == 2 * (201 - k)


def test_tokens_and_codes_name_the_same_kmers():
    reads = [random_sequence(50, seed, "ACGTN") for seed in range(4)]
    X = kmer_counts(reads, 12)
    rows = hash_rows(kmer_tokens(reads, 12))
    assert rows.X.sum() == X.sum()
    for i in range(4):
        texts = rows.text(range(rows.X.indptr[i], rows.X.indptr[i + 1]))
        assert set(texts) == set(decode_kmers(X[[i]].indices, 12).tolist())


def test_no_reads_and_short_reads():
    assert kmer_counts([], 3).shape == (0, 64)
    assert kmer_tokens([], 3) == []
    X = kmer_counts(["", "AC", "NNNN"], 3)
    assert (X.shape, X.nnz) == ((3, 64), 0)
    assert [row.dtype.str + str(len(row)) for row in kmer_tokens(["AC", "ACG"], 3)] == [
        "|S30", "|S31",
    ]  # fmt: skip
    assert decode_kmers([], 3).tolist() == []


ERRORS = [
    (b"", None, "expected a record.*found none"),
    (b"\n \n", None, "expected a record.*found none"),
    (b"ACGT\n", 1, "expected a line that begins with '>', found 'ACGT'"),
    (b"\n\r\n  ACGT\n>x\n", 3, "expected a line that begins with '>', found 'ACGT'"),
    (b"@read\nACGT\n+\nIIII\n", 1, "found '@read'; FASTQ is another format"),
    (b"\x00\x01\x02\x03" * 99, 1, r"begins with '>', found '\\x00"),
    (b"\xef\xbb\xbf>x\nACGT\n", 1, r"begins with '>', found '\\xef"),
    (b">x\nACGT\n>y\nAC\nMKELV\nAC\n", 5, "expected nucleotides, found 'E'; is it a protein"),
    (b">x\nACGT\nAC1GT", 3, "expected nucleotides, found '1'\\."),
    (b">x\nAC\x00\n", 2, r"found '\\x00'"),
    (b">x\nAC\n;comment\n", 3, "found ';'"),
    (b">x\nAC\n >y\n", 3, "found '>'"),
    (b">x\rACGT\r>y\rACGT\r", 1, "found a '.r' alone"),
    (b">x\nA\n>y\rACGT\n", 3, "found a '.r' alone"),
    ("\ufeff>x\nACGT\n".encode("utf-16"), 1, "begins with '>'"),
]


@pytest.mark.parametrize("text, line, message", ERRORS)
@pytest.mark.parametrize("block", [3, 1 << 20])
def test_errors_say_where_and_what(tmp_path, monkeypatch, text, line, message, block):
    monkeypatch.setattr(_lines, "BLOCK", block)
    path = tmp_path / "file.fa"
    path.write_bytes(text)
    place = re.escape(str(path)) + ("" if line is None else f", line {line}")
    for read in (iter_fasta, lambda path: iter_fasta_kmers(path, 3)):
        with pytest.raises(ValueError, match=f"^{place}: .*{message}"):
            list(read(path))


def test_damaged_gzip_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_lines, "BLOCK", 100)
    packed = gzip.compress(fasta([random_sequence(500)]), mtime=0)
    path = tmp_path / "file.fa.gz"
    for size in range(2, len(packed), 7):
        path.write_bytes(packed[:size])
        with pytest.raises(ValueError, match=r"file\.fa\.gz.*: damaged gzip data"):
            list(iter_fasta(path))


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.fa"):
        next(iter_fasta(tmp_path / "nothing.fa"))
    with pytest.raises(IsADirectoryError):
        next(iter_fasta(tmp_path))
    with pytest.raises(TypeError, match="must be a path"):
        iter_fasta(3.5)
    with pytest.raises(TypeError, match="must be a path"):
        iter_fasta_kmers(None, 3)
    path = tmp_path / "file.fa"
    path.write_bytes(fasta(["ACGT"]))
    with open(path) as file, pytest.raises(TypeError, match="binary mode"):
        next(iter_fasta(file))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"k": 0}, "k must be an integer from 1 to 31; got 0"),
        ({"k": 32}, "k must be"),
        ({"k": 3.0}, "k must be"),
        ({"k": True}, "k must be"),
        ({"read_length": 4}, "read_length must be an integer of at least 5; got 4"),
        ({"read_length": 9.5}, "read_length must be"),
        ({"step": 3}, "step must be None without read_length; got 3"),
        ({"read_length": 9, "step": 0}, "step must be an integer of at least 1; got 0"),
        ({"both_strands": "yes"}, "both_strands must be True or False; got 'yes'"),
        ({"output": "codes"}, 'output must be "counts" or "tokens"; got \'codes\''),
        ({"output": None}, "output must be"),
        ({"chunk_size": 0}, "chunk_size must be an integer of at least 1; got 0"),
    ],
)
def test_wrong_parameters_are_told_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        iter_fasta_kmers(BytesIO(), **({"k": 5} | options))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: kmer_counts("ACGT", 2), ValueError, "reads must be an iterable.*single str"),
        (lambda: kmer_counts(b"ACGT", 2), ValueError, "single bytes"),
        (lambda: kmer_counts(["ACGT", 3], 2), TypeError, "Read 1 must be str or bytes; got 3"),
        (lambda: kmer_counts(["ACGT"], 0), ValueError, "k must be"),
        (lambda: kmer_tokens(["ACGT"], 32), ValueError, "k must be"),
        (lambda: kmer_counts(["ACGT"], 2, both_strands=1), ValueError, "both_strands must be"),
        (lambda: kmer_counts(["", "A", "ACEG"], 2), ValueError, "Read 2 holds 'E' at place 2"),
        (lambda: kmer_counts(["A\xe9"], 2), ValueError, r"Read 0 holds '\?' at place 1"),
        (lambda: kmer_counts(["A C"], 2), ValueError, "Read 0 holds ' ' at place 1"),
        (lambda: decode_kmers([64], 3), ValueError, r"from 0 to below 4\*\*3; got 64"),
        (lambda: decode_kmers([0, -1], 3), ValueError, "got -1"),
        (lambda: decode_kmers([0.5], 3), ValueError, "codes must be integers"),
        (lambda: decode_kmers([[1]], 3), ValueError, r"one dimension; got shape \(1, 1\)"),
        (lambda: decode_kmers([2**63], 31), ValueError, "below"),
        (lambda: decode_kmers([1], 40), ValueError, "k must be"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_memory_is_refused_before_it_is_gone(monkeypatch):
    monkeypatch.setattr(_lines, "CHECK_EVERY", 1000)
    monkeypatch.setattr(_lines, "BLOCK", 100)
    text = fasta([random_sequence(9000)])
    list(iter_fasta(BytesIO(text)))
    monkeypatch.setattr(_memory, "available_bytes", lambda: 3000)
    with pytest.raises(MemoryError, match="^Joining a record of BytesIO would take .* but 3,000"):
        list(iter_fasta(BytesIO(text)))
    with pytest.raises(MemoryError, match="^8,998 k-mers would take 71,984 bytes"):
        kmer_counts(["A" * 9000], 3)


def test_fuzzed_files(tmp_path):
    outcomes = fuzz_fasta.fuzz(tmp_path / "input", seed=1, n_cases=300)
    assert outcomes["loaded"] > 100
    assert outcomes["ValueError"] > 50
