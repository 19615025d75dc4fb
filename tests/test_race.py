"""RACE: linear, with the mean and the error it claims, stored and merged without change."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from sklsh import _sklearn
from sklsh.sketch import RACE

FAMILIES = ["dense_simhash", "simhash", "l2"]
every_family = pytest.mark.parametrize("family", FAMILIES)
X = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
QUERIES = X[:10] + 0.3 * np.random.default_rng(1).standard_normal((10, 5)).astype(np.float32)
WEIGHTS = np.random.default_rng(2).integers(1, 5, 60)


def make(family="dense_simhash", n_features=5, **parameters):
    defaults = {"n_rows": 6, "width": 64, "n_bits": 3, "bandwidth": 2.0, "random_state": 0}
    return RACE(n_features, hash_family=family, **defaults | parameters)


def cosines(A, B):
    A, B = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (A, B))
    return A @ B.T


def distances(A, B):
    return np.linalg.norm(A[:, None] - B[None], axis=2)


def exact_sums(sketch, queries, rows, weights):
    """Sums of weight times kernel, and of abs(weight) times its square root."""
    measure = distances if sketch.hash_family == "l2" else cosines
    kernel = sketch.kernel(measure(queries, rows))
    return kernel @ weights, np.sqrt(kernel) @ abs(weights)


# ---- linear ----


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(-9, 9), max_size=20),
    st.lists(st.integers(-9, 9), max_size=20),
    st.sampled_from(FAMILIES),
    st.integers(-3, 3),
)
def test_sketches_are_linear_in_the_stream(first, second, family, factor):
    """Exactly, as long as all weights are whole."""
    a, b = X[: len(first)], X[20 : 20 + len(second)]
    one, other = make(family).add(a, first), make(family).add(b, second)
    both = make(family).add(np.vstack([a, b]), first + second)
    for combined in (one + other, other + one):
        assert_array_equal(combined.cells, both.cells)
        assert_array_equal(combined.totals, both.totals)
    assert_array_equal((both - other).cells, one.cells)
    assert_array_equal(both.copy().subtract(b, second).cells, one.cells)
    multiple = make(family).add(a, [factor * w for w in first])
    for scaled in (factor * one, one * factor):
        assert_array_equal(scaled.cells, multiple.cells)
        assert_array_equal(scaled.totals, multiple.totals)


def test_operations_in_place_change_that_sketch_only():
    one, other = make().add(X[:30]), make().add(X[30:])
    before, was_other = one.copy(), other.copy()
    whole = one + other
    assert_array_equal(one.cells, before.cells)
    assert one.merge(other) is one
    assert_array_equal(one.cells, whole.cells)
    one -= other
    assert_array_equal(one.cells, before.cells)
    one *= 2
    one += one
    assert_array_equal(one.cells, 4 * before.cells)
    assert_array_equal(other.cells, was_other.cells)
    assert not one.clear().cells.any() and not one.totals.any() and not one.query(X).any()


@every_family
def test_weights_count_vectors_if_there_are_none(family):
    assert_array_equal(make(family).add(X).cells, make(family).add(X, np.ones(60)).cells)
    sketch = make(family).add(X)
    assert (sketch.cells.sum(axis=(1, 2)) == 60).all() and sketch.totals == 60


def test_each_column_is_a_sketch_of_its_own():
    weights = np.random.default_rng(1).integers(-3, 4, (60, 3))
    together = make("l2", n_columns=3).add(X, weights)
    for c in range(3):
        alone = make("l2").add(X, weights[:, c])
        assert_array_equal(together.cells[..., c], alone.cells[..., 0])
        assert_array_equal(together.query(QUERIES)[:, c], alone.query(QUERIES))


@every_family
def test_decay_is_as_if_earlier_weights_had_been_smaller(family):
    sketch = make(family)
    for part in (X[:20], X[20:40], X[40:]):
        sketch.decay(0.5).add(part)
    direct = make(family).add(X, np.repeat([0.25, 0.5, 1], 20))
    assert_array_equal(sketch.query(QUERIES), direct.query(QUERIES))
    assert_array_equal(sketch.totals, direct.totals)
    assert_array_equal((sketch + direct).cells, 2 * direct.cells)
    assert_array_equal((direct - sketch).query(QUERIES), np.zeros(10))


def test_decay_goes_on_for_ever():
    """The sum is that of the geometric series, well beyond where the scale is folded in."""
    sketch = make("l2")
    for _ in range(300):
        sketch.decay(0.5).add(X[:1])
    assert_allclose(sketch.query(X[:1], correct=False), 2, rtol=1e-14)
    assert_allclose(sketch.totals, 2, rtol=1e-14)
    for _ in range(20):
        sketch.decay(1e-30)
    assert sketch.query(X[:1])[0] == sketch.totals[0] == 0


def test_large_factors_are_folded_in():
    sketch = make("l2").add(X)
    before = sketch.query(QUERIES)
    for factor in (2.0**100, -(2.0**-60), 2.0**-40, -1.0):
        sketch *= factor
    assert_array_equal(sketch.query(QUERIES), before)


# ---- as accurate as it claims ----


def test_the_kernel_of_signs():
    sketch = make(n_bits=3)
    assert_allclose(sketch.kernel([1, 0, -1, np.cos(np.pi / 4)]), [1, 1 / 8, 0, 27 / 64])


def test_the_kernel_of_steps_is_the_integral():
    """Of the density of the distance along a projection, times the chance of one step."""
    c, w = np.array([0.05, 0.5, 1, 3, 50]), 2.0
    t = (np.arange(200_000) + 0.5) * w / 200_000
    density = 2 / c[:, None] * norm.pdf(t / c[:, None])
    expected = (density * (1 - t / w)).mean(axis=1) * w
    assert_allclose(make("l2", n_bits=1).kernel(c), expected, rtol=1e-6)
    assert_allclose(make("l2", n_bits=4).kernel(c), expected**4, rtol=1e-5)
    assert make("l2").kernel(0.0) == 1
    assert_allclose(make("l2", n_bits=1).kernel(1e9), w / 1e9 / np.sqrt(2 * np.pi), rtol=1e-6)


@pytest.mark.parametrize("family", ["dense_simhash", "l2"])
@pytest.mark.parametrize("width", [4, 64])  # shared by chance, and (signs) not
@pytest.mark.parametrize("signed", [False, True])
def test_mean_and_error_are_those_that_are_said(family, width, signed):
    """Over draws: unbiased to five standard errors, and the variance within its bound."""
    weights = np.where(np.arange(60) % 3, WEIGHTS, -WEIGHTS) if signed else WEIGHTS
    n_rows, draws = 4, 250
    sketches = [
        make(family, n_rows=n_rows, width=width, random_state=seed).add(X, weights)
        for seed in range(draws)
    ]
    assert sketches[0].hashed == (family == "l2" or width == 4)
    estimates = np.array([sketch.query(QUERIES) for sketch in sketches])
    sums, _ = exact_sums(sketches[0], QUERIES, X, weights)
    standard_error = estimates.std(axis=0) / np.sqrt(draws)
    assert (abs(estimates.mean(axis=0) - sums) < 5 * standard_error).all()

    plain = np.array([sketch.query(QUERIES, correct=False) for sketch in sketches])
    measure = distances if family == "l2" else cosines
    kernel = sketches[0].kernel(measure(QUERIES, X))
    if sketches[0].hashed:
        kernel = kernel + (1 - kernel) / width
    bound = np.sqrt(kernel) @ abs(weights)
    expected = kernel @ weights
    assert (((plain - expected) ** 2).mean(axis=0) < 1.2 * bound**2 / n_rows).all()


def test_rotations_follow_the_law_nearly():
    sketches = [make("simhash", random_state=seed).add(X) for seed in range(250)]
    estimates = np.mean([sketch.query(QUERIES) for sketch in sketches], axis=0)
    sums, _ = exact_sums(sketches[0], QUERIES, X, np.ones(60))
    assert (abs(estimates - sums) < 0.05 * 60).all()


def test_large_errors_of_the_median_of_means_are_as_rare_as_said():
    groups, n_rows = 8, 32
    errors = []
    for seed in range(100):
        sketch = make("dense_simhash", n_rows=n_rows, random_state=seed).add(X)
        sums, spread = exact_sums(sketch, QUERIES, X, np.ones(60))
        asked = sketch.query(QUERIES, estimate="median_of_means", groups=groups)
        errors.append(abs(asked - sums) > 2 * spread * np.sqrt(groups / n_rows))
    assert np.mean(errors) <= np.exp(-groups / 8)


def test_the_median_is_of_the_means_of_groups():
    """One group is the mean; one row a group, the median of rows; more groups are as many."""
    sketch = make("l2", n_rows=7).add(X)
    rows = np.array([sketch.cells[r, :, 0] for r in range(7)])
    by_row = sketch.query(QUERIES, estimate="median_of_means", groups=7, correct=False)
    assert np.isin(by_row, rows).all()
    for query, same in [({"groups": 1}, {"estimate": "mean"}), ({"groups": 99}, {"groups": 7})]:
        other = {"estimate": "median_of_means"} | same
        assert_array_equal(
            sketch.query(QUERIES, estimate="median_of_means", **query),
            sketch.query(QUERIES, **other),
        )


def test_more_rows_err_less():
    def error(n_rows):
        sketch = make("l2", n_rows=n_rows, width=1024).add(X)
        return np.mean(
            (sketch.query(QUERIES) - exact_sums(sketch, QUERIES, X, np.ones(60))[0]) ** 2
        )

    assert error(1600) < error(25) / 8


# ---- of any input ----


@pytest.mark.parametrize("family", ["dense_simhash", "simhash"])
def test_zero_vectors_have_no_direction(family):
    zeros = np.zeros((3, 5))
    sketch = make(family, width=4).add(X)  # hashed
    before = sketch.cells.copy()
    sketch.add(zeros)
    assert_array_equal(sketch.cells, before)
    assert sketch.totals == 60
    assert_array_equal(sketch.query(zeros), [0, 0, 0])


def test_zero_vectors_are_like_others_by_distance():
    sketch = make("l2").add(np.zeros((3, 5)))
    assert sketch.totals == 3
    assert_allclose(sketch.query(np.zeros((2, 5))), 3)


@every_family
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csc_matrix, np.float64, list])
def test_results_depend_neither_on_format_nor_threads_nor_batch(family, form, n_jobs):
    rows, weights = np.where(abs(X) < 0.5, 0, X), np.random.default_rng(0).standard_normal(60)
    one, other = make(family).add(rows, weights), make(family, n_jobs=n_jobs)
    other.add(form(rows), weights)
    assert_array_equal(one.cells, other.cells)
    together = one.query(QUERIES)
    assert_array_equal(other.query(form(QUERIES)), together)
    for i in range(3):
        assert_array_equal(other.query(form(QUERIES[i : i + 1])), together[i : i + 1])


def test_many_rows_are_hashed_in_blocks(monkeypatch):
    whole = make("l2").add(X)
    monkeypatch.setattr("sklsh.sketch._families.DENSE_FLOATS", 16 * 7)
    assert_array_equal(make("l2").add(X).cells, whole.cells)
    assert_array_equal(make("l2").add(sp.csr_array(X)).cells, whole.cells)
    assert_array_equal(make("l2").add(X).query(QUERIES), whole.query(QUERIES))


def test_no_rows_are_none():
    sketch = make().add(np.zeros((0, 5)), [])
    assert not sketch.cells.any() and sketch.query(np.zeros((0, 5))).shape == (0,)
    assert make(n_columns=2).query(np.zeros((0, 5))).shape == (0, 2)


def test_the_random_state_draws_the_functions():
    cells = [
        make("l2", random_state=state).add(X).cells for state in (0, 0, 1, np.random.RandomState(0))
    ]
    assert_array_equal(cells[0], cells[1])
    assert_array_equal(cells[0], cells[3])
    assert (cells[0] != cells[2]).any()


def test_sizes_are_those_that_are_said():
    sketch = make("l2", n_columns=3)
    assert sketch.nbytes == 8 * 6 * 64 * 3 == sketch.cells.nbytes
    assert repr(sketch) == (
        "RACE(5, n_rows=6, width=64, n_bits=3, hash_family='l2', bandwidth=2.0, n_columns=3)"
    )
    assert not make(n_bits=6).hashed and make(n_bits=7).hashed


# ---- stored ----


def read_only_map(sketch, path):
    joblib.dump(sketch, path)
    return joblib.load(path, mmap_mode="r")


@every_family
@pytest.mark.parametrize(
    "store",
    [
        lambda sketch, path: pickle.loads(pickle.dumps(sketch)),
        lambda sketch, path: copy.deepcopy(sketch),
        lambda sketch, path: sketch.copy(),
        read_only_map,
    ],
    ids=["pickle", "deepcopy", "copy", "memory map"],
)
def test_a_stored_sketch_goes_on_and_merges(family, store, tmp_path):
    sketch = make(family).add(X[:30]).decay(0.5)
    again = store(sketch, tmp_path / "sketch")
    assert_array_equal(again.query(QUERIES), sketch.query(QUERIES))
    before = sketch.query(QUERIES)
    whole = again.add(X[30:])
    assert_array_equal(sketch.query(QUERIES), before)
    assert_array_equal(whole.cells, make(family).add(X, np.repeat([0.5, 1], 30)).cells)
    assert_array_equal((whole - sketch).cells, make(family).add(X[30:]).cells)


def test_pickles_of_another_version_warn(monkeypatch):
    written = pickle.dumps(make())
    monkeypatch.setattr(_sklearn, "__version__", "0.0.1")
    with pytest.warns(_sklearn.InconsistentVersionWarning, match="with sklsh 0.0.1"):
        pickle.loads(written)
