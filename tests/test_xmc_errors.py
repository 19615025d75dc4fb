"""Files of extreme multi-label text: errors that say which file or parameter, where and what."""

import bz2
import gzip
import lzma
import re
from io import BytesIO, StringIO

import numpy as np
import pytest
import scipy.sparse as sp
from test_xmc_file import in_chunks, load, random_rows, saved

from sklsh.datasets import _lines, iter_xmc_file, load_xmc_file, save_xmc_file

COLUMNS = {"n_features": 9, "n_classes": 9}  # which chunks need, where there is no header
ERRORS = [
    (b"x 3 4\n0 0:1\n", {"header": True}, 1, "a header, .* such as '1000 500 300', found 'x 3 4'"),
    (b"2 3\n0 0:1\n", COLUMNS, 1, "feature:value .* found '3'"),
    (b"", {"header": True}, 1, "found an empty file"),
    (b"\n0 0:1\n", {"header": True}, 1, "found ''"),
    (b"1 3 4 5\n0 0:1\n", {"header": True}, 1, "found '1 3 4 5'"),
    (b"-1 3 4\n", {"header": True}, 1, "found '-1 3 4"),
    (b"1 3 9999999999\n0 0:1\n", {}, 1, "columns of at most 2,147,483,647"),
    (b"99999999999999999999 3 4\n0 0:1\n", {}, 1, "rows of int64"),
    (b"3 3 4\n0 0:1\n1 1:1\n", {}, None, "ends after 2 rows, .* says 3; it may be cut short"),
    (b"999999999999 3 4\n0 0:1\n", {}, None, "ends after 1 rows"),
    (b"1 3 4\n0 0:1\n\n1 1:1\n2 2:2\n", {}, 4, "the header says 1 rows, this is another"),
    (b"0 3 4\n \n", {}, 2, "says 0 rows"),
    (b"2 3 4\n0 0:1\n4 1:1\n", {}, 3, "a label from 0 to below 4, found '4'"),
    (b"2 3 4\r\n0 0:1\r\n1 3:1\r\n", {}, 3, "a feature from 0 to below 3, found '3:1'"),
    (b"2 3 4\n\n\n0 0:1\n1 -1:1\n", {}, 5, "found '-1:1'"),
    (b"1 3 4\n-1 0:1\n", {}, 2, "found '-1'"),
    (b"1 3 4\n0,,1 0:1\n", {}, 2, "found ',1'; labels are parted by commas alone"),
    (b"1 3 4\n0, 1 0:1\n", {}, 2, "found ''"),
    (b"1 3 4\n0:1 1:1\n", {}, 2, "found '0:1'; .* a row without labels begins with a blank"),
    (b"1 3 4\n0 0:1 1\n", {}, 2, "found '1'"),
    (b"1 3 4\n0 0:1 1:\n", {}, 2, "a finite float32 behind the colon, found '1:'"),
    (b"1 3 4\n0 0:1 1:x\n", {}, 2, "found '1:x'"),
    (b"1 3 4\n0 0:nan\n", {}, 2, "found '0:nan'"),
    (b"1 3 4\n0 0:-inf\n", {}, 2, "found '0:-inf'"),
    (b"1 3 4\n0 0:1e39\n", {}, 2, "found '0:1e39'"),
    (b"1 3 4\n0 0:3e38 0:3e38\n", {}, None, "repeated feature 0 of row 0 .* add up to more"),
    (b"1 3 4\n0 18446744073709551616:1\n", {}, 2, "found '18446744073709551616:1'"),
    (b"1 3 4\n0 0:1 # comment\n", {}, 2, "found '#'"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", COLUMNS, 1, r"found '\\x89PNG'"),
    ("1 3 4\n0 0:1\n".encode("utf-16"), COLUMNS, 1, r"found '\\xff\\xfe1\\x00'"),
    (b"1 3 4" + b" " * 100 + b"\n0 0:1\n", COLUMNS, 1, "feature:value .* found '3'"),
    (b"1 3 " + b"4" * 100 + b"\n0 0:1\n", COLUMNS, 1, "feature:value .* found '3'"),
    (b"1 0 4\n0 0:1\n", {}, 2, "a feature from 0 to below 0"),
]  # fmt: skip


@pytest.mark.parametrize("text, options, line, message", ERRORS)
@pytest.mark.parametrize("block", [5, 1 << 20])
def test_errors_say_where_and_what(tmp_path, monkeypatch, text, options, line, message, block):
    monkeypatch.setattr(_lines, "BLOCK", block)
    path = tmp_path / "rows.txt"
    path.write_bytes(text)
    place = re.escape(str(path)) + ("" if line is None else f", line {line}")
    for read in (load_xmc_file, in_chunks):
        with pytest.raises(ValueError, match=f"^{place}: .*{message}.*\\.$"):
            read(path, **options)


def test_a_long_word_is_not_told_in_full():
    with pytest.raises(ValueError) as caught:
        load(b"1 3 4\n0 0:" + b"9" * 10_000)
    assert len(str(caught.value)) < 200


def test_damaged_gzip_is_told_with_the_line_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(_lines, "BLOCK", 100)
    text = saved(*random_rows())
    packed = gzip.compress(text, mtime=0)
    path = tmp_path / "rows.gz"
    for damaged in (
        [packed[:size] for size in range(2, len(packed), 97)]
        + [
            packed[:-8] + bytes(4) + packed[-4:],  # checksum
            packed[:-4] + bytes(4),  # length
            packed[:300] + bytes(50) + packed[350:],
            packed + b"garbage",
        ]
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"rows\.gz(, line [1-9]\d*)?: ") as caught:
            load_xmc_file(path)
        if len(damaged) < len(packed):
            place = " behind this line" if ", line " in str(caught.value) else ", before any line"
            assert f"damaged gzip data{place}" in str(caught.value)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError) as caught:
        load_xmc_file(path)
    assert 20 < int(re.search(r"line (\d+)", str(caught.value))[1]) < 180


