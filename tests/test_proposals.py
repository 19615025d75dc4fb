"""Negatives drawn from fixed laws: the laws, what a draw stands for, labels that look up."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._batches import as_batch
from sklsh._output import OutputLayer
from sklsh.negatives import LSH, Drawn, Proposal, RowLSH, RowUniform, UniformProposal
from sklsh.negatives._protocol import one_label_each

N_CLASSES, WIDTH = 600, 32
COUNTS = np.random.RandomState(0).zipf(1.7, N_CLASSES) % 1000 - 1
TABLES = {
    "width": WIDTH, "hash_family": "simhash", "n_bits": 5, "n_tables": 6, "bucket_size": 12,
    "rehash_every": 5, "rehash_growth": 1.0,
}  # fmt: skip
MIXTURES = [
    {"uniform": 1.0}, {"frequency": 1.0}, {"log_uniform": 1.0},
    {"frequency": 0.25, "log_uniform": 0.5, "uniform": 0.25},
]  # fmt: skip
each_mixture = pytest.mark.parametrize("shares", MIXTURES, ids=lambda s: "+".join(s))


def proposal(shares, power=0.75):
    made = Proposal(N_CLASSES, shares, power)
    made.note_labels(COUNTS)
    return made


def labels_of(*rows):
    """Batch of rows with these labels."""
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([*rows, []]).astype(np.int32)
    return as_batch(sp.csr_array((np.ones(len(ids)), ids, indptr), shape=(len(rows), N_CLASSES)))


def random_output():
    rng = np.random.RandomState(0)
    output = OutputLayer(N_CLASSES, WIDTH)
    output.weights[:] = 1.5 * rng.normal(size=(N_CLASSES, WIDTH)) / np.sqrt(WIDTH)
    output.bias[:] = rng.normal(size=N_CLASSES)
    return output


def random_hidden(n):
    return np.random.RandomState(1).normal(size=(n, WIDTH)).astype(np.float32)


# ---- laws ----


@pytest.mark.parametrize("power", [0, 0.5, 0.75, 1])
def test_frequency_law_is_a_power_of_what_was_counted_and_one_more(power):
    expected = (COUNTS + 1.0) ** power
    expected /= expected.sum()
    assert_allclose(proposal({"frequency": 1.0}, power).probabilities, expected, rtol=1e-12)


def test_counts_add_up_over_calls():
    twice, once = Proposal(N_CLASSES, {"frequency": 1.0}), Proposal(N_CLASSES, {"frequency": 1.0})
    twice.note_labels(COUNTS // 2)
    twice.note_labels(COUNTS - COUNTS // 2)
    once.note_labels(COUNTS)
    assert_array_equal(twice.probabilities, once.probabilities)


def test_log_uniform_law_goes_by_rank():
    q = proposal({"log_uniform": 1.0}).probabilities
    ranks = np.empty(N_CLASSES)
    ranks[sorted(range(N_CLASSES), key=lambda c: -COUNTS[c])] = np.arange(N_CLASSES)
    expected = np.log((ranks + 2) / (ranks + 1)) / np.log(N_CLASSES + 1)
    assert_allclose(q, expected, rtol=1e-9)
    assert q.sum() == pytest.approx(1)


def test_laws_are_uniform_before_anything_is_counted():
    for name in ("uniform", "frequency"):
        assert_allclose(Proposal(7, {name: 1.0}).probabilities, 1 / 7)


@each_mixture
def test_mixture_adds_laws_by_their_shares(shares):
    expected = sum(share * proposal({name: 1.0}).probabilities for name, share in shares.items())
    q = proposal(shares).probabilities
    assert_allclose(q, expected, rtol=1e-12)
    assert q.sum() == pytest.approx(1)
    assert q.min() > 0


# ---- draws ----


@each_mixture
@pytest.mark.parametrize("n_labels", [0, 40])
def test_weights_make_any_sum_unbiased(shares, n_labels):
    """Over thousands of draws, with and without classes that are there anyway."""
    sampler = Drawn(N_CLASSES, "head_tail", n_active=60, seed=3, proposal=proposal(shares))
    Y = labels_of(np.arange(n_labels) * 7)
    values = np.random.RandomState(2).gamma(0.5, size=N_CLASSES)
    sums = []
    for _ in range(3000):
        drawn = sampler.draw(None, Y, None)
        assert len(set(drawn.ids.tolist())) == len(drawn.ids) <= n_labels + 60
        assert_array_equal(drawn.weights[:n_labels], 1)
        sums.append(values[drawn.ids] @ drawn.weights)
    standard_error = np.std(sums) / np.sqrt(len(sums))
    assert 0 < standard_error < 0.05 * values.sum()
    assert abs(np.mean(sums) - values.sum()) < 3 * standard_error


@each_mixture
def test_a_class_stands_for_its_draws_over_those_expected(shares):
    made = proposal(shares)
    position, ids = np.zeros((2, N_CLASSES), np.int32)
    n, weights, share = made.extend(5, position, ids, 0, 400)
    drawn_often = weights * 400 * made.probabilities[ids[:n]]
    assert_allclose(drawn_often, np.rint(drawn_often), atol=1e-4)
    assert np.rint(drawn_often).sum() == 400  # nothing was held
    assert_allclose(share, 1 - (1 - made.probabilities[ids[:n]]) ** 400, rtol=1e-6)


@each_mixture
def test_share_is_how_often_a_class_is_drawn(shares):
    made, n_draws = proposal(shares), 3000
    position, ids = np.zeros((2, N_CLASSES), np.int32)
    seen, said = np.zeros(N_CLASSES), np.full(N_CLASSES, np.nan)
    for seed in range(n_draws):
        n, _, share = made.extend(seed << 32, position, ids, 0, 50)
        seen[ids[:n]] += 1
        said[ids[:n]] = share
    found = seen > 0
    error = np.sqrt(said * (1 - said) / n_draws)[found] + 1e-12
    z = (seen / n_draws - said)[found] / error
    assert abs(z).max() < 5
    assert np.mean(z**2) == pytest.approx(1, abs=0.3)


@each_mixture
@pytest.mark.parametrize("n_draws", [N_CLASSES, 10**15])
def test_as_many_draws_as_classes_take_all_once(shares, n_draws):
    position, ids = np.zeros((2, N_CLASSES), np.int32)
    ids[:2] = 7, 3
    n, weights, share = proposal(shares).extend(0, position, ids, 2, n_draws)
    assert_array_equal(ids[:2], [7, 3])
    assert_array_equal(np.sort(ids[:n]), np.arange(N_CLASSES))
    assert_array_equal(weights, np.ones(N_CLASSES - 2))
    assert_array_equal(share, np.ones(N_CLASSES))


def test_uniform_proposal_says_what_it_does():
    position, ids = np.zeros((2, N_CLASSES), np.int32)
    n, weight, share = UniformProposal(N_CLASSES).extend(1, position, ids, 0, 150)
    assert (n, weight, share) == (150, 4, 0.25)
    n, weight, share = UniformProposal(N_CLASSES).extend(1, position, ids, 100, 0)
    assert (n, share) == (100, 0)


@each_mixture
@pytest.mark.parametrize("correction", ["logq", "half_logq"])
def test_logq_shifts_by_the_share_of_steps_that_look(shares, correction):
    """Class 3 is a label of every step, class 5 of a part of them."""
    made = proposal(shares)
    sampler = Drawn(N_CLASSES, correction, n_active=60, seed=1, proposal=made)
    n_steps, seen = 3000, np.zeros(N_CLASSES)
    often = np.random.RandomState(0).rand(n_steps) < 0.3
    for also in np.r_[often, True]:  # the last step has both
        drawn = sampler.draw(None, labels_of([3, 5] if also else [3]), None)
        seen[drawn.ids] += 1
    measured = np.log(seen / (n_steps + 1))[drawn.ids]
    log_share = -drawn.shift
    if correction == "half_logq":
        log_share = 2 * log_share - measured[:2].mean()
    assert_allclose(log_share, measured, atol=5 / np.sqrt(seen[drawn.ids].min()))
    assert abs(np.mean((log_share - measured)[2:])) < 0.05
    assert_allclose(log_share[0], 0, atol=0.05)


@pytest.mark.parametrize("kind", [Drawn, LSH])
def test_head_tail_sum_of_the_softmax_is_unbiased(kind):
    output, hidden = random_output(), random_hidden(3)
    exp_logits = np.exp((output.weights @ hidden[0] + output.bias).astype(float))
    settings = TABLES if kind is LSH else {}
    made = proposal(MIXTURES[-1])
    sampler = kind(N_CLASSES, "head_tail", n_active=80, seed=0, proposal=made, **settings)
    Y, estimates = labels_of([1, 2], [], [9]), []
    for _ in range(3000):
        drawn = sampler.draw(hidden, Y, output)
        estimates.append(exp_logits[drawn.ids] @ drawn.weights)
        sampler.refresh(output, drawn.ids)
    assert (drawn.n_exact > 3) == (kind is LSH)
    standard_error = np.std(estimates) / np.sqrt(len(estimates))
    assert 0 < standard_error < 0.05 * exp_logits.sum()
    assert abs(np.mean(estimates) - exp_logits.sum()) < 3 * standard_error


@pytest.mark.parametrize("correction", ["none", "head_tail", "importance", "logq", "half_logq"])
@pytest.mark.parametrize("n_active", [1, 50, 5000])
def test_every_correction_leaves_finite_numbers(correction, n_active):
    output, hidden = random_output(), random_hidden(3)
    for settings in ({}, TABLES, TABLES | {"tail": 0.0}, TABLES | {"tail": 1.0}):
        kind, made = LSH if settings else Drawn, proposal(MIXTURES[-1])
        sampler = kind(N_CLASSES, correction, n_active=n_active, seed=0, proposal=made, **settings)
        for rows in ([[], [], []], [[1], [1], [1]], [[1, 2, 3], [], [4]]):
            drawn = sampler.draw(hidden, labels_of(*rows), output)
            assert np.isfinite(drawn.weights).all() and (drawn.weights > 0).all()
            assert np.isfinite(drawn.shift).all()
            assert_array_equal(drawn.ids[drawn.positions], np.concatenate(rows))
            assert len(np.unique(drawn.ids)) == len(drawn.ids) <= N_CLASSES


@pytest.mark.parametrize("kind", [RowUniform, RowLSH])
def test_importance_of_drawn_classes_is_head_tail(kind):
    output, hidden, Y = random_output(), random_hidden(2), labels_of([1, 2], [7])
    settings = TABLES if kind is RowLSH else {}
    first, second = (
        kind(N_CLASSES, c, n_active=50, seed=0, **settings).draw(hidden, Y, output)
        for c in ("importance", "head_tail")
    )
    assert_array_equal(first.weights, second.weights)
    assert first.weights.max() > 5


def test_pickled_sampler_draws_on_as_before():
    made = proposal(MIXTURES[-1])
    sampler = LSH(N_CLASSES, "logq", n_active=50, seed=0, proposal=made, **TABLES)
    output, hidden, Y = random_output(), random_hidden(2), labels_of([1, 2], [7])
    sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    again = pickle.loads(pickle.dumps(sampler))
    one, other = (s.draw(hidden, Y, output) for s in (sampler, again))
    for part in ("ids", "positions", "weights", "shift"):
        assert_array_equal(getattr(one, part), getattr(other, part))


# ---- labels that look up the tables ----


def clustered_output():
    """Thirty groups of twenty classes whose rows are near each other."""
    output, rng = OutputLayer(N_CLASSES, WIDTH), np.random.RandomState(0)
    centers = rng.normal(size=(30, WIDTH))
    output.weights[:] = np.repeat(centers, 20, axis=0) + 0.1 * rng.normal(size=(N_CLASSES, WIDTH))
    return output


def test_labels_find_the_classes_near_them():
    output, hidden = clustered_output(), random_hidden(2)
    sampler = LSH(
        N_CLASSES, "none", n_active=38, seed=0, tail=0.0, query="label",
        **(TABLES | {"bucket_size": 60, "n_bits": 11}),
    )  # fmt: skip
    drawn = sampler.draw(hidden, labels_of([45], [300]), output)
    near = np.r_[40:60, 300:320]
    assert np.isin(drawn.ids[: drawn.n_exact], near).mean() > 0.8


def test_labels_of_each_row_find_the_classes_near_them():
    output, hidden = clustered_output(), random_hidden(3)
    sampler = RowLSH(
        N_CLASSES, "none", n_active=19, seed=0, tail=0.0, query="label",
        **(TABLES | {"bucket_size": 60, "n_bits": 11}),
    )  # fmt: skip
    drawn = sampler.draw(hidden, labels_of([45], [], [300]), output)
    rows = np.split(drawn.ids, drawn.starts[1:-1])
    assert np.isin(rows[0], np.r_[40:60]).mean() > 0.8
    assert np.isin(rows[2], np.r_[300:320]).mean() > 0.8
    assert len(np.unique(rows[1] // 20)) > 5  # without a label only the tail is left


def test_rows_without_labels_ask_for_nothing():
    sampler = LSH(N_CLASSES, "none", n_active=38, seed=0, query="label", **TABLES)
    drawn = sampler.draw(random_hidden(3), labels_of([], [], []), random_output())
    assert (drawn.n_exact, len(drawn.ids)) == (0, 38)


def test_one_of_several_labels_asks_by_chance():
    Y = labels_of([3, 9, 4], [], [7], [1, 2])
    asked = np.array([one_label_each(Y, seed) for seed in range(2000)])
    assert_array_equal(asked[:, 1], -1)
    assert_array_equal(asked[:, 2], 7)
    for row, labels in ((0, [3, 9, 4]), (3, [1, 2])):
        for label in labels:
            assert np.mean(asked[:, row] == label) == pytest.approx(1 / len(labels), abs=0.05)
    assert_array_equal(one_label_each(labels_of([5], [8]), 3), [5, 8])
