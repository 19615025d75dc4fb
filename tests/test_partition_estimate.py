"""Estimates of Z from the best items and a uniform tail, of vectors and of a fitted model."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.exceptions import NotFittedError

from sklsh import LSHSoftmaxClassifier, _memory
from sklsh._memory import padded
from sklsh._storage import as_float32, to_bfloat16
from sklsh.negatives import LSHSampler, _lsh_sampler, _partition
from sklsh.negatives._partition import Items

N_CLASSES = 2000


def aligned(rows):
    wide = np.zeros((len(rows), padded(rows.shape[1])), dtype=np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def items_and_queries(n_items=900, n_queries=7, width=19):
    """Items of unequal length and offset, and queries of both signs."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n_items, width)) * rng.lognormal(sigma=0.5, size=(n_items, 1))
    queries = 0.15 * rng.normal(size=(n_queries, width))
    return aligned(vectors), rng.normal(size=n_items), aligned(queries)


@pytest.fixture(scope="module")
def model():
    """A model of more classes than are scored at once, trained on rows of few."""
    rng = np.random.RandomState(0)
    share = 1 / np.arange(1, N_CLASSES + 1) ** 0.7
    y = rng.choice(N_CLASSES, p=share / share.sum(), size=3000)
    y[:N_CLASSES] = np.arange(N_CLASSES)
    X = rng.normal(size=(N_CLASSES, 24))[y] + 0.5 * rng.normal(size=(3000, 24))
    settings = {"max_iter": 4, "learning_rate_init": 0.02, "random_state": 0, "batch_size": 64}
    model = LSHSoftmaxClassifier((32,), **settings).fit(X, y)
    return model, X[-300:].astype(np.float32)


def exact(model, X):
    return logsumexp(model.decision_function(X).astype(float), axis=1)


