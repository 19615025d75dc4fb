"""Tests of the samplers that choose which classes a step looks at."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._output import OutputLayer
from sklsh.negatives import LSH, Drawn, Full, InBatch
from sklsh.negatives._shared import asking_rows

N_CLASSES, WIDTH = 4000, 32
LABELS = np.array([7, 3, 3999, 7, 0, 3], dtype=np.int32)
SAMPLERS = ["lsh", "uniform", "in_batch", "full"]


def random_output(scale=1.0, n_classes=N_CLASSES):
    """Output layer of random weights."""
    rng = np.random.RandomState(0)
    output = OutputLayer(n_classes, WIDTH)
    output.weights[:] = scale * rng.normal(size=(n_classes, WIDTH)) / np.sqrt(WIDTH)
    output.bias[:] = scale * rng.normal(size=n_classes)
    return output


def random_hidden(n=6):
    return np.random.RandomState(1).normal(size=(n, WIDTH)).astype(np.float32)


def batch(labels):
    """Labels of one row; all that a shared draw needs to know."""
    return SimpleNamespace(indices=labels, indptr=np.array([0, len(labels)], dtype=np.int32))


def make(name, n_active=400, correction="none", n_classes=N_CLASSES, **lsh):
    drawn = {"n_active": n_active, "seed": 0}
    if name == "full":
        return Full(n_classes)
    if name == "in_batch":
        return InBatch(n_classes, correction)
    if name == "uniform":
        return Drawn(n_classes, correction, **drawn)
    tables = {"hash_family": "simhash", "n_bits": "auto", "n_tables": 8, "bucket_size": 6}
    period = {"rehash_every": 10, "rehash_growth": 1.5}
    return LSH(n_classes, correction, width=WIDTH, **(drawn | tables | period | lsh))


@pytest.mark.parametrize("name", SAMPLERS)
def test_draw_is_distinct_and_finds_every_label(name, simd_level):
    sampler, output = make(name), random_output()
    for _ in range(5):
        drawn = sampler.draw(random_hidden(), batch(LABELS), output)
        assert len(np.unique(drawn.ids)) == len(drawn.ids)
        assert 0 <= drawn.ids.min() and drawn.ids.max() < N_CLASSES
        assert drawn.ids.dtype == drawn.positions.dtype == np.int32
        assert_array_equal(drawn.ids[drawn.positions], LABELS)
        sampler.refresh(output, drawn.ids)


@pytest.mark.parametrize("name", ["lsh", "uniform", "in_batch"])
def test_labels_come_first(name):
    drawn = make(name).draw(random_hidden(), batch(LABELS), random_output())
    assert_array_equal(drawn.ids[:4], [7, 3, 3999, 0])
    assert drawn.n_exact >= 4


@pytest.mark.parametrize(
    ["name", "n_ids"], [("lsh", 404), ("uniform", 404), ("in_batch", 4), ("full", N_CLASSES)]
)
def test_number_of_classes_is_labels_and_n_active(name, n_ids):
    assert len(make(name).draw(random_hidden(), batch(LABELS), random_output()).ids) == n_ids


@pytest.mark.parametrize("name", ["lsh", "uniform"])
@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
def test_head_tail_weighs_a_draw_by_how_many_classes_it_stands_for(name, correction):
    drawn = make(name, correction=correction).draw(random_hidden(), batch(LABELS), random_output())
    n_tail = len(drawn.ids) - drawn.n_exact
    weight = (N_CLASSES - drawn.n_exact) / n_tail if correction == "head_tail" else 1
    expected = np.repeat([1, weight], [drawn.n_exact, n_tail])
    assert_allclose(drawn.weights, expected, rtol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("correction", ["none", "head_tail"])
def test_logits_are_not_shifted_without_logq(name, correction):
    drawn = make(name, correction=correction).draw(random_hidden(), batch(LABELS), random_output())
    assert_array_equal(drawn.shift, np.zeros(len(drawn.ids), dtype=np.float32))


def test_logq_shifts_by_the_log_of_the_share_of_draws():
    sampler, n_draws = make("uniform", n_active=30, correction="logq", n_classes=300), 4000
    sometimes = np.random.RandomState(0).rand(n_draws) < 0.2
    seen = np.zeros(300)
    for often in sometimes:
        drawn = sampler.draw(None, batch(LABELS[[0, 1]] if often else LABELS[:1]), None)
        seen[drawn.ids] += 1
    shift = dict(zip(drawn.ids.tolist(), drawn.shift, strict=True))
    assert shift[7] == 0  # in every draw
    assert {7} < shift.keys()
    for c in shift:
        error = 4 / np.sqrt(seen[c])  # of the logarithm of a count
        assert shift[c] == pytest.approx(-np.log(seen[c] / n_draws), abs=error)


@pytest.mark.parametrize("name", ["lsh", "uniform", "in_batch"])
def test_half_logq_takes_half_of_a_class_and_half_of_the_mean_label(name):
    whole, half = (make(name, correction=c) for c in ("logq", "half_logq"))
    for rows in ([0], [0, 1], [1], [0, 0, 1]):
        Y = batch(LABELS[rows])
        full = whole.draw(random_hidden(len(rows)), Y, random_output())
        drawn = half.draw(random_hidden(len(rows)), Y, random_output())
        assert_array_equal(drawn.ids, full.ids)
        level = full.shift[full.positions].mean()
        assert_allclose(drawn.shift, (full.shift + level) / 2, atol=1e-6)


def test_half_logq_without_labels_takes_half_of_a_class():
    drawn, full = (
        make("uniform", correction=c).draw(random_hidden(), batch(LABELS[:0]), random_output())
        for c in ("half_logq", "logq")
    )
    assert_allclose(drawn.shift, full.shift / 2, atol=1e-6)


@pytest.mark.parametrize(["name", "tail"], [("in_batch", 0), ("uniform", 30)])
def test_inclusion_counts_exact_draws_and_knows_the_share_of_the_tail(name, tail):
    sampler, n_draws = make(name, n_active=tail, correction="logq", n_classes=300), 50
    for step in range(n_draws):
        sampler.draw(None, batch(LABELS[[0, 1]] if step % 10 < 3 else LABELS[:1]), None)
    share = np.mean([tail / (299 - (step % 10 < 3)) for step in range(n_draws)])
    by_chance = max(share, 1 / 300)  # no class is taken to be out of reach
    expected = [1, 0.3 + 0.7 * by_chance, by_chance]
    assert_allclose(sampler._inclusion.share([7, 3, 100]), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["lsh", "uniform"])
def test_draws_differ_between_steps_and_repeat_between_samplers(name):
    first, second = make(name), make(name)
    draws = [
        [s.draw(random_hidden(), batch(LABELS), random_output()).ids for _ in range(2)]
        for s in (first, second)
    ]
    assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_uniform_draws_every_other_class_equally_often():
    sampler, n_draws = make("uniform", n_active=20, n_classes=100), 3000
    tails = [sampler.draw(None, batch(LABELS[[0, 1]]), None).ids[2:] for _ in range(n_draws)]
    counts = np.bincount(np.concatenate(tails), minlength=100)
    share = 20 / 98
    deviation = (np.delete(counts, [3, 7]) - n_draws * share) / np.sqrt(n_draws * share)
    assert_array_equal(counts[[3, 7]], 0)
    assert abs(deviation).max() < 4


@pytest.mark.parametrize("name", ["lsh", "uniform"])
def test_head_tail_estimate_of_the_partition_function_is_unbiased(name):
    output, hidden = random_output(scale=1.5), random_hidden(1)
    exp_logits = np.exp((output.weights @ hidden[0] + output.bias).astype(np.float64))
    sampler, labels = make(name, 100, "head_tail"), LABELS[:1]
    estimates = []
    for _ in range(3000):
        drawn = sampler.draw(hidden, batch(labels), output)
        estimates.append(exp_logits[drawn.ids] @ drawn.weights)
    standard_error = np.std(estimates) / np.sqrt(len(estimates))
    assert 0 < standard_error < 0.05 * exp_logits.sum()
    assert abs(np.mean(estimates) - exp_logits.sum()) < 4 * standard_error


def test_retrieval_lowers_the_variance_of_the_estimate():
    output, hidden = random_output(scale=1.5), random_hidden(1)
    output.weights[:50] = hidden[0] / 4  # few classes carry the sum
    exp_logits = np.exp((output.weights @ hidden[0] + output.bias).astype(np.float64))
    spread = {}
    for name in ("lsh", "uniform"):
        sampler = make(name, 200, "head_tail")
        draws = [sampler.draw(hidden, batch(LABELS), output) for _ in range(300)]
        spread[name] = np.std([exp_logits[d.ids] @ d.weights for d in draws])
    assert spread["lsh"] < 0.7 * spread["uniform"]


@pytest.mark.parametrize("name", ["lsh", "uniform"])
@pytest.mark.parametrize("n_active", [3100, N_CLASSES, 10 * N_CLASSES])
def test_nearly_all_classes_become_all(name, n_active):
    drawn = make(name, n_active, "head_tail").draw(random_hidden(), batch(LABELS), random_output())
    assert_array_equal(np.sort(drawn.ids), np.arange(N_CLASSES))
    assert_array_equal(drawn.weights, 1)
    assert_array_equal(drawn.ids[drawn.positions], LABELS)


@pytest.mark.parametrize("empty", ["output", "hidden"])
def test_lsh_without_directions_is_uniform(empty):
    output, hidden = random_output(), random_hidden()
    (output.weights if empty == "output" else hidden)[:] = 0
    sampler = make("lsh")
    drawn = sampler.draw(hidden, batch(LABELS), output)
    assert (drawn.n_exact, len(drawn.ids)) == (4, 404)
    assert sampler.tables.mean_load == (0 if empty == "output" else pytest.approx(8, rel=0.1))


@pytest.mark.parametrize("name", SAMPLERS)
def test_batches_without_labels_can_be_drawn_for(name):
    drawn = make(name).draw(random_hidden(), batch(LABELS[:0]), random_output())
    assert len(drawn.positions) == 0
    assert len(drawn.ids) == {"full": N_CLASSES, "in_batch": 0}.get(name, 400)


def test_lsh_retrieves_the_classes_of_largest_logit(simd_level, n_threads):
    output = random_output()
    output.bias[:] = 0
    best = np.arange(100, 3100, 30)
    noise = 0.03 * np.random.RandomState(2).normal(size=(len(best), WIDTH))
    hidden = (output.weights[best] + noise).astype(np.float32)
    sampler = make("lsh")
    sampler.prepare(n_threads)
    drawn = [sampler.draw(hidden[i : i + 1], batch(LABELS), output) for i in range(len(best))]
    found = [c in d.ids[4 : d.n_exact] for c, d in zip(best, drawn, strict=True)]
    assert np.mean(found) > 0.95


def test_lsh_spreads_what_the_rows_find_over_them():
    """Rows alike find the same classes, each of which counts for the first row alone."""
    output, hidden = random_output(), np.repeat(random_hidden(1), 8, axis=0)
    one, many = (make("lsh").draw(h, batch(LABELS), output) for h in (hidden[:1], hidden))
    assert_array_equal(one.ids[: one.n_exact], many.ids[: many.n_exact])


def test_changed_rows_are_hashed_again_when_the_period_is_over():
    sampler, output, hidden = make("lsh", bucket_size=20), random_output(), random_hidden()
    sampler.draw(hidden, batch(LABELS), output)
    moved, kept = sampler.tables.tables.codes[[50, 60]].copy()
    output.weights[50] = 10 * hidden[2]
    output.weights[60] = 10 * hidden[4]  # but nobody says that it changed
    for step in range(10):
        assert_array_equal(sampler.tables.tables.codes[50], moved, err_msg=f"step {step}")
        sampler.refresh(output, np.array([50], dtype=np.int32))
        drawn = sampler.draw(hidden, batch(LABELS), output)
    assert 50 in drawn.ids[: drawn.n_exact]
    assert_array_equal(sampler.tables.tables.codes[50], sampler.tables.hasher.codes(hidden)[2])
    assert_array_equal(sampler.tables.tables.codes[60], kept)


@pytest.mark.parametrize(["growth", "expected"], [(1.5, [10, 15, 22, 34]), (1, [10, 10, 10, 10])])
def test_period_grows_with_each_rehash(growth, expected, monkeypatch):
    sampler, output = make("lsh", rehash_growth=growth), random_output()
    rehashed, rehash = [], sampler.tables.rehash
    monkeypatch.setattr(sampler.tables, "rehash", lambda *a: rehashed.append(step) or rehash(*a))
    for step in range(sum(expected) + 1):  # noqa: B007, read by the lambda
        sampler.draw(random_hidden(1), batch(LABELS), output)
        sampler.refresh(output, LABELS)
    assert_array_equal(np.diff(rehashed), expected)


def test_ranking_goes_by_rows_of_at_most_three_batches_ago():
    sampler = make("lsh", n_active=2000, rehash_every=100)
    output, hidden = random_output(), random_hidden(1)
    output.weights[50] = 10 * hidden[0]
    for step in range(3):
        drawn = sampler.draw(hidden, batch(LABELS), output)
        assert drawn.ids[4] == 50, f"step {step}"
        output.bias[50] = -1000
        sampler.refresh(output, np.array([50], dtype=np.int32))
    drawn = sampler.draw(hidden, batch(LABELS), output)
    assert 50 in drawn.ids[5 : drawn.n_exact]  # still in its buckets


def test_codes_of_rows_count_as_tables_and_are_forgotten_with_them():
    sampler, output, hidden = make("lsh"), random_output(), random_hidden()
    assert sampler.table_bytes == 0
    sampler.draw(hidden, batch(LABELS), output)
    assert sampler.table_bytes == sampler.tables.nbytes + N_CLASSES * (64 + 8)
    fresh = sampler.without_tables()
    assert fresh.table_bytes == 0
    fresh.draw(hidden, batch(LABELS), output)
    assert fresh.table_bytes == sampler.table_bytes


def test_a_pickled_sampler_draws_as_the_one_it_was_made_from():
    sampler, output, hidden = make("lsh"), random_output(), random_hidden()
    sampler.refresh(output, sampler.draw(hidden, batch(LABELS), output).ids)
    output.weights[:] = output.weights[::-1].copy()  # its tables and codes are of older rows
    again = pickle.loads(pickle.dumps(sampler))
    one, other = (s.draw(hidden, batch(LABELS), output) for s in (sampler, again))
    assert_array_equal(one.ids, other.ids)


@pytest.mark.parametrize(
    ["n", "n_retrieved", "rows"],
    [(6, 300, range(6)), (8, 40, [0, 2, 4, 6]), (5, 21, [0, 1, 3]), (7, 0, []), (0, 9, [])],
)
def test_rows_that_ask_are_spread_over_the_batch(n, n_retrieved, rows):
    hidden = random_hidden(n)
    assert_array_equal(asking_rows(len(hidden), n_retrieved), list(rows))


def test_without_a_retrieved_share_lsh_is_uniform():
    lsh, uniform = make("lsh", tail=1.0), make("uniform")
    output, hidden = random_output(), random_hidden()
    drawn = [s.draw(hidden, batch(LABELS), output) for s in (lsh, uniform)]
    assert_array_equal(drawn[0].ids, drawn[1].ids)
