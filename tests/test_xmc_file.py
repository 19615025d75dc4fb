"""Files of extreme multi-label text: exact round trips, chunks, and errors that say where."""

import gzip
import os
import tracemalloc
from io import BytesIO

import fuzz_xmc
import numpy as np
import pytest
import scipy.sparse as sp
from fuzz_xmc import check_equal, check_valid
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklsh import SLIDEClassifier, _memory
from sklsh.datasets import _lines, iter_xmc_file, load_xmc_file, save_xmc_file

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def random_rows(n=200, n_features=50, n_classes=30, seed=0):
    rng = np.random.default_rng(seed)
    X = sp.random_array((n, n_features), density=0.1, format="csr", dtype=np.float32, rng=rng)
    Y = sp.csr_array((rng.random((n, n_classes)) < 0.05).astype(np.uint8))
    return X, Y


def saved(X, Y, **options):
    file = BytesIO()
    save_xmc_file(file, X, Y, **options)
    return file.getvalue()


def load(text, **options):
    return load_xmc_file(BytesIO(text), **options)


def in_chunks(path, **options):
    return [sp.vstack(p, format="csr") for p in zip(*iter_xmc_file(path, **options), strict=True)]


def check_same(rows, expected):
    check_valid(*rows)
    for one, other in zip(rows, expected, strict=True):
        check_equal(one, other)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    arrays(np.float32, (5, 4), elements=FLOATS), arrays(np.uint8, (5, 3), elements={"max_value": 1})
)
def test_every_float32_comes_back(values, labels):
    X, Y = sp.csr_array(values), sp.csr_array(labels)
    X.data[::3] = 0  # explicit zeros are kept
    X_back, Y_back = load(saved(X, Y))
    check_same((X_back, Y_back), (X, Y))
    assert X_back.data.tobytes() == X.data.tobytes()  # the sign of zero, too


def test_very_different_values_come_back():
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = np.concatenate([values[np.isfinite(values)], 10.0 ** np.arange(-44, 39)])
    X = sp.csr_array(values.astype(np.float32)[None])
    X_back, _ = load(saved(X, [[1]]))
    assert X_back.data.tobytes() == X.data.tobytes()


@pytest.mark.parametrize(
    "value, text",
    [(0.1, "0.1"), (1.0, "1"), (0.123456, "0.123456"), (1e-5, "1e-05"), (16777216, "16777216"),
     (1 / 3, "0.33333334"), (-2.5, "-2.5"), (0.0054321, "0.0054321"), (3e38, "3e+38")],
)  # fmt: skip
def test_few_digits_are_written(value, text):
    X = sp.csr_array(np.array([[value]], dtype=np.float32))
    assert saved(X, [[1]]) == f"1 1 1\n0 0:{text}\n".encode()


@pytest.mark.parametrize("name", ["rows.txt", "rows.txt.gz"])
def test_files_come_back(tmp_path, name):
    X, Y = random_rows()
    path = tmp_path / name
    save_xmc_file(path, X, Y)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    check_same(load_xmc_file(path), (X, Y))
    check_same(load_xmc_file(os.fsencode(path)), (X, Y))
    with open(path, "rb") as file:
        check_same(load_xmc_file(os.dup(file.fileno())), (X, Y))
    path.rename(tmp_path / "unnamed")  # what it is shows in its first bytes
    check_same(load_xmc_file(tmp_path / "unnamed"), (X, Y))


def test_rows_can_be_written_in_several_calls():
    X, Y = random_rows(100)
    file = BytesIO()
    save_xmc_file(file, X[:40], Y[:40], n_samples=100)
    for rows in (slice(40, 41), slice(41, 41), slice(41, 100)):
        save_xmc_file(file, X[rows], Y[rows], header=False)
    assert file.getvalue() == saved(X, Y)


