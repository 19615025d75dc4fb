"""What draws by scores gain, and that they are made where it pays."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from row_draws import (
    RNG,
    SIZES,
    WEIGHTS,
    N,
    Told,
    begun,
    run,
)

from sklsh.row_sampling._draws import (
    HOPELESS,
    LEARNING,
    PROBE_PERIOD,
    RAREST_PROBE,
    RUN,
    Gain,
)


def test_the_gain_is_the_ratio_of_second_moments():
    counts = RNG.integers(1, 4, N)
    ratio, weighted = counts / counts.mean(), SIZES * WEIGHTS["weighted"]
    wanted = (weighted**2).mean() / (weighted**2 / ratio).mean()
    uniform, by_scores, both = Gain(), Gain(), Gain()
    drawn = np.repeat(np.arange(N), counts)  # as often as expected
    for _ in range(3):
        uniform.note(weighted, ratio, False)
        by_scores.note(weighted[drawn], ratio[drawn], True)
    both.note(weighted, ratio, False)
    both.note(weighted[drawn], ratio[drawn], True)
    for gain in (uniform, by_scores, both):
        assert_allclose(gain.value, wanted, rtol=1e-6)


def test_the_gain_is_largest_by_the_sizes_themselves():
    value = {}
    for name, scores in [("own", SIZES), ("root", SIZES**0.5), ("none", np.ones(N))]:
        gain = Gain()
        gain.note(SIZES, scores / scores.mean(), False)
        value[name] = gain.value
    assert_allclose(value["own"], (SIZES**2).mean() / SIZES.mean() ** 2)
    assert value["own"] > value["root"] > value["none"] == 1


def test_nothing_is_known_at_first_and_of_zeros():
    gain = Gain()
    assert np.isnan(gain.value)
    gain.note(np.zeros(5), np.ones(5), True)
    assert np.isnan(gain.value)


def test_later_gains_count_more():
    gain = Gain()
    for ratio in (np.ones(N), SIZES / SIZES.mean()):
        for _ in range(20):
            gain.note(SIZES, ratio, False)
    assert_allclose(gain.value, (SIZES**2).mean() / SIZES.mean() ** 2, rtol=1e-4)


@pytest.mark.parametrize("scores", [RNG.permutation(SIZES), np.ones(N)], ids=["random", "equal"])
def test_scores_that_tell_nothing_are_not_drawn_by(scores):
    draws = begun(Told(scores), min_gain=1.2, warmup=2, batch_size=4)
    run(draws, np.ones(N), 20)
    assert draws.n_by_scores == 0
    assert draws.gain.value < 1.001


def test_scores_that_tell_are_drawn_by_after_the_warmup():
    draws = begun(Told(SIZES), min_gain=1.2, warmup=100, batch_size=4)
    taken = run(draws, SIZES, 10)
    by_scores = np.repeat([d.ratio is not None for d in taken], [len(d.rows) for d in taken])
    assert not by_scores[:400].any()
    assert by_scores[600:].all()
    assert draws.n_by_scores == by_scores.sum()
    assert draws.gain.value > 1.2


@pytest.mark.parametrize(
    "cost, learning, pays", [(0, 0, True), (0.08, 0, True), (0.02, 0.3, True), (0.2, 0.3, False)]
)
def test_what_scores_cost_they_have_to_gain(cost, learning, pays):
    """The least gain times the square of 1 + 5 cost + learning."""
    draws = begun(Told(SIZES, cost, learning), min_gain=1.2, warmup=2)
    run(draws, SIZES, 10)
    assert (draws.n_by_scores > 0) == pays
    assert (draws.gain.value > 1.2 * (1 + 5 * cost + learning) ** 2) == pays


@pytest.mark.parametrize(
    "sizes, learning, share",
    [(SIZES, 0.06, 1), (SIZES, 0.5, LEARNING / 0.5), (np.ones(N), 0.5, HOPELESS / 0.5)],
    ids=["cheap", "promising", "hopeless"],
)
def test_what_costs_much_is_learnt_of_few_uniform_batches(sizes, learning, share):
    """So that it takes that share of the steps, in draws of any number of batches."""
    sampler, batch_size, n_epochs = Told(sizes, learning=learning), 3, 8
    draws = begun(sampler, min_gain=1.2, warmup=10**6, batch_size=batch_size)
    run(draws, sizes, n_epochs)
    learnt = np.concatenate([rows for rows, _, _ in sampler.noted])
    assert_allclose(len(learnt), share * n_epochs * N, atol=RUN * batch_size)
    for rows, seen, _ in sampler.noted:
        np.testing.assert_array_equal(seen.scores, sizes[rows])
    assert draws.n_drawn == n_epochs * N


def test_scores_that_stop_telling_are_left_and_asked_again():
    sampler, batch_size = Told(SIZES), 2
    draws = begun(sampler, min_gain=1.2, warmup=2, batch_size=batch_size)
    run(draws, SIZES, 5)
    n_told = draws.n_by_scores
    assert n_told > 0
    run(draws, np.ones(N), 5 * PROBE_PERIOD)  # all rows teach alike now
    n_alike = draws.n_by_scores
    run(draws, np.ones(N), 5 * PROBE_PERIOD)
    assert draws.n_by_scores == n_alike
    n_noted = len(sampler.noted)
    taken = run(draws, np.ones(N), 3 * RAREST_PROBE)  # one an epoch, or more
    assert_allclose(len(sampler.noted) - n_noted, len(taken) / RAREST_PROBE, atol=1)
    run(draws, SIZES, 5 * RAREST_PROBE)
    assert draws.n_by_scores > n_alike


def test_a_min_gain_of_zero_asks_nothing():
    draws = begun(Told(RNG.permutation(SIZES), cost=100), min_gain=0)
    run(draws, np.ones(N), 2)
    assert draws.n_by_scores == draws.n_drawn == 2 * N


class Forgetful(Told):
    """Knows of no score until some are noted, and after each `begin`."""

    def begin(self, data):
        super().begin(data)
        self.noted = []

    def scores(self, rows):
        return self.told[rows] if self.noted else None


@pytest.mark.parametrize("min_gain", [0, 1.2])
def test_what_is_not_known_after_the_warmup_is_noted_at_once(min_gain):
    """As by a table of scores in each chunk of a stream."""
    draws = begun(Forgetful(SIZES), min_gain=min_gain, batch_size=2)
    for chunk in range(3):
        draws.sampler.begin(None)
        taken = run(draws, SIZES, 2)
        by_scores = [d.ratio is not None for d in taken]
        assert not by_scores[0]
        assert all(by_scores[3:]), chunk
        assert sum(by_scores) > 0.9 * len(taken) - 3


def test_it_lets_go_of_the_rows():
    draws = begun(Told(SIZES))
    run(draws, SIZES, 1)
    draws.end()
    assert draws._weight is None and draws._generator is None and draws.sampler._data is None
