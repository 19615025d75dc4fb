"""RACE and NadarayaWatsonSketch refuse bad input by name, and stay as they were."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sklsh import _memory
from sklsh.sketch import RACE, NadarayaWatsonSketch

X = np.random.default_rng(0).standard_normal((8, 3))
Y = X[:, 0]

BAD_PARAMETERS = {
    "n_rows": [0, 1.5, None],
    "width": [0, 1, 2.0, "64", None],
    "n_bits": [0, 25, 1.5, None],
    "hash_family": ["dwta", None],
    "bandwidth": [0, -1.0, np.inf, np.nan, None],
    "random_state": ["x", -1, 0.5],
    "n_jobs": [1.5, "all"],
}
BAD_ROWS = [
    (X[:, :2], "X must have 3 features; got 2|X has 2 features, but .* 3 features"),
    (np.full((2, 3), np.nan), "X contains NaN"),
    (np.full((2, 3), 1e39), "X contains infinity or a value too large for dtype"),
    (X[0], "Expected 2D array, got 1D array"),
    ([["a", "b", "c"]], "could not convert string to float"),
    (sp.csr_array(X[:, :2]), "X must have 3 features; got 2|X has 2 features"),
]
BAD_WEIGHTS = [
    (np.ones(7), r"weights must have shape \(8,\) or \(8, 1\), as X has 8 rows .*; got \(7,\)"),
    (np.ones((8, 2)), r"weights must have shape .* n_columns is 1; got \(8, 2\)"),
    (1.0, r"weights must have shape .*; got \(\)"),
    ([np.nan] + 7 * [1], "weights must be finite, and within the range of float32"),
    ([1e39] + 7 * [1], "weights must be finite, and within the range of float32"),
    ([1j] + 7 * [1], "weights must be real numbers; got dtype complex128"),
    ([None] + 7 * [1], "weights must be real numbers; got dtype object"),
    (["1"] * 8, "weights must be real numbers; got dtype <U1"),
]


def make_sketch(**parameters):
    return RACE(3, **{"n_rows": 4, "width": 16, "n_bits": 2, "random_state": 0} | parameters)


def make_model(**parameters):
    return NadarayaWatsonSketch(**{"n_rows": 4, "width": 16, "random_state": 0} | parameters)


def assert_refused(sketch, call, message, error=ValueError):
    cells, totals = sketch.cells.copy(), sketch.totals
    with pytest.raises(error, match=message):
        call(sketch)
    assert_array_equal(sketch.cells, cells)
    assert_array_equal(sketch.totals, totals)


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in BAD_PARAMETERS.items() for value in values]
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of RACE must"):
        RACE(3, **{name: value})
    with pytest.raises(ValueError, match=f"'{name}' parameter of NadarayaWatsonSketch must"):
        NadarayaWatsonSketch(**{name: value}).fit(X, Y)


@pytest.mark.parametrize("name, value", [("n_features", 0), ("n_features", 2.5), ("n_columns", 0)])
def test_bad_sizes_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of RACE must"):
        RACE(**{"n_features": 3} | {name: value})


@pytest.mark.parametrize(
    "name, value", [("prior", -1), ("prior", np.inf), ("decay", 0), ("decay", 1.1), ("decay", None)]
)
def test_bad_parameters_of_the_regression_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of NadarayaWatsonSketch must"):
        NadarayaWatsonSketch(**{name: value}).fit(X, Y)


@pytest.mark.parametrize("make", [make_sketch, lambda **p: make_model(**p).fit(X, Y)])
def test_a_width_that_is_no_power_of_two_is_told_the_next(make):
    with pytest.raises(ValueError, match=r"width must be a power of two.* 1000.* 1024"):
        make(width=1000)


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="n_jobs must be .*; got 0"):
        make_sketch(n_jobs=0)
    with pytest.raises(ValueError, match="n_jobs must be .*; got 0"):
        make_model(n_jobs=0).fit(X, Y)


@pytest.mark.parametrize("rows, message", BAD_ROWS)
def test_bad_rows_are_refused(rows, message):
    for call in (RACE.add, RACE.subtract, RACE.query):
        assert_refused(make_sketch().add(X), lambda s, call=call: call(s, rows), message)
    model = make_model().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        model.predict(rows)
    y = np.zeros(len(rows) if isinstance(rows, list) else rows.shape[0])
    assert_refused(model.sketch_, lambda s: model.partial_fit(rows, y), message)


def test_damaged_sparse_rows_are_refused():
    damaged = sp.csr_array(X)
    damaged.indices[0] = 99
    assert_refused(make_sketch().add(X), lambda s: s.add(damaged), "X is no valid CSR matrix")
    with pytest.raises(ValueError, match="X is no valid CSR matrix"):
        make_model().fit(damaged, Y)


@pytest.mark.parametrize("weights, message", BAD_WEIGHTS)
def test_bad_weights_are_refused(weights, message):
    assert_refused(make_sketch().add(X), lambda s: s.add(X, weights), message)
    assert_refused(make_sketch().add(X), lambda s: s.subtract(X, weights), message)


@pytest.mark.parametrize(
    "arguments",
    [{"estimate": "median"}, {"groups": 0}, {"groups": 1.5}, {"correct": "yes"}],
)
def test_bad_questions_are_refused(arguments):
    (name,) = arguments
    message = f"'{name}' parameter of RACE.query must"
    assert_refused(make_sketch().add(X), lambda s: s.query(X, **arguments), message)


@pytest.mark.parametrize("cosine", [1.1, -2, np.nan])
def test_the_kernel_wants_cosines_or_distances(cosine):
    with pytest.raises(ValueError, match=r"values must be cosines, in \[-1, 1\], for dense_simh"):
        make_sketch().kernel([0.5, cosine])
    if not cosine > 0:
        with pytest.raises(ValueError, match="values must be distances, which are not negative"):
            make_sketch(hash_family="l2").kernel([0.5, cosine])


@pytest.mark.parametrize(
    "parameters, differs",
    [
        ({"width": 32}, r"width \(16 and 32\)\."),
        ({"n_rows": 5}, r"n_rows \(4 and 5\)\."),
        ({"n_bits": 3}, r"n_bits \(2 and 3\)\."),
        ({"n_columns": 2}, r"n_columns \(1 and 2\)\."),
        ({"bandwidth": 2.0}, r"bandwidth \(1.0 and 2.0\)\."),
        ({"hash_family": "l2"}, r"hash_family \(dense_simhash and l2\)\."),
        ({"random_state": 1}, r"seed \(\d+ and \d+\)\."),
    ],
)
def test_sketches_that_were_not_drawn_alike_do_not_combine(parameters, differs):
    other = make_sketch(**parameters)
    message = "Sketches combine only if they are drawn alike, .*; these differ in " + differs
    for combine in (RACE.merge, RACE.__iadd__, RACE.__isub__, RACE.__add__, RACE.__sub__):
        sketch = make_sketch().add(X)
        assert_refused(sketch, lambda s, combine=combine: combine(s, other), message)
    wider = RACE(4, n_rows=4, width=16, n_bits=2, random_state=0)
    assert_refused(make_sketch(), lambda s: s + wider, r"differ in n_features \(3 and 4\)\.")


def test_only_sketches_and_numbers_combine_with_sketches():
    assert_refused(make_sketch(), lambda s: s.merge(3), "other must be a RACE; got int", TypeError)
    for call in (lambda s: s + 1, lambda s: 1 - s, lambda s: s * s, lambda s: s * "2"):
        assert_refused(make_sketch(), call, "unsupported operand|sequence", TypeError)


@pytest.mark.parametrize("factor", [np.nan, np.inf, 1e39, "2", None, 1j])
def test_bad_factors_are_refused(factor):
    assert_refused(make_sketch().add(X), lambda s: s.scale(factor), "factor must be a finite numb")
    assert_refused(make_sketch().add(X), lambda s: s.decay(factor), "factor must be a finite numb")


@pytest.mark.parametrize("factor", [0, -0.5, 1.5])
def test_a_decay_is_a_share(factor):
    assert_refused(make_sketch().add(X), lambda s: s.decay(factor), r"factor must be in \(0, 1\]")


def test_further_rows_have_as_many_targets():
    model = make_model().fit(X, Y)
    assert_refused(
        model.sketch_,
        lambda s: model.partial_fit(X, np.c_[Y, Y]),
        "y must have 1 outputs, as before; got 2",
    )


def test_products_beyond_float32_are_refused():
    model = make_model().fit(X, Y)
    message = "y and sample_weight must give products that float32 can hold"
    assert_refused(model.sketch_, lambda s: model.partial_fit(X, np.full(8, 1e300)), message)
    big = np.full(8, 1e38)
    assert_refused(model.sketch_, lambda s: model.partial_fit(X, big, 2 * big), message)


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch):
    with pytest.raises(MemoryError, match=r"50 x 1,099,511,627,776 counters .* 439,804,651,110,40"):
        RACE(3, width=2**40)
    with pytest.raises(MemoryError, match=r"hash functions of 50 rows .* take 1[\d,]{13,} bytes"):
        RACE(2**40, hash_family="l2")
    with pytest.raises(MemoryError, match="hash functions of 50 tables"):
        RACE(2**40)
    sketch = make_sketch(n_columns=9)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    with pytest.raises(
        MemoryError, match="Estimates at 20 vectors with 9 columns would take 1,440"
    ):
        sketch.query(np.ones((20, 3)))
    with pytest.raises(MemoryError, match="20 dense rows would take 1,280 bytes"):
        sketch.add(np.ones((20, 3)))
    assert not sketch.cells.any()
