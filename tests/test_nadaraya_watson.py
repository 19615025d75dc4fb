"""NadarayaWatsonSketch: the ratio of sums it says, near the exact regression, on a stream."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh.sketch import RACE, NadarayaWatsonSketch

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (400, 2)).astype(np.float32)
Y = np.sin(2 * X[:, 0]) + X[:, 1]
QUERIES = RNG.uniform(-1.5, 1.5, (40, 2)).astype(np.float32)
FAMILIES = ["dense_simhash", "simhash", "l2"]
every_family = pytest.mark.parametrize("family", FAMILIES)


def make(family="l2", **parameters):
    defaults = {"n_rows": 50, "n_bits": 4, "random_state": 0}
    return NadarayaWatsonSketch(hash_family=family, **defaults | parameters)


@every_family
@pytest.mark.parametrize("prior", [0, 0.1, 30])
def test_predictions_are_the_ratio_of_two_sketches(family, prior):
    weights = np.random.default_rng(1).integers(1, 4, len(X)).astype(float)
    model = make(family, bandwidth=1.0, prior=prior).fit(X, Y, weights)
    drawn = {"n_rows": 50, "n_bits": 4, "hash_family": family, "random_state": 0}
    targets = RACE(2, **drawn).add(X, weights * Y).query(QUERIES, correct=False)
    rows = RACE(2, **drawn).add(X, weights).query(QUERIES, correct=False)
    mean = np.average(Y, weights=weights)
    assert_allclose(model.mean_, mean)
    assert_allclose(model.predict(QUERIES), (targets + prior * mean) / (rows + prior), rtol=1e-12)


def test_many_rows_come_near_the_exact_regression():
    model = make(n_rows=4000, bandwidth=2.0, prior=0).fit(X, Y)
    kernel = model.sketch_.kernel(np.linalg.norm(QUERIES[:, None] - X[None], axis=2))
    exact = kernel @ Y / kernel.sum(axis=1)
    assert abs(model.predict(QUERIES) - exact).max() < 0.1 * Y.std()


def test_it_predicts_better_than_the_mean():
    wanted = np.sin(2 * QUERIES[:, 0]) + QUERIES[:, 1]
    assert NadarayaWatsonSketch(random_state=0).fit(X, Y).score(QUERIES, wanted) > 0.7


@every_family
def test_parts_of_a_stream_add_up(family):
    y = np.round(8 * Y)  # whole: sums are exact
    whole = make(family, bandwidth=2.0).fit(X, y)
    parts = make(family, bandwidth=2.0)
    for rows in np.array_split(np.arange(len(X)), 7):
        assert parts.partial_fit(X[rows], y[rows]) is parts
    assert_array_equal(parts.predict(QUERIES), whole.predict(QUERIES))
    assert_array_equal(parts.fit(X, y).predict(QUERIES), whole.predict(QUERIES))


def test_the_scale_is_that_of_the_first_rows():
    for form in (np.asarray, sp.csr_array):
        model = make().partial_fit(form(X), Y)
        wanted = 2 * np.sqrt(2 * X.astype(float).var())
        assert_allclose(model.sketch_.bandwidth, wanted, rtol=1e-6)
        assert model.partial_fit(form(9 * X), Y).sketch_.bandwidth == model.sketch_.bandwidth
    assert make().fit(np.ones((5, 2)), np.arange(5)).sketch_.bandwidth == 1
    scaled = make().fit(1000 * X, Y).predict(1000 * QUERIES)
    assert_allclose(scaled, make().fit(X, Y).predict(QUERIES), atol=0.05)


def test_decay_forgets():
    """Each call halves what came before; the mean as well."""
    y = np.round(8 * Y)
    fading = make(decay=0.5, bandwidth=1.0)
    for rows in (slice(0, 100), slice(100, 200), slice(200, 400)):
        fading.partial_fit(X[rows], y[rows])
    weighted = make(bandwidth=1.0).fit(X, y, np.repeat([0.25, 0.5, 1, 1], 100))
    assert_array_equal(fading.predict(QUERIES), weighted.predict(QUERIES))
    assert fading.mean_ == weighted.mean_


def test_several_targets_are_predicted_each_as_alone():
    together = make().fit(X, np.c_[Y, -Y, Y**2])
    assert together.mean_.shape == (3,)
    for c, y in enumerate([Y, -Y, Y**2]):
        alone = make().fit(X, y)
        assert_allclose(together.predict(QUERIES)[:, c], alone.predict(QUERIES), rtol=1e-12)
    assert make().fit(X, Y[:, None]).predict(QUERIES).shape == (40, 1)


@pytest.mark.parametrize("prior", [0, 0.1])
def test_what_is_near_nothing_gets_the_mean(prior):
    model = make("dense_simhash", n_bits=12, prior=prior).fit(X[:3], Y[:3])
    opposite = -10 * X[:1] - 0.01
    assert model.sketch_.query(opposite, correct=False)[0, 1] == 0
    assert_allclose(model.predict(opposite), Y[:3].mean())


@every_family
def test_zero_rows(family):
    zeros = np.zeros((2, 2))
    model = make(family).fit(np.vstack([X, zeros]), np.append(Y, [50, 50]))
    predicted = model.predict(zeros)
    if family == "l2":
        assert (predicted > model.mean_ + 0.1).all()
    else:  # no direction: they leave no trace but in the mean
        assert_allclose(predicted, np.append(Y, [50, 50]).mean())
        assert_allclose(model.predict(QUERIES), make(family).fit(X, Y).predict(QUERIES), atol=0.1)


@every_family
@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix])
def test_sparse_rows_are_as_good(family, form):
    rows = np.where(abs(X) < 0.5, 0, X)
    dense = make(family, bandwidth=1.0).fit(rows, Y)
    sparse = make(family, bandwidth=1.0, n_jobs=2).fit(form(rows), Y)
    assert_array_equal(sparse.predict(form(QUERIES)), dense.predict(QUERIES))
    assert_array_equal(dense.predict(QUERIES[3:4]), dense.predict(QUERIES)[3:4])


def test_a_pickle_goes_on():
    model = make().partial_fit(X[:200], Y[:200])
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(QUERIES), model.predict(QUERIES))
    assert_array_equal(
        again.partial_fit(X[200:], Y[200:]).predict(QUERIES),
        model.partial_fit(X[200:], Y[200:]).predict(QUERIES),
    )
    assert model.nbytes == 8 * 50 * 4096 * 2