def test_input_of_save_is_left_alone_and_of_any_kind():
    X = sp.csr_array(([1.0, 2.0, 3.0], [3, 0, 3], [0, 3]), shape=(1, 4))  # unsorted, repeated
    Y = sp.csr_array(([1, 0], [1, 0], [0, 2]), shape=(1, 2))
    text = saved(X, Y)
    assert text == b"1 4 2\n1 0:2 3:4\n"
    assert (X.indices.tolist(), Y.data.tolist()) == ([3, 0, 3], [1, 0])
    assert saved(X.toarray(), Y.toarray()) == saved(X.tocoo(), sp.csr_matrix(Y)) == text
    assert saved([[2, 0, 0, 4]], [[False, True]]) == text
    assert saved(X.toarray().astype(np.float16), Y) == text


VARIANTS = {
    "plain": b"3 3 4\n0,2 0:1 2:5e-1\n 1:2\n3 \n",
    "crlf": b"3 3 4\r\n0,2 0:1 2:5e-1\r\n 1:2\r\n3 \r\n",
    "blanks": b" 3\t3  4 \n0,2\t0:1\t 2:5e-1  \n  \t1:2\n3\n",
    "no_last_newline": b"3 3 4\n0,2 0:1 2:5e-1\n 1:2\n3",
    "empty_lines": b"3 3 4\n\n0,2 0:1 2:5e-1\n\r\n 1:2\n3 \n\n\n",
    "unsorted": b"3 3 4\n2,0 2:5e-1 0:1\n 1:2\n3 \n",
    "repeated": b"3 3 4\n2,0,2,2 0:.25 2:5e-1 0:0.75\n 1:-1 1:3\n3,3 \n",
    "digits": b"003 3 4\n00,02 00:+1.000 2:.5\n 1:2E0\n3 \n",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_forms_of_the_same_rows(name):
    X, Y = load(VARIANTS[name])
    check_valid(X, Y)
    assert X.toarray().tolist() == [[1, 0, 0.5], [0, 2, 0], [0, 0, 0]]
    assert Y.toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_rows_without_anything_are_kept():
    X, Y = sp.csr_array((3, 2), dtype=np.float32), sp.csr_array((3, 2), dtype=np.uint8)
    check_same(load(saved(X, Y)), (X, Y))
    check_same(load(b"0 2 2\n"), (X[:0], Y[:0]))
    assert list(iter_xmc_file(BytesIO(b"0 2 2\n"))) == []


def test_repeated_features_are_added_as_they_come():
    # In another order float32 gives another sum, as it would if this row were sorted alone.
    row = b"0 " + b" ".join(b"5:%d" % value for value in [2**24, 1, 1, 1, 1, 7, 2**24, 1] * 5)
    X, _ = load(row + b"\n0 2:1 1:1\n")
    X_alone, _ = load(row, n_features=6)
    assert X[0].data.tolist() == X_alone.data.tolist()


def test_256_times_the_same_label_is_one_label():
    _, Y = load(b",".join([b"1"] * 256) + b" 0:1")
    assert Y.toarray().tolist() == [[0, 1]]


def test_columns_without_header_and_against_it():
    rows = b"0,2 0:1 4:1\n"
    X, Y = load(rows)
    assert (X.shape, Y.shape) == ((1, 5), (1, 3))
    X, Y = load(rows, n_features=9, n_classes=7, header=False)
    assert (X.shape, Y.shape) == ((1, 9), (1, 7))
    X, Y = load(b"1 5 3\n" + rows, n_features=9)
    assert (X.shape, Y.shape) == ((1, 9), (1, 3))
    with pytest.raises(ValueError, match="line 2: .* from 0 to below 4, found '4:1'"):
        load(b"1 5 3\n" + rows, n_features=4)
    with pytest.raises(ValueError, match="line 1: expected a label .* found '1'"):
        load(b"1 5 3\n" + rows, header=False, n_classes=1)


@pytest.mark.parametrize("chunk_size", [1, 7, 199, 200, 201, 10_000])
@pytest.mark.parametrize("block", [1, 50, 1000, 1 << 20])
def test_chunks_are_the_rows_in_turn(monkeypatch, chunk_size, block):
    monkeypatch.setattr(_lines, "BLOCK", block)
    X, Y = random_rows()
    chunks = list(iter_xmc_file(BytesIO(saved(X, Y)), chunk_size=chunk_size))
    starts = range(0, 200, chunk_size)
    for start, chunk in zip(starts, chunks, strict=True):
        rows = slice(start, start + chunk_size)
        check_same(chunk, (X[rows], Y[rows]))


def test_chunks_before_an_error_are_given_out():
    chunks = iter_xmc_file(BytesIO(b"4 3 4\n0 0:1\n1 1:1\n2 1:1\nx\n"), chunk_size=2)
    assert next(chunks)[0].shape == (2, 3)
    with pytest.raises(ValueError, match="line 5"):
        next(chunks)


def test_chunks_train_as_slices_do():
    X, Y = random_rows()
    streamed, sliced = (SLIDEClassifier(8, random_state=0) for _ in range(2))
    for part in iter_xmc_file(BytesIO(saved(X, Y)), chunk_size=80):
        streamed.partial_fit(*part)
    for start in range(0, 200, 80):
        sliced.partial_fit(X[start : start + 80], Y[start : start + 80])
    np.testing.assert_array_equal(streamed.decision_function(X), sliced.decision_function(X))


def test_chunks_hold_no_more_memory_for_a_longer_file(monkeypatch):
    monkeypatch.setattr(_lines, "BLOCK", 1 << 14)
    X, Y = random_rows(500)
    rows = saved(X, Y, header=False)

    def peak(text):
        file = BytesIO(text)
        tracemalloc.start()
        try:
            for part in iter_xmc_file(file, chunk_size=100, n_features=50, n_classes=30):
                del part
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(4 * rows), peak(40 * rows)
    assert long < 1.2 * short < len(40 * rows) / 4


@pytest.mark.parametrize("what", ["Joining", "A line"])
def test_memory_is_refused_before_it_is_gone(monkeypatch, what):
    monkeypatch.setattr(_lines, "CHECK_EVERY", 1000)
    monkeypatch.setattr(_lines, "BLOCK", 100)
    text = saved(*random_rows())
    if what == "A line":
        text = b"1 3 4\n0 0:" + b"0" * 10_000
    load(text)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 3000)
    with pytest.raises(MemoryError, match=f"^{what}.* of BytesIO would take .* bytes, but 3,000"):
        load(text)


