"""Draws of rows: as often as they should come, weighted to make up for it, where that pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from row_draws import (
    SIZES,
    VALUES,
    WEIGHTS,
    N,
    Told,
    assert_unbiased,
    begun,
    every_weight,
    run,
)

from sklsh.row_sampling import _draws
from sklsh.row_sampling._draws import (
    PROBE_BATCHES,
    systematic_draws,
)


class Offset:
    """Generator whose random number is known, and that leaves the order alone."""

    def __init__(self, offset):
        self.offset = offset

    def random(self):
        return self.offset

    def permutation(self, numbers):
        return numbers


# ---- systematic_draws ----

probabilities = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)).filter(
    lambda p: p.sum() > 1e-3
)
few_examples = settings(max_examples=20, deadline=None)


@given(probabilities, st.integers(1, 200), st.integers(0, 99))
def test_each_number_comes_as_often_as_expected_rounded_up_or_down(p, n, seed):
    drawn = systematic_draws(p, n, np.random.default_rng(seed))
    counts, expected = np.bincount(drawn, minlength=len(p)), n * p / p.sum()
    assert len(drawn) == n
    assert (counts >= np.floor(expected - 1e-6)).all()
    assert (counts <= np.ceil(expected + 1e-6)).all()
    assert not counts[p == 0].any()


@few_examples
@given(probabilities, st.integers(1, 60))
def test_over_all_offsets_it_comes_as_often_as_expected(p, n):
    n_offsets = 300
    counts = sum(
        np.bincount(systematic_draws(p, n, Offset((k + 0.5) / n_offsets)), minlength=len(p))
        for k in range(n_offsets)
    )
    assert_allclose(counts / n_offsets, n * p / p.sum(), atol=1.01 / n_offsets)


@pytest.mark.parametrize("offset", [0.0, 1 - 2.0**-53])
@pytest.mark.parametrize("n", [1, 64, 2**17 + 1])
@few_examples
@given(p=probabilities)
def test_the_first_and_the_last_offset_draw_as_many_of_a_probability(p, n, offset):
    p = np.append(p, 0)
    drawn = systematic_draws(p, n, Offset(offset))
    assert len(drawn) == n
    assert (p[drawn] > 0).all()


def test_the_order_is_random():
    drawn = systematic_draws(np.ones(50), 1000, np.random.default_rng(0))
    halves = drawn[:500].mean(), drawn[500:].mean()
    assert_allclose(halves, 24.5, atol=2)
    assert not (np.diff(drawn) >= 0).all()


# ---- weights ----


@every_weight
@pytest.mark.parametrize("pool", [40, N])
@pytest.mark.parametrize("floor", [0.02, 0.5])
def test_draws_are_unbiased_whatever_the_scores(weight, pool, floor, monkeypatch):
    monkeypatch.setattr(_draws, "POOL", pool)
    for scores in (SIZES, SIZES[::-1], np.arange(N) % 2):
        draws = begun(Told(scores), weight, floor=floor, batch_size=8)
        assert_unbiased(draws, weight, VALUES)


def test_other_powers_are_not_unbiased():
    """So that the test above could fail."""
    draws = begun(Told(SIZES), importance_power=0)
    with pytest.raises(AssertionError):
        assert_unbiased(draws, WEIGHTS["alike"], SIZES[:, None] * np.ones(3), field="weight")


@every_weight
@pytest.mark.parametrize("pool", [40, N])
@pytest.mark.parametrize("floor", [0.02, 0.5, 1])
def test_no_weight_is_above_the_mean_over_the_floor(weight, pool, floor, monkeypatch):
    monkeypatch.setattr(_draws, "POOL", pool)
    draws = begun(Told(SIZES), weight, floor=floor)
    for drawn in run(draws, SIZES, 20):
        most = weight.mean() if pool == N else weight.max()
        assert (drawn.weight <= 1.0001 * most / floor).all()
        assert (drawn.weight > 0).all()
        assert (weight[drawn.rows] > 0).all()


@every_weight
def test_a_weight_is_the_rows_over_how_likely_it_was(weight):
    floor, by_scores = 0.1, weight * SIZES / (weight * SIZES).mean(dtype=float)
    ratio = floor * weight / weight.mean(dtype=float) + (1 - floor) * by_scores
    for drawn in run(begun(Told(SIZES), weight), SIZES, 3):
        assert_allclose(drawn.ratio, ratio[drawn.rows], rtol=1e-6)
        assert_allclose(drawn.weight, weight[drawn.rows] / drawn.ratio, rtol=1e-5)
        assert_array_equal(drawn.weight, drawn.unbiased)


@pytest.mark.parametrize("power", [0, 0.3, 1])
def test_the_power_is_that_of_the_weights_over_their_mean(power):
    weight = WEIGHTS["weighted"]
    mean = weight.mean(dtype=float)
    for drawn in run(begun(Told(SIZES), weight, importance_power=power), SIZES, 3):
        assert_allclose(drawn.unbiased, weight[drawn.rows] / drawn.ratio, rtol=1e-5)
        assert_allclose(drawn.weight, mean * (drawn.unbiased / mean) ** power, rtol=1e-5)
    if power == 0:
        assert_allclose(drawn.weight, mean, rtol=1e-6)


def test_rows_that_teach_more_come_more_often():
    counts = np.zeros(N)
    for drawn in run(begun(Told(SIZES)), SIZES, 100):
        counts += np.bincount(drawn.rows, minlength=N)
    expected = 0.1 + 0.9 * SIZES / SIZES.mean()
    assert_allclose(counts / 100, expected, rtol=0.3, atol=0.2)


EXTREMES = {
    "zeros": np.zeros(N),
    "equal": np.full(N, 7.0),
    "one": np.eye(N)[5],
    "huge": np.where(np.arange(N) % 2, 1e30, 1.0),
    "all huge": np.full(N, 1e38),
    "tiny": np.full(N, 1e-45),
    "far apart": np.logspace(-45, 38, N),
}


@pytest.mark.parametrize("scores", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("pool", [40, N])
def test_extreme_scores_are_unbiased_as_well(scores, pool, monkeypatch):
    monkeypatch.setattr(_draws, "POOL", pool)
    weight = WEIGHTS["weighted"]
    draws = begun(Told(scores), weight, batch_size=8)
    assert_unbiased(draws, weight, VALUES, n_sets=300)
    for drawn in draws.epoch():
        assert np.isfinite(drawn.weight).all() and (drawn.weight > 0).all()


def test_scores_of_zeros_leave_draws_to_the_weights():
    weight = WEIGHTS["weighted"]
    for drawn in run(begun(Told(np.zeros(N)), weight), np.zeros(N), 2):
        assert_allclose(drawn.weight, weight.mean(dtype=float), rtol=1e-6)


def test_pools_without_any_weight_teach_nothing(monkeypatch):
    """Most pools are such where few rows have a weight."""
    monkeypatch.setattr(_draws, "POOL", 8)
    weight = np.where(np.arange(N) % 100 == 7, 2.0, 0).astype(np.float32)
    draws = begun(Told(SIZES), weight, batch_size=4)
    taken = run(draws, SIZES, 5)
    assert all(np.isfinite(drawn.weight).all() for drawn in taken)
    assert any(drawn.weight.any() for drawn in taken)
    assert_unbiased(draws, weight, VALUES, n_sets=4000)
    assert draws.gain.value > 0


@pytest.mark.parametrize("min_gain", [0, 1.2])
def test_uniform_draws_without_any_weight_teach_nothing(min_gain):
    weight = np.where(np.arange(N) == 7, 2.0, 0).astype(np.float32)
    draws = begun(Told(SIZES), weight, batch_size=1, warmup=10**6, min_gain=min_gain)
    run(draws, SIZES, 2)  # the last of an epoch are few
    assert np.isfinite(draws.gain.value)


@pytest.mark.parametrize(
    "scores", [SIZES[1:], SIZES[:, None], -SIZES, np.append(SIZES[1:], np.nan), np.full(N, np.inf)]
)
def test_scores_that_are_none_are_refused(scores):
    class Wrong(Told):
        def scores(self, rows):
            return scores

    with pytest.raises(ValueError, match="scores of Wrong must be a finite non-negative number"):
        next(begun(Wrong(SIZES)).epoch())


# ---- how many ----


@pytest.mark.parametrize("pool_factor", [1, 2.5, 5, 1000])
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
@pytest.mark.parametrize("pool", [40, N])
def test_an_epoch_has_as_many_draws_as_rows(pool_factor, batch_size, pool, monkeypatch):
    monkeypatch.setattr(_draws, "POOL", pool)
    sampler = Told(SIZES)
    draws = begun(sampler, pool_factor=pool_factor, batch_size=batch_size)
    sizes = [len(drawn.rows) for drawn in run(draws, SIZES, 1)]
    assert sum(sizes) == N
    assert all(n % batch_size == 0 for n in sizes[:-1])
    most = max(batch_size, pool / pool_factor)
    assert all(n <= most for n in sizes)
    assert [len(rows) for rows, _, _ in sampler.noted] == sizes
    assert draws.n_drawn == draws.n_by_scores == N


@pytest.mark.parametrize("subsample", [0.01, 0.3, 0.5, 1])
@pytest.mark.parametrize("warmup", [0, 6])
def test_an_epoch_draws_a_subsample_by_scores(subsample, warmup):
    """Of what uniform draws have left of it."""
    draws = begun(Told(SIZES), subsample=subsample, warmup=warmup, batch_size=4)
    taken = run(draws, SIZES, 1)
    n_uniform = sum(len(d.rows) for d in taken if d.ratio is None)
    assert (n_uniform > 0) == (warmup > 0)
    assert draws.n_by_scores == max(1, round((N - n_uniform) * subsample))
    spans = np.array([d.span for d in taken])
    assert_allclose(spans[1:, 0], spans[:-1, 1], rtol=1e-12)
    assert spans[0, 0] == 0 and spans[-1, 1] == 1
    shares = [len(d.rows) / (subsample if d.ratio is not None else 1) / N for d in taken[:-1]]
    assert_allclose(np.diff(spans[:-1], axis=1)[:, 0], shares, rtol=1e-9)


@pytest.mark.parametrize("n, subsample", [(4825, 1), (6160, 1), (649, 0.37), (1000, 0.07)])
def test_rounding_makes_no_draws_too_many_and_no_empty_ones(n, subsample):
    """Where an epoch stands is a fraction, which may be hardly less than it should be."""
    ones = np.ones(n, dtype=np.float32)
    settings = {"subsample": subsample, "batch_size": 64 if subsample == 1 else 10}
    sizes = [len(d.rows) for d in run(begun(Told(ones), ones, **settings), ones, 1)]
    assert sum(sizes) == round(n * subsample)
    draws = begun(Told(ones), ones, **settings, min_gain=0.5)
    draws.gain.note(ones, ones, False)
    for number, drawn in enumerate(draws.epoch(), start=1):
        assert len(drawn.rows) > 0
        if number == len(sizes) - 1:  # what is left is drawn uniformly
            draws.gain.uniform = 0.0


def test_a_subsample_is_unbiased():
    draws = begun(Told(SIZES), WEIGHTS["weighted"], subsample=0.2, batch_size=4)
    assert_unbiased(draws, WEIGHTS["weighted"], VALUES, n_sets=1000)


def test_uniform_epochs_take_each_row_once():
    sampler = Told(SIZES)
    draws = begun(sampler, batch_size=2, warmup=10**6)
    for seed_epoch in range(2):
        taken = run(draws, SIZES, 1)
        assert_array_equal(np.sort(np.concatenate([d.rows for d in taken])), np.arange(N))
        assert all(len(d.rows) <= 2 * PROBE_BATCHES and d.ratio is None for d in taken)
        assert draws.n_drawn == (seed_epoch + 1) * N
    assert draws.n_by_scores == 0
