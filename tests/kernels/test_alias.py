"""Alias tables stand for the distribution they were made of, and are drawn from as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import mix
from scipy.stats import chi2

from sklsh._kernels import _alias, _candidates

few_cases = settings(max_examples=60, deadline=None, derandomize=True)
weights = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-9, 1e9), st.floats(0.5, 2)), min_size=1, max_size=50
)


def build(q):
    """(threshold, alias) of a distribution."""
    n = len(q)
    threshold, alias = np.empty(n, np.uint32), np.empty(n, np.int32)
    _alias.build_alias(np.asarray(q, float) * n, threshold, alias, np.empty(n, np.int32))
    return threshold, alias


def distribution_of(threshold, alias):
    """What draws from a table are distributed like, exactly."""
    stay = (threshold + 1.0) / 2**32
    moved = np.bincount(alias, 1 - stay, minlength=len(alias))
    return (stay + moved) / len(alias)


def paired(shares):
    """(probability to stay, alias): rare outcomes are paired with frequent ones, last first."""
    shares = list(shares)
    stay, alias = np.ones(len(shares)), np.arange(len(shares))
    rare = [i for i, share in enumerate(shares) if share < 1]
    frequent = [i for i, share in enumerate(shares) if share >= 1]
    while rare and frequent:
        i, j = rare.pop(), frequent[-1]
        stay[i], alias[i] = shares[i], j
        shares[j] -= 1 - shares[i]
        if shares[j] < 1:
            rare.append(frequent.pop())
    return stay, alias


def drawn_from(threshold, alias, seed, n_draws):
    """Outcomes in the order of their draws."""
    drawn = []
    for counter in range(n_draws):
        bits = mix(mix(seed) + counter)
        place = ((bits >> 32) * len(alias)) >> 32
        drawn.append(place if bits % 2**32 <= threshold[place] else int(alias[place]))
    return drawn


def assert_stands_for(q):
    threshold, alias = build(q)
    assert alias.min() >= 0 and alias.max() < len(q)
    assert_allclose(distribution_of(threshold, alias), q, rtol=0, atol=1e-9)


@few_cases
@given(weights.filter(any))
def test_table_stands_for_any_distribution(weights):
    assert_stands_for(np.array(weights) / sum(weights))


@pytest.mark.parametrize(
    "q",
    [
        [1.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0, 0, 0], [0.25] * 4, np.eye(40)[7],
        1 / np.arange(1, 5001) / (1 / np.arange(1, 5001)).sum(),
        np.r_[1 - 1e-6, np.full(999, 1e-6 / 999)],
    ],
    ids=["one", "two", "zero", "zeros", "uniform", "one of 40", "zipf", "spike"],
)  # fmt: skip
def test_table_stands_for(q):
    assert_stands_for(np.asarray(q))


def test_shares_of_whole_fractions_are_paired_as_its_twin_has_it():
    q = np.array([1, 5, 0, 2, 20, 0, 3, 1]) / 32  # every step of the pairing is exact
    threshold, alias = build(q)
    expected = paired(q * 8)
    assert_array_equal(alias, expected[1])
    assert_allclose(threshold / 2**32, expected[0], atol=2**-31)


def take_drawn(q, n_draws, held=(), seed=3):
    """(ids, counts) that are added to the classes held."""
    n_classes = len(q)
    position, ids = np.zeros((2, n_classes), np.int32)
    positions = np.empty(len(held), np.int32)
    n = _candidates.take_labels(np.array(held, np.int32), position, ids, positions)
    counts = np.full(min(n_draws, n_classes - n), np.nan, np.float32)
    end = _candidates.take_drawn(seed, *build(q), n_draws, position, ids, n, counts)
    assert ids[:n].tolist() == list(held)
    return ids[n:end].tolist(), counts[: end - n].tolist()


@few_cases
@given(
    weights.filter(any), st.integers(0, 80), st.sets(st.integers(0, 9)), st.integers(0, 2**64 - 1)
)
def test_draws_are_those_of_the_table_but_for_what_is_held(weights, n_draws, held, seed):
    q = np.array(weights) / sum(weights)
    held = [c for c in held if c < len(q)]
    drawn = drawn_from(*build(q), seed, n_draws)
    fresh = dict.fromkeys(c for c in drawn if c not in held)
    ids, counts = take_drawn(q, n_draws, held, seed)
    assert ids == list(fresh)
    assert counts == [drawn.count(c) for c in fresh]


def test_nothing_is_drawn_where_all_is_held():
    assert take_drawn(np.full(3, 1 / 3), 20, [2, 0, 1]) == ([], [])
    assert take_drawn(np.full(3, 1 / 3), 0) == ([], [])


@pytest.mark.parametrize("held", [[], [1, 6]])
def test_classes_are_drawn_as_often_as_the_distribution_says(held):
    q = np.arange(1, 11) / 55
    n_seeds, n_draws, total = 400, 50, np.zeros(10)
    for seed in range(n_seeds):
        ids, counts = take_drawn(q, n_draws, held, seed)
        total[ids] += counts
    assert (total[held] == 0).all()
    free = np.setdiff1d(np.arange(10), held)
    expected = n_seeds * n_draws * q[free]
    # a binomial each: what is held takes its share of the draws
    statistic = ((total[free] - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-4, len(free))