def test_gzip_in_several_members(tmp_path):
    X, Y = random_rows()
    text = saved(X, Y)
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(text[:999]) + gzip.compress(text[999:]))
    check_same(load_xmc_file(path), (X, Y))


def test_file_objects_are_read_from_where_they_stand_and_left_open(tmp_path):
    X, Y = random_rows()
    file = BytesIO(b"a line before\n" + saved(X, Y))
    file.readline()
    check_same(load_xmc_file(file), (X, Y))
    assert not file.closed
    path = tmp_path / "rows.gz"
    save_xmc_file(path, X, Y)
    with gzip.open(path) as file:
        check_same(in_chunks(file), (X, Y))
    with open(path, "rb") as file:
        check_same(in_chunks(file), (X, Y))
        assert not file.closed


@pytest.mark.parametrize("block", [1, 2, 1 << 20])
def test_gzip_in_file_objects_that_give_little_at_a_time(monkeypatch, block):
    class Trickle:
        def __init__(self, content):
            self.file = BytesIO(content)

        def read(self, n):
            return self.file.read(min(n, 1))

    monkeypatch.setattr(_lines, "BLOCK", block)
    X, Y = random_rows(20)
    for content in (saved(X, Y), gzip.compress(saved(X, Y))):
        check_same(load_xmc_file(Trickle(content)), (X, Y))
    assert load(b"")[0].shape == (0, 0)
    assert load(b"0")[1].shape == (1, 1)


def test_some_hundred_damaged_files(tmp_path):
    outcomes = fuzz_xmc.fuzz(tmp_path / "input", seed=1, n_cases=300)
    assert outcomes.keys() == {"ValueError", "loaded"}
    assert min(outcomes.values()) > 60
