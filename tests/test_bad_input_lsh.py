"""Bad input to SimHash, DWTA and LSHIndex: refused by name, and what is fitted stays."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import _memory
from sklsh._hashing import HASH_FAMILIES, auto_n_bits, check_n_bits
from sklsh.lsh import DWTA, LSHIndex, SimHash

X = np.random.RandomState(0).normal(size=(40, 6)).astype(np.float32)
TRANSFORMERS = [SimHash(), SimHash(projections="gaussian"), DWTA()]
ESTIMATORS = [*TRANSFORMERS, LSHIndex(), LSHIndex(hash_family="dwta")]


def with_entry(value):
    changed = X.astype(float)
    changed[3, 2] = value
    return changed


def with_damage(**arrays):
    """Sparse X, with these of its arrays exchanged past all checks."""
    damaged = sp.csr_array(X)
    for name, array in arrays.items():
        setattr(damaged, name, np.asarray(array, dtype=np.int32))
    return damaged


OUT_OF_RANGE = np.where(np.arange(240) == 100, 6, np.tile(np.arange(6), 40))
NEGATIVE = np.where(np.arange(240) == 100, -1, np.tile(np.arange(6), 40))
FALLING = np.where(np.arange(41) == 7, 0, np.arange(0, 241, 6))
BAD_X = [
    pytest.param(with_entry(np.nan), "X contains NaN", id="NaN"),
    pytest.param(with_entry(np.inf), "X contains infinity", id="infinity"),
    pytest.param(
        with_entry(1e300),
        "X contains infinity or a value too large",
        id="1e300",
        marks=pytest.mark.filterwarnings("ignore:overflow encountered in cast"),
    ),
    pytest.param(sp.csr_array(with_entry(np.nan)), "X contains NaN", id="sparse NaN"),
    pytest.param(X[0], "Expected 2D array, got 1D", id="1-D"),
    pytest.param(X[None], "Found array with dim 3", id="3-D"),
    pytest.param(X[:0], r"0 sample\(s\)", id="no rows"),
    pytest.param(X[:, :0], r"0 feature\(s\)", id="no features"),
    pytest.param(X.astype(complex), "Complex data not supported", id="complex"),
    pytest.param(X.astype(str) + np.array("a"), "string to float", id="strings"),
]
DAMAGED_X = [
    pytest.param(with_damage(indices=OUT_OF_RANGE), "X is no valid CSR", id="index 6 of 6"),
    pytest.param(with_damage(indices=NEGATIVE), "X is no valid CSR", id="negative index"),
    pytest.param(with_damage(indptr=FALLING), "X is no valid CSR", id="falling indptr"),
]
NARROW_X = [pytest.param(X[:, :5], "X has 5 features, .* expecting 6", id="fewer features")]


def results(fitted):
    if isinstance(fitted, LSHIndex):
        return *fitted.query(X, k=5), fitted.candidates(X).toarray(), vars(fitted).keys()
    return fitted.transform(X), vars(fitted).keys()


def assert_refused(fitted, call, message, error=ValueError):
    before = results(fitted)
    with pytest.raises(error, match=message):
        call(fitted)
    for old, new in zip(before[:-1], results(fitted)[:-1], strict=True):
        assert_array_equal(old, new)
    assert results(fitted)[-1] == before[-1]


@pytest.fixture
def fitted(estimator):
    return type(estimator)(**estimator.get_params()).set_params(random_state=0).fit(X)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("data, message", BAD_X)
def test_bad_data_are_refused_in_fit(fitted, data, message):
    assert_refused(fitted, lambda e: e.fit(data), message)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("data, message", BAD_X)
def test_bad_data_leave_an_unfitted_estimator_unfitted(estimator, data, message):
    unfitted = type(estimator)(**estimator.get_params())
    with pytest.raises(ValueError, match=message):
        unfitted.fit(data)
    assert vars(unfitted) == vars(estimator)


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
@pytest.mark.parametrize("data, message", BAD_X[:-1] + DAMAGED_X + NARROW_X)
def test_bad_data_are_refused_in_transform(fitted, data, message):
    assert_refused(fitted, lambda e: e.transform(data), message)


@pytest.mark.parametrize("estimator", ESTIMATORS[-2:], ids=str)
@pytest.mark.parametrize("data, message", BAD_X[:-1] + DAMAGED_X + NARROW_X)
@pytest.mark.parametrize(
    "method",
    [LSHIndex.query, LSHIndex.candidates, lambda index, data: index.update(np.arange(40), data)],
    ids=["query", "candidates", "update"],
)
def test_bad_data_are_refused_by_a_fitted_index(fitted, method, data, message):
    assert_refused(fitted, lambda index: method(index, data), message)


@pytest.mark.parametrize("estimator", ESTIMATORS[-2:], ids=str)
@pytest.mark.parametrize("data, message", DAMAGED_X)
def test_damaged_rows_are_not_indexed(fitted, data, message):
    assert_refused(fitted, lambda index: index.fit(data), message)


@pytest.mark.parametrize("estimator", [LSHIndex()], ids=str)
@pytest.mark.parametrize(
    "call, message",
    [
        pytest.param(lambda i: i.query(X, k=0), "k must .* 40; got 0", id="k=0"),
        pytest.param(lambda i: i.query(X, k=41), "k must .* 40; got 41", id="k=41"),
        pytest.param(lambda i: i.query(X, k=2.5), "k must .* got 2.5", id="k=2.5"),
        pytest.param(lambda i: i.update([0], X[:2]), "rows must", id="row count"),
        pytest.param(lambda i: i.update([0.0], X[:1]), "rows must", id="float rows"),
        pytest.param(lambda i: i.update([[0]], X[:1]), "rows must", id="2-D rows"),
        pytest.param(lambda i: i.update([-1], X[:1]), "rows must", id="negative row"),
        pytest.param(lambda i: i.update([40], X[:1]), "rows must", id="row 40"),
    ],
)
def test_bad_arguments_leave_the_index_unchanged(fitted, call, message):
    assert_refused(fitted, call, message)


BAD_PARAMETERS = {
    "n_bits": [0, -1, 25, 3.5, None, "few"],
    "n_tables": [0, -1, 2.5, "all"],
    "random_state": ["x", -1, 0.5],
    "n_jobs": [1.5, "all"],
}
BAD_SIMHASH = BAD_PARAMETERS | {"projections": ["dense", None]}
BAD_DWTA = BAD_PARAMETERS | {"n_bits": [*BAD_PARAMETERS["n_bits"], "auto"]}
BAD_INDEX = BAD_PARAMETERS | {
    "metric": ["l2", None],
    "bucket_size": [0, -1, "auto"],
    "hash_family": ["minhash", None],
}


def each(make, bad):
    return [
        pytest.param(make(), name, value, id=f"{make.__name__}-{name}-{value}")
        for name, values in bad.items()
        for value in values
    ]


@pytest.mark.parametrize(
    "estimator, name, value",
    each(SimHash, BAD_SIMHASH) + each(DWTA, BAD_DWTA) + each(LSHIndex, BAD_INDEX),
)
def test_bad_parameters_are_refused_by_name(fitted, name, value):
    good = fitted.get_params()[name]

    def refit(fitted):
        try:
            fitted.set_params(**{name: value}).fit(X[:, :3])
        finally:
            fitted.set_params(**{name: good})

    assert_refused(fitted, refit, f"'{name}' parameter of {type(fitted).__name__}")


@pytest.mark.parametrize("n_bits", [1, 8, 10, 23])
def test_winner_take_all_codes_are_made_of_three_bits(n_bits):
    message = f"n_bits must be a multiple of 3 .*; got {n_bits}"
    for estimator in (DWTA(n_bits), LSHIndex(n_bits=n_bits, hash_family="dwta")):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X)
        assert not hasattr(estimator, "n_features_in_")
    with pytest.raises(ValueError, match=message):
        check_n_bits(n_bits, "dwta")


def test_automatic_bits_are_bits_that_the_family_has():
    for family in HASH_FAMILIES:
        for n_items in (0, 1, 100, 10**6, 10**12):
            n_bits = auto_n_bits(n_items, 8, family)
            check_n_bits(n_bits, family)
            assert 1 <= n_bits <= 24
    assert [auto_n_bits(n, 8, "dwta") for n in (1, 2**12, 2**14, 2**40)] == [3, 9, 12, 24]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_no_threads_are_refused(fitted):
    fitted.set_params(n_jobs=0)
    method = "query" if isinstance(fitted, LSHIndex) else "transform"
    with pytest.raises(ValueError, match="n_jobs must be .*; got 0"):
        getattr(fitted, method)(X)


def test_update_refused_for_its_threads_changes_nothing():
    index = LSHIndex(random_state=0).fit(X)
    before = results(index)
    with pytest.raises(ValueError, match="n_jobs must be .*; got 0"):
        index.set_params(n_jobs=0).update([0, 1], X[[2, 3]])
    index.set_params(n_jobs=None)
    for old, new in zip(before[:-1], results(index)[:-1], strict=True):
        assert_array_equal(old, new)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_refused_memory_is_named_and_leaves_the_estimator_unchanged(fitted, monkeypatch):
    def refit(fitted):
        with monkeypatch.context() as context:
            context.setattr(_memory, "available_bytes", lambda: 100)
            fitted.fit(X[:, :5])

    assert_refused(fitted, refit, r"5 features would take [\d,]+ bytes, but 100", MemoryError)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_unfitted_estimators_say_so(estimator):
    index = isinstance(estimator, LSHIndex)
    for method in ["query", "candidates"] if index else ["transform"]:
        with pytest.raises(NotFittedError):
            getattr(estimator, method)(X)