@pytest.mark.parametrize("stored", [np.copy, to_bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("k", [1, 30, 0])
def test_estimate_is_that_of_the_twin(stored, k, simd_level, n_threads, monkeypatch):
    """Of the twin's best items and of its uniform draws, block by block."""
    weights, offset, queries = items_and_queries()
    weights = stored(weights)
    monkeypatch.setattr(_partition, "SET_ENTRIES", 3 * (k + 50))
    got = Items(weights, offset).best_and_tail(queries, k, 50, seed=5, n_threads=n_threads)
    weights = as_float32(weights).astype(float)
    best, _ = reference.top_k(queries, weights, offset, k)
    logits = queries.astype(float) @ weights.T + offset
    for i, head in enumerate(best.tolist()):
        ids, n_exact = reference.draw_set(
            head, np.empty(0, int), np.empty((900, 0), int), 900, 0, 0, 5 + i // 3 * 3, i % 3,
            k + 50,
        )  # fmt: skip
        assert n_exact == k and len(set(ids)) == k + 50
        terms = np.exp(logits[i, ids])
        expected = terms[:k].sum() + (900 - k) / 50 * terms[k:].sum()
        assert got[i] == pytest.approx(np.log(expected), abs=1e-5)


@pytest.mark.parametrize("n_queries", [3, 250], ids=["few", "enough for bounds"])
@pytest.mark.parametrize("offset_like", [np.float64, np.float32])
def test_the_head_is_exact(n_queries, offset_like, n_threads):
    weights, offset, queries = items_and_queries(n_queries=n_queries)
    indptr, ids = Items(weights, offset.astype(offset_like)).best(queries, 40, n_threads)
    best, _ = reference.top_k(queries, weights.astype(float), offset, 40)
    assert_array_equal(indptr, 40 * np.arange(n_queries + 1))
    assert_array_equal(ids.reshape(n_queries, 40), best)


def test_head_of_a_model_is_what_it_predicts(model, monkeypatch):
    model, X = model
    heads, best = [], Items.best

    def kept(*arguments):
        heads.append(best(*arguments))
        return heads[-1]

    monkeypatch.setattr(Items, "best", kept)
    model.partition_estimate(X, n_head=20)
    [(_, ids)] = heads
    assert_array_equal(model.classes_[ids.reshape(-1, 20)], model.predict_top_k(X, 20)[0])


@pytest.mark.parametrize("settings", [{"n_head": 30}, {"estimator": "uniform"}], ids=str)
def test_the_mean_over_draws_is_the_exact_sum(settings):
    """A row that is asked many times has other draws each time."""
    weights, offset, queries = items_and_queries(n_queries=5)
    sampler = LSHSampler(n_uniform=60, random_state=2).fit(weights, offset)
    many = np.repeat(queries, 2000, axis=0)
    estimate = sampler.estimate_partition(many, **settings).reshape(5, 2000)
    ratios = np.exp(estimate - sampler.log_partition(queries)[:, None])
    error = ratios.std(axis=1, ddof=1) / np.sqrt(2000)
    assert (error > 1e-4).all() and (error < 0.05).all()
    assert (np.abs(ratios.mean(axis=1) - 1) < 3 * error).all()


def test_variance_is_that_of_draws_without_replacement():
    weights, offset, queries = items_and_queries(n_queries=4)
    sampler = LSHSampler(n_uniform=60, random_state=1).fit(weights, offset)
    estimate = sampler.estimate_partition(np.repeat(queries, 4000, axis=0), n_head=30)
    ratios = np.exp(estimate.reshape(4, 4000) - sampler.log_partition(queries)[:, None])
    terms = np.exp(queries.astype(float) @ weights.T + offset)
    rest = np.sort(terms / terms.sum(axis=1, keepdims=True), axis=1)[:, :-30]
    expected = 870 * (870 - 60) / 60 * rest.var(axis=1, ddof=1)
    assert_allclose(ratios.var(axis=1, ddof=1), expected, rtol=0.15)


def test_a_head_is_worth_more_than_as_many_draws(model):
    """On a trained model, at equal numbers of products."""
    model, X = model
    log_z = exact(model, X)
    best = model.partition_estimate(X, n_head=100, n_uniform=200)
    uniform = model.partition_estimate(X, "uniform", n_uniform=300)
    errors = [np.square(np.expm1(estimate - log_z)) for estimate in (best, uniform)]
    assert errors[0].mean() < 0.1 * errors[1].mean()
    assert np.median(errors[0]) < 0.3 * np.median(errors[1])
    assert_array_equal(best, model.partition_estimate(X, "head_tail", 200, head="best"))


@pytest.mark.parametrize("settings", [{}, {"estimator": "uniform"}], ids=str)
def test_no_tables_are_made_where_none_are_needed(model, settings, monkeypatch):
    model, X = model
    usual = model.partition_estimate(X, **settings)
    monkeypatch.delattr(_lsh_sampler, "HashTables")
    assert_array_equal(model.partition_estimate(X, **settings), usual)
    of_all = model.partition_estimate(X, "mixed", n_uniform=N_CLASSES // 2)
    assert_allclose(of_all, exact(model, X), atol=1e-4)
    with pytest.raises(NameError, match="HashTables"):
        model.partition_estimate(X, "mixed")


@pytest.mark.parametrize("settings", [
    {}, {"estimator": "uniform"}, {"head": "buckets"}, {"estimator": "mixed"},
], ids=str)  # fmt: skip
def test_draws_differ_between_blocks_of_rows(model, settings, monkeypatch):
    model, X = model
    monkeypatch.setattr("sklsh._network.ROWS_AT_ONCE", 2)
    estimate = model.partition_estimate(np.tile(X[:1], (20, 1)), **settings)
    assert len(np.unique(estimate)) == 20


@pytest.mark.parametrize("settings", [{}, {"head": "buckets"}], ids=str)
def test_containers_and_threads_change_nothing(model, settings):
    model, X = model
    usual = model.partition_estimate(X, **settings)
    assert_array_equal(model.partition_estimate(sp.csr_array(X), **settings), usual)
    try:
        assert_array_equal(model.set_params(n_jobs=2).partition_estimate(X, **settings), usual)
    finally:
        model.set_params(n_jobs=None)


@pytest.mark.parametrize("sizes", [(), (16,)], ids=["linear", "one hidden layer"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", [
    {"n_head": 1100}, {"n_head": 10**9}, {"n_uniform": 900}, {"head": "buckets", "n_uniform": 1000},
], ids=str)  # fmt: skip
def test_looking_at_half_of_the_classes_is_exact(sizes, dtype, settings):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(2000, 20)), np.arange(2000)
    settings_of_fit = {"max_iter": 1, "learning_rate_init": 1e-3, "random_state": 0}
    model = LSHSoftmaxClassifier(sizes, dtype=dtype, **settings_of_fit).fit(X, y)
    estimate = model.partition_estimate(X[:50], **settings)
    assert_allclose(estimate, exact(model, X[:50]), atol=1e-5)


@pytest.mark.parametrize("settings, message", [
    ({"estimator": "mean"}, "estimator must be one of .*'mean'"),
    ({"head": None}, "head must be one of .*None"),
    ({"estimator": "uniform", "head": "buckets"}, 'head="buckets" is for .*\'uniform\''),
    ({"n_head": 0}, "n_head must be an integer of at least 1; got 0"),
    ({"n_uniform": 2.5}, "n_uniform must be an integer of at least 1; got 2.5"),
])  # fmt: skip
def test_bad_arguments_are_refused_by_name(model, settings, message):
    model, X = model
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partition_estimate(X, **settings)
    assert vars(model) == before


def test_bad_rows_and_unfitted_models_are_refused(model):
    model, X = model
    with pytest.raises(ValueError, match="X has 23 features"):
        model.partition_estimate(X[:, :-1])
    with pytest.raises(NotFittedError):
        LSHSoftmaxClassifier().partition_estimate(X)


def test_memory_is_refused_with_its_bytes(model, monkeypatch):
    model, X = model
    monkeypatch.setattr(_memory, "available_bytes", lambda: 300)
    message = r"Finding the 100 best of 2,000 items for 300 queries would take 336,000 bytes"
    with pytest.raises(MemoryError, match=message):
        model.partition_estimate(X)
