"""Tests of the ways of targets into the network and back."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sklsh._targets import TargetFormat

DTYPES = [
    bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64,
    np.float32, np.float64,
]  # fmt: skip
N_COLUMNS = 200  # more than an int8 can number
INDICATOR = np.random.RandomState(0).rand(30, N_COLUMNS) < 0.05
INDICATOR[4] = False
FORMS = [np.asarray, sp.csr_matrix, sp.csr_array]


def dense(y):
    return y.toarray() if sp.issparse(y) else y


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_indicator_comes_back_in_form_and_dtype(dtype, form):
    y = form(INDICATOR.astype(dtype))
    target_format = TargetFormat.of(y)
    rows = target_format.encode(y)
    assert rows.dtype == np.uint8
    assert_array_equal(rows.toarray(), INDICATOR)
    back = target_format.decode_indicator(rows.astype(bool))
    assert (back.dtype, type(back)) == (dtype, type(y))
    assert_array_equal(dense(back), INDICATOR)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_labels_become_their_place_among_the_classes(dtype):
    y = np.array([100, 3, 7, 100, 0], dtype=dtype)
    target_format = TargetFormat.of(y)
    assert_array_equal(target_format.classes, [0, 3, 7, 100])
    assert target_format.classes.dtype == dtype
    rows = target_format.encode(y)
    assert_array_equal(rows.indices, [3, 1, 2, 3, 0])
    assert_array_equal(rows.indptr, np.arange(6))
    assert_array_equal(target_format.classes[rows.indices], y)


@pytest.mark.parametrize(
    "y", [["b", "a", "ccc"], [True, False, True], np.array(["b", "a", "b"], object)], ids=str
)
def test_labels_that_are_no_numbers_come_back(y):
    y = np.asarray(y)
    target_format = TargetFormat.of(y)
    assert_array_equal(target_format.classes[target_format.encode(y).indices], y)
    assert target_format.classes.dtype == y.dtype


def test_classes_are_sorted_and_may_exceed_the_labels():
    y = np.array([5, 1])
    target_format = TargetFormat.of(y, classes=[9, 1, 5, 1])
    assert_array_equal(target_format.classes, [1, 5, 9])
    assert_array_equal(target_format.encode(y).indices, [1, 0])


def unordered(form):
    """Columns 3, 1 (a stored zero), and 2 in one row; none in the other."""
    parts = np.array([1, 0, 1]), np.array([3, 1, 2]), np.array([0, 3, 3])
    return form(parts, shape=(2, 5))


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array])
def test_stored_zeros_and_unordered_columns_are_put_right(form):
    y = unordered(form)
    rows = TargetFormat.of(y).encode(y)
    assert_array_equal(rows.indices, [2, 3])
    assert_array_equal(rows.indptr, [0, 2, 2])
    assert_array_equal(rows.data, 1)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array])
def test_encoding_reads_and_does_not_write(form):
    y = unordered(form)
    for array in (y.data, y.indices, y.indptr):
        array.flags.writeable = False
    assert TargetFormat.of(y).encode(y).nnz == 2
    assert_array_equal(y.indices, [3, 1, 2])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_index_dtype_of_targets_does_not_matter(dtype):
    y = sp.csr_array(INDICATOR.astype(int))
    y = sp.csr_array((y.data, y.indices.astype(dtype), y.indptr.astype(dtype)), shape=y.shape)
    assert_array_equal(TargetFormat.of(y).encode(y).toarray(), INDICATOR)


@pytest.mark.parametrize(
    ["y", "classes", "message"],
    [
        pytest.param(INDICATOR * 2, None, "indicator matrix of 0 and 1", id="twos"),
        pytest.param(INDICATOR * -1.0, None, "indicator matrix of 0 and 1", id="-1"),
        pytest.param(sp.csr_array(INDICATOR * 2), None, "other values", id="sparse twos"),
        pytest.param(INDICATOR[:, :2].astype(str), None, "indicator", id="strings"),
        pytest.param(INDICATOR, [0, 1], "classes must be None or arange", id="classes"),
        pytest.param(np.array([0.5, 1.5]), None, "continuous", id="continuous"),
        pytest.param(np.array([1, 2]), [1, 3], r"not in classes: array\(\[2\]\)", id="unseen"),
        pytest.param(np.array(["a", "b"]), [1, 2], "not in classes", id="strings for ints"),
        pytest.param(np.array([1, 2]), ["a", "b"], "not in classes", id="ints for strings"),
        pytest.param(np.array([1, 2]), [], "classes", id="no classes"),
        pytest.param(np.array([1, 2]), [[1, 2], [3, 4]], "classes", id="2-D classes"),
    ],
)
def test_targets_that_fit_no_format_are_refused(y, classes, message):
    with pytest.raises(ValueError, match=message):
        TargetFormat.of(y, classes).encode(y)


@pytest.mark.parametrize(
    ["first", "later", "message"],
    [
        (INDICATOR, np.arange(3), "y must be an indicator matrix, as in"),
        (INDICATOR, INDICATOR[:, :20], f"y must have {N_COLUMNS} columns; got 20"),
        (np.arange(3), INDICATOR, "y must be one label a row, as in"),
    ],
    ids=["labels", "narrow", "indicator"],
)
def test_later_targets_must_look_like_the_first(first, later, message):
    with pytest.raises(ValueError, match=message):
        TargetFormat.of(first).encode(later)


def test_numbers_are_unknown_among_strings():
    target_format = TargetFormat.of(np.array(["a", "b"], dtype=object))
    with pytest.raises(ValueError, match="not in classes"):
        target_format.encode(np.array([1, 2]))
