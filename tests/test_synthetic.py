"""Synthetic extreme data: the shape and the laws they promise, and that they can be learnt."""

import re

import numpy as np
import pytest
from fuzz_xmc import check_equal, check_valid

from sklsh import SLIDEClassifier, _memory
from sklsh.datasets import _synthetic, make_xmc_classification
from sklsh.metrics import precision_at_k


def frequencies(Y):
    return np.bincount(Y.indices, minlength=Y.shape[1])


def test_shape_and_kind():
    X, Y = make_xmc_classification(3000, 900, 500, random_state=0)
    check_valid(X, Y)
    assert (X.shape, Y.shape) == ((3000, 900), (3000, 500))
    assert X.data.min() > 0
    np.testing.assert_allclose((X * X).sum(axis=1), 1, rtol=1e-5)
    assert np.diff(Y.indptr).min() >= 1


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 40), (7, 1, 33), (20_001, 50, 3)], ids=str)
def test_any_size(size):
    X, Y = make_xmc_classification(*size, random_state=0)
    check_valid(X, Y)
    assert (X.shape, Y.shape) == (size[:2], size[::2])


def test_means_are_as_asked_for():
    X, Y = make_xmc_classification(
        5000, 100_000, 50_000, n_labels=4, length=30, noise=1, label_exponent=0, random_state=0
    )
    # Few of the draws coincide where there is so much to draw from.
    assert np.diff(Y.indptr).mean() == pytest.approx(4, rel=0.05)
    assert np.diff(X.indptr).mean() == pytest.approx(30, rel=0.02)


@pytest.mark.parametrize("exponent", [0.7, 1.2])
def test_labels_follow_zipf(exponent):
    _, Y = make_xmc_classification(
        100_000, 10, 500, n_labels=1, length=1, label_exponent=exponent, random_state=0
    )
    counts = np.sort(frequencies(Y))[::-1]
    assert counts.sum() == 100_000
    slope, _ = np.polyfit(np.log(np.arange(500) + 2.7), np.log(counts), 1)
    assert slope == pytest.approx(-exponent, abs=0.03)
    assert not np.array_equal(np.argsort(-frequencies(Y))[:5], np.arange(5))  # any column


def test_topics_hold_labels_together():
    def share_in_topic(share):
        _, Y = make_xmc_classification(
            4000, 10, 320, n_labels=3, length=1, topic_share=share, label_exponent=0, random_state=0
        )
        first, last = Y.indices[Y.indptr[:-1]], Y.indices[Y.indptr[1:] - 1]
        several = np.diff(Y.indptr) > 1
        return (first // 32 == last // 32)[several].mean()

    assert share_in_topic(1) == 1
    assert share_in_topic(0) < 0.15  # one topic in ten, by chance


def test_noise_is_what_labels_do_not_show():
    X, Y = make_xmc_classification(500, 10_000, 100, n_labels=1, noise=0, random_state=0)
    for label in np.argsort(-frequencies(Y))[:5]:
        rows = X[Y[:, [label]].nonzero()[0]]
        assert len(np.unique(rows.indices)) <= 16
    X, _ = make_xmc_classification(500, 10_000, 100, n_labels=1, noise=1, random_state=0)
    assert len(np.unique(X.indices)) > 100 * 16


def test_random_state_fixes_all():
    first, second, third = (
        make_xmc_classification(300, random_state=state)
        for state in (3, np.random.RandomState(3), 4)
    )
    for one, other, different in zip(first, second, third, strict=True):
        check_equal(one, other)
        assert not np.array_equal(one.indices, different.indices)


def test_can_be_learnt():
    X, Y = make_xmc_classification(2500, 2000, 300, random_state=0)
    model = SLIDEClassifier(64, max_iter=5, hidden_dropout=0, random_state=0)
    model.fit(X[:2000], Y[:2000])
    labels, _ = model.predict_top_k(X[2000:], 1)
    most_frequent = np.full((500, 1), frequencies(Y[:2000]).argmax())
    popularity = precision_at_k(Y[2000:], most_frequent)
    assert precision_at_k(Y[2000:], labels) > 2.5 * popularity
    assert precision_at_k(Y[2000:], labels) > 0.45


def test_memory_is_refused_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(_synthetic, "Topics", None)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**9)
    for sizes in [(10**9, 10, 10), (10, 2**30, 10), (10, 10, 2**30)]:
        with pytest.raises(MemoryError, match="would take [0-9,]{10,} bytes"):
            make_xmc_classification(*sizes)


@pytest.mark.parametrize(
    "options",
    [{"n_samples": 0}, {"n_features": 1.5}, {"n_classes": 2**31}, {"topic_size": True},
     {"n_labels": 0.5}, {"length": 0}, {"noise": 1.1}, {"noise": float("nan")},
     {"topic_share": -0.1}, {"label_exponent": "1"}],
)  # fmt: skip
def test_bad_parameters_are_named(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} must be .*; got {re.escape(repr(value))}"):
        make_xmc_classification(**options)