def test_damage_of_gzip_in_file_objects_is_told():
    packed = gzip.compress(b"1 3 4\n0 0:1\n", mtime=0)
    for file in (BytesIO(packed[:-9]), gzip.GzipFile(fileobj=BytesIO(packed[:-9]))):
        with pytest.raises(ValueError, match="^(Bytes|Gzip).*: damaged gzip data, before any line"):
            load_xmc_file(file)


def test_what_is_no_binary_file(tmp_path):
    for read in (load_xmc_file, in_chunks):
        with pytest.raises(TypeError, match="^path .* binary mode; StringIO gives str"):
            read(StringIO("1 1 1\n0 0:1\n"))
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    for path in (None, 3.5, ["rows"]):
        message = f"^path must be a path or a file .*; got {re.escape(repr(path))}"
        for use in (load_xmc_file, iter_xmc_file, lambda path: save_xmc_file(path, [[1]], [[1]])):
            with pytest.raises(TypeError, match=message):
                use(path)
    with pytest.raises(TypeError, match="^path .* binary mode; StringIO takes no bytes"):
        save_xmc_file(StringIO(), [[1]], [[1]])
    with pytest.raises(TypeError, match="^path .*; got 3"):
        save_xmc_file(3, [[1]], [[1]])


TEXT = b"1 5 4\n0 0:1\n"
NO_HEADERS = {
    "commas": (b"3, 5, 4\n0 0:1\n", "'3, 5, 4'"),
    "negative": (b"-1 5 4\n0 0:1\n", "'-1 5 4'"),
    "four numbers": (b"1 5 4 2\r\n0 0:1\n", "'1 5 4 2'"),
    "none": (b"0 0:1\n1 1:1\n", "'0 0:1'"),
    "empty line": (b"\n" + TEXT, "''"),
    "empty": (b"", "an empty file"),
    "byte order mark": (b"\xef\xbb\xbf" + TEXT, r"'\xef\xbb\xbf1 5 4'"),
    "utf-16": (TEXT.decode().encode("utf-16"), r"'\xff\xfe1\x00 \x005\x00 \x004\x00'"),
    "bz2": (bz2.compress(TEXT), "'BZh9"),
    "xz": (lzma.compress(TEXT), r"'\xfd7zXZ"),
    "zip": (b"PK\x03\x04" + TEXT, r"'PK\x03\x041 5 4'"),
}


