"""Sketches refuse bad input by name, and stay as they were."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklsh import _memory
from sklsh.sketch import CountSketch, TopK

BAD_PARAMETERS = {
    "width": [0, -4, 2.0, "64", None],
    "depth": [0, 17, 1.5, None],
    "n_columns": [0, -1, 2.5],
    "estimate": ["mean", None],
    "top_k": [-1, 1.5, None],
    "random_state": ["x", -1, 0.5],
    "n_jobs": [1.5, "all"],
}
BAD_KEYS = [
    ([-1], r"keys must be integers in \[0, 2\*\*63\); got -1 to -1"),
    ([5, -(2**63)], "keys must be integers .* got -9223372036854775808 to 5"),
    (np.array([2**63], np.uint64), "keys must be integers .* got 9223372036854775808"),
    ([1.0], "keys must be integers .* got dtype float64"),
    (["a"], "keys must be integers .* got dtype <U1"),
    ([True], "keys must be integers .* got dtype bool"),
    ([2**70], "keys must be integers .* got dtype object"),
    ([None], "keys must be integers .* got dtype object"),
    (5, r"keys must be one-dimensional; got shape \(\)"),
    ([[1, 2]], r"keys must be one-dimensional; got shape \(1, 2\)"),
]
BAD_VALUES = [
    ([1.0], r"values must have shape \(2,\) or \(2, 1\), .* 2 keys .*; got \(1,\)"),
    (1.0, r"values must have shape .*; got \(\)"),
    ([[1, 2], [3, 4]], r"values must have shape .* n_columns is 1; got \(2, 2\)"),
    ([1, np.nan], "values must be finite"),
    ([1, np.inf], "values must be finite"),
    ([1, 1e39], "values must be finite, and within the range of float32"),
    ([1, 1j], "values must be real numbers; got dtype complex128"),
    (["1", "2"], "values must be real numbers; got dtype <U1"),
    ([1, None], "values must be real numbers; got dtype object"),
]


def make_sketch():
    return CountSketch(64, depth=2, top_k=3, random_state=0).update([1, 2, 2, 3, 3, 3])


def make_top():
    return TopK(2).push([1, 2, 3], [1, -2, 3])


def content(sketch):
    if isinstance(sketch, TopK):
        return *sketch.held(), sketch.threshold
    return sketch.cells, *sketch.heavy_hitters()


def assert_refused(sketch, call, message, error=ValueError):
    before = [np.copy(part) for part in content(sketch)]
    with pytest.raises(error, match=message):
        call(sketch)
    for old, new in zip(before, content(sketch), strict=True):
        assert_array_equal(old, new)


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in BAD_PARAMETERS.items() for value in values]
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of CountSketch must"):
        CountSketch(**{name: value})


@pytest.mark.parametrize("name, value", [("k", 0), ("k", 2.5), ("k", 2**29 + 1), ("n_columns", 0)])
def test_bad_parameters_of_a_table_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of TopK must"):
        TopK(**{"k": 3} | {name: value})


@pytest.mark.parametrize("width, following", [(3, 4), (1000, 1024), (2**20 - 1, 2**20)])
def test_a_width_that_is_no_power_of_two_is_told_the_next(width, following):
    with pytest.raises(ValueError, match=f"width must be a power of two.*{width}.*{following}"):
        CountSketch(width)


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="n_jobs must be .*; got 0"):
        CountSketch(n_jobs=0)


@pytest.mark.parametrize("keys, message", BAD_KEYS)
@pytest.mark.parametrize(
    "call",
    [
        lambda s, keys: s.update(keys),
        lambda s, keys: s.query(keys),
        lambda s, keys: s.heavy_hitters(candidates=keys),
    ],
    ids=["update", "query", "candidates"],
)
def test_bad_keys_are_refused(call, keys, message):
    assert_refused(make_sketch(), lambda s: call(s, keys), message)


@pytest.mark.parametrize("keys, message", BAD_KEYS)
def test_bad_keys_are_refused_by_a_table(keys, message):
    assert_refused(make_top(), lambda top: top.push(keys, np.ones(np.shape(keys))), message)


@pytest.mark.parametrize("values, message", BAD_VALUES)
def test_bad_values_are_refused(values, message):
    assert_refused(make_sketch(), lambda s: s.update([1, 2], values), message)
    assert_refused(make_top(), lambda top: top.push([1, 2], values), message)


def test_values_of_several_columns_need_them_all():
    sketch = CountSketch(64, n_columns=2)
    for values in ([1, 2], [[1], [2]], [[1, 2, 3], [1, 2, 3]]):
        with pytest.raises(ValueError, match=r"values must have shape \(2, 2\), as"):
            sketch.update([1, 2], values)
    assert not sketch.cells.any()


@pytest.mark.parametrize(
    "settings, differs",
    [
        ({"width": 128}, r"width \(64 and 128\)\."),
        ({"depth": 3}, r"depth \(2 and 3\)\."),
        ({"n_columns": 2}, r"n_columns \(1 and 2\)\."),
        ({"estimate": "min"}, r"estimate \(median and min\)\."),
        ({"random_state": 1}, r"seed \(\d+ and \d+\)\."),
        ({"width": 32, "random_state": None}, r"width \(64 and 32\), seed \(\d+ and \d+\)\."),
    ],
)
def test_sketches_that_were_not_drawn_alike_do_not_combine(settings, differs):
    other = CountSketch(**{"width": 64, "depth": 2, "random_state": 0} | settings)
    message = "Sketches combine only if they are drawn alike, .*; these differ in " + differs
    for combine in (CountSketch.merge, CountSketch.__iadd__, CountSketch.__isub__):
        assert_refused(make_sketch(), lambda s, combine=combine: combine(s, other), message)
    assert_refused(make_sketch(), lambda s: s + other, message)
    assert_refused(make_sketch(), lambda s: s - other, message)


def test_only_sketches_and_numbers_combine_with_sketches():
    assert_refused(make_sketch(), lambda s: s.merge(3), "other must be a CountSketch", TypeError)
    assert_refused(make_top(), lambda t: t.merge([1]), "other must be a TopK; got list", TypeError)
    for call in (lambda s: s + 1, lambda s: 1 - s, lambda s: s * s, lambda s: s * "2"):
        assert_refused(make_sketch(), call, "unsupported operand|sequence", TypeError)


@pytest.mark.parametrize("factor", [np.nan, np.inf, 1e39, "2", None, 1j])
def test_bad_factors_are_refused(factor):
    assert_refused(make_sketch(), lambda s: s.scale(factor), "factor must be a finite number")
    assert_refused(make_top(), lambda top: top.scale(factor), "factor must be a finite number")


def test_a_minimum_has_no_negative_factor():
    sketch = CountSketch(64, estimate="min", top_k=2).update([1])
    assert_refused(sketch, lambda s: s * -1, 'factor must not be negative if estimate is "min"')


@pytest.mark.parametrize("k", [0, -1, 4, 2.5, "all", True])
def test_a_bad_number_of_heavy_hitters_is_refused(k):
    message = f"k must be an integer between 1 and the number of keys followed, top_k, 3; got {k!r}"
    assert_refused(make_sketch(), lambda s: s.heavy_hitters(k), message)


def test_heavy_hitters_have_to_come_from_somewhere():
    message = r"heavy_hitters needs candidates, or .*CountSketch\(top_k=\.\.\.\)"
    with pytest.raises(ValueError, match=message):
        CountSketch(64).heavy_hitters(3)
    with pytest.raises(ValueError, match="k must be an integer of at least 1; got 0"):
        CountSketch(64).heavy_hitters(0, [1, 2])


def test_tables_of_other_columns_do_not_merge():
    other = TopK(2, n_columns=3)
    assert_refused(make_top(), lambda top: top.merge(other), "this one has 1, the other 3")


@pytest.mark.parametrize("key", [-1, 1.0, "a", 2**63])
def test_a_table_is_not_asked_for_what_is_no_key(key):
    assert_refused(make_top(), lambda top: key in top, "keys must be integers")


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch):
    with pytest.raises(MemoryError, match=r"3 x 1,099,511,627,776 cells .* 13,194,139,533,312 by"):
        CountSketch(2**40)
    sketch = CountSketch(8, n_columns=300)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="Estimates of 2 keys with 300 columns would take 2,400 "):
        sketch.query([1, 2])
    with pytest.raises(MemoryError, match="A table of 200 keys with 1 columns would take 4,456 b"):
        TopK(100)
    with pytest.raises(MemoryError, match=r"3 x 1 cells .* would take 4,468 bytes, but 1,000"):
        CountSketch(1, top_k=100)