@pytest.mark.parametrize("name", NO_HEADERS)
@pytest.mark.parametrize("columns", [{}, {"n_features": 5}, {"n_classes": 4}])
def test_chunks_need_a_header_or_their_columns(tmp_path, name, columns):
    path = tmp_path / "rows"
    text, found = NO_HEADERS[name]
    path.write_bytes(text)
    with pytest.raises(ValueError) as caught:
        next(iter_xmc_file(path, **columns))
    start = f"{path}, line 1: expected a header, the numbers of rows, features and labels, such as "
    assert str(caught.value).startswith(f"{start}'1000 500 300', found {found}")
    assert str(caught.value).endswith("; without one, give n_features and n_classes.")


def test_chunks_without_header_need_their_columns_at_once():
    with pytest.raises(
        ValueError, match="^n_features and n_classes must .*; got n_features=3, n_c"
    ):
        iter_xmc_file(BytesIO(b"0 0:1\n"), n_features=3, header=False)


@pytest.mark.parametrize(
    "options",
    [{"n_features": 0}, {"n_features": 2.0}, {"n_classes": 2**31}, {"n_classes": True},
     {"header": "yes"}, {"header": None}, {"header": 1}, {"chunk_size": 0}, {"chunk_size": 1.5},
     {"chunk_size": None}],
)  # fmt: skip
def test_bad_parameters_are_named(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} must be .*; got {re.escape(repr(value))}"):
        iter_xmc_file(BytesIO(b""), **options)  # at once, not when the first chunk is due


def damaged(parts):
    matrix = sp.csr_array(np.eye(3, dtype=np.float32))
    for name, part in parts.items():
        setattr(matrix, name, np.array(part))
    return matrix


@pytest.mark.parametrize(
    "wrong, message",
    [
        (damaged({"indptr": [0, 3, 2, 3]}), "is no valid CSR matrix"),
        (damaged({"indices": [0, 1, 7]}), "is no valid CSR matrix"),
        (np.array([["1"], ["0"], ["1"]]), r"must be a matrix of real .* dtype <U1"),
        (np.eye(3) * 1j, "must be a matrix of real .* dtype complex128"),
        (sp.csr_array(np.eye(3) * 1j), "must be a matrix of real .* dtype complex128"),
        (np.array([[None], [1], [1]]), "must be a matrix of real .* dtype object"),
        ([1, 0, 1], r"must be a matrix .* of two dimensions; got shape \(3,\)"),
        (np.ones((3, 1, 1)), r"must be a matrix .* of two dimensions; got shape \(3, 1, 1\)"),
        (None, r"must be a matrix .* got shape \(\)"),
        ([[1], [1, 0], [1]], "must be a matrix: .*inhomogeneous"),
    ],
)
def test_save_says_which_matrix_is_wrong(tmp_path, wrong, message):
    path = tmp_path / "rows"
    with pytest.raises(ValueError, match=f"^X {message}"):
        save_xmc_file(path, wrong, np.eye(3))
    with pytest.raises(ValueError, match=f"^Y {message}"):
        save_xmc_file(path, np.eye(3), wrong)
    assert not path.exists()


def test_what_save_refuses():
    for X, Y, message in [
        ([[1.0]], [[1], [0]], "equally many rows; got 1 and 2"),
        ([[np.nan]], [[1]], "X must be finite"),
        ([[1e39]], [[1]], "X must be finite"),
        ([[1.0]], [[2]], "Y must be an indicator"),
    ]:
        with pytest.raises(ValueError, match=message):
            saved(X, Y)
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 2; got 1"):
        saved([[1], [1]], [[1], [1]], n_samples=1)
    with pytest.raises(ValueError, match="n_samples must be None"):
        saved([[1]], [[1]], header=False, n_samples=1)
    with pytest.raises(ValueError, match="header must be True or False"):
        saved([[1]], [[1]], header="auto")
