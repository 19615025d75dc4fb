"""Samplers that draw for each row its own classes: sets, corrections, hash tables."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._batches import as_batch
from sklsh._output import OutputLayer
from sklsh.negatives import RowLSH, RowUniform

N_CLASSES, WIDTH, N_ROWS = 3000, 32, 12
BOTH = pytest.mark.parametrize("name", ["lsh", "uniform"])


def random_output(scale=1.0):
    """Output layer of random weights."""
    rng = np.random.RandomState(0)
    output = OutputLayer(N_CLASSES, WIDTH)
    output.weights[:] = scale * rng.normal(size=(N_CLASSES, WIDTH)) / np.sqrt(WIDTH)
    output.bias[:] = scale * rng.normal(size=N_CLASSES)
    return output


def random_hidden(n=N_ROWS):
    return np.random.RandomState(1).normal(size=(n, WIDTH)).astype(np.float32)


def batch(n=N_ROWS, most=4, seed=2):
    """Up to `most` labels a row; rows 0, 5, 10 have none."""
    rng = np.random.RandomState(seed)
    rows = [rng.permutation(N_CLASSES)[: rng.randint(1, most + 1) * (i % 5 > 0)] for i in range(n)]
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([*rows, []]).astype(np.int32)
    Y = sp.csr_array((np.ones(len(ids)), ids, indptr), shape=(n, N_CLASSES))
    return as_batch(Y)


def make(name, n_active=200, correction="none", n_threads=1, **settings):
    drawn = {"n_active": n_active, "seed": 0}
    tables = {
        "width": WIDTH, "hash_family": "simhash", "n_bits": "auto", "n_tables": 8,
        "bucket_size": 6, "rehash_every": 10, "rehash_growth": 1.5,
    }  # fmt: skip
    if name == "uniform":
        sampler = RowUniform(N_CLASSES, correction, **drawn)
    else:
        sampler = RowLSH(N_CLASSES, correction, **(drawn | tables | settings))
    sampler.prepare(n_threads)
    return sampler


def sets(drawn):
    return np.split(drawn.ids, drawn.starts[1:-1])


def assert_same_draw(first, second):
    for part in ("starts", "ids", "positions", "weights", "shift"):
        assert_array_equal(getattr(first, part), getattr(second, part))


@BOTH
def test_rows_begin_with_their_labels_and_hold_nothing_twice(name, n_threads):
    sampler, output, Y = make(name, n_threads=n_threads), random_output(), batch()
    for _ in range(5):
        drawn = sampler.draw(random_hidden(), Y, output)
        assert drawn.starts.dtype == drawn.ids.dtype == drawn.positions.dtype == np.int32
        for i, ids in enumerate(sets(drawn)):
            labels = slice(Y.indptr[i], Y.indptr[i + 1])
            n_labels = labels.stop - labels.start
            assert len(np.unique(ids)) == len(ids) == n_labels + 200
            assert 0 <= ids.min() and ids.max() < N_CLASSES
            assert_array_equal(ids[drawn.positions[labels]], Y.indices[labels])
            assert_array_equal(drawn.positions[labels], np.arange(n_labels))
        assert drawn.per_row == 200 + len(Y.indices) / N_ROWS
        sampler.refresh(output, drawn.ids)


def test_what_is_retrieved_shares_a_bucket_and_leaves_room_for_the_tail():
    sampler, output = make("lsh", bucket_size=40, n_tables=20), random_output()
    hidden = random_hidden()
    drawn = sampler.draw(hidden, batch(most=1), output)
    codes, stored = sampler.tables.codes(hidden, 1), sampler.tables.tables.codes
    for i, ids in enumerate(sets(drawn)):
        shared = (stored[ids] == codes[i]).any(axis=1)
        n_labels = len(ids) - 200
        assert shared[n_labels : n_labels + 150].all()  # three quarters
        assert shared[n_labels + 150 :].mean() < 0.5


def test_retrieved_classes_have_large_logits():
    sampler, output, hidden = make("lsh"), random_output(), random_hidden()
    drawn = sampler.draw(hidden, batch(most=1), output)
    logits = hidden @ output.weights.T
    standard = (logits - logits.mean(axis=1, keepdims=True)) / logits.std(axis=1, keepdims=True)
    first = [standard[i, ids[len(ids) - 200 :][:15]].mean() for i, ids in enumerate(sets(drawn))]
    assert np.mean(first) > 0.5  # 15 of the 40 or so that were retrieved


@BOTH
def test_draws_differ_between_steps_and_repeat_between_samplers(name):
    output, hidden, Y = random_output(), random_hidden(), batch()
    first, second = make(name), make(name, n_threads=2)
    draws = [sampler.draw(hidden, Y, output) for sampler in (first, second) for _ in range(2)]
    assert_same_draw(draws[0], draws[2])
    assert_same_draw(draws[1], draws[3])
    assert not np.array_equal(draws[0].ids, draws[1].ids)


@BOTH
@pytest.mark.parametrize("way", ["pickle", "memory map"])
def test_a_stored_sampler_goes_on(name, way, tmp_path):
    output, hidden, Y = random_output(), random_hidden(), batch()
    sampler = make(name, correction="logq")
    for _ in range(3):
        sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    if way == "pickle":
        stored = pickle.loads(pickle.dumps(sampler))
    else:
        joblib.dump(sampler, tmp_path / "sampler")
        stored = joblib.load(tmp_path / "sampler", mmap_mode="r")
    stored.prepare(1)
    for _ in range(10):  # past the next rehash
        first, second = (s.draw(hidden, Y, output) for s in (sampler, stored))
        assert_same_draw(first, second)
        sampler.refresh(output, first.ids)
        stored.refresh(output, second.ids)


@BOTH
@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
def test_weights_are_one_but_for_the_tail_of_head_tail(name, correction):
    sampler, output, hidden, Y = (
        make(name, 50, correction),
        random_output(),
        random_hidden(),
        batch(),
    )
    drawn = sampler.draw(hidden, Y, output)
    if correction != "head_tail":
        assert_array_equal(drawn.weights, 1)
        return
    for ids, weights in zip(sets(drawn), np.split(drawn.weights, drawn.starts[1:-1]), strict=True):
        tail = weights != 1
        n_exact = int(np.argmax(tail))
        assert not tail[:n_exact].any() and tail[n_exact:].all()
        assert_allclose(weights[tail], (N_CLASSES - n_exact) / (len(ids) - n_exact), rtol=1e-6)
        assert_allclose(weights.sum(), N_CLASSES, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("correction", ["none", "head_tail"])
def test_logits_are_not_shifted_without_logq(name, correction):
    drawn = make(name, correction=correction).draw(random_hidden(), batch(), random_output())
    assert_array_equal(drawn.shift, np.zeros(len(drawn.ids), dtype=np.float32))


@BOTH
def test_head_tail_estimate_of_the_partition_function_is_unbiased(name):
    """For each row by itself."""
    output, hidden, Y = random_output(scale=1.5), random_hidden(), batch()
    exp_logits = np.exp((hidden @ output.weights.T + output.bias).astype(np.float64))
    sampler = make(name, 100, "head_tail")
    rows = np.repeat(np.arange(N_ROWS), 100 + np.diff(Y.indptr))
    estimates = []
    for _ in range(2000):
        drawn = sampler.draw(hidden, Y, output)
        estimates.append(np.bincount(rows, exp_logits[rows, drawn.ids] * drawn.weights))
    exact = exp_logits.sum(axis=1)
    standard_error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert (0 < standard_error).all() and (standard_error < 0.05 * exact).all()
    assert (np.abs(np.mean(estimates, axis=0) - exact) < 4 * standard_error).all()


def test_logq_of_uniform_draws_is_the_same_for_all_classes():
    """However often a class is a label: in rows that do not have it, it is drawn as any other."""
    sampler, output, hidden = make("uniform", 100, "logq"), random_output(), random_hidden()
    popular = as_batch(sp.csr_array(np.eye(1, N_CLASSES).repeat(N_ROWS, axis=0)))
    for _ in range(20):
        drawn = sampler.draw(hidden, popular, output)
        assert_allclose(drawn.shift, -np.log(100 / (N_CLASSES - 1)), rtol=1e-5)


def test_logq_shifts_by_the_log_of_the_share_of_rows_that_look():
    """Rows that have the class as a label do not count as looking."""
    sampler, output, hidden = make("lsh", 100, "logq"), random_output(), random_hidden()
    Y, looked_at, n_draws = batch(most=1), np.zeros(N_CLASSES), 400
    for _ in range(n_draws):
        drawn = sampler.draw(hidden, Y, output)
        np.add.at(looked_at, drawn.ids, 1)
        is_label = drawn.starts[:-1][np.diff(Y.indptr) > 0]
        np.add.at(looked_at, drawn.ids[is_label], -1)
    share = looked_at / (n_draws * N_ROWS)
    shift = np.full(N_CLASSES, np.nan)
    shift[drawn.ids] = drawn.shift
    retrieved = np.flatnonzero((shift < 0.8 * np.nanmax(shift)) & (share > 0))
    assert len(retrieved) > 100
    error = 5 / np.sqrt(looked_at[retrieved])  # of the logarithm of a count
    assert (np.abs(shift[retrieved] + np.log(share[retrieved])) < error).all()


def test_logq_of_a_frequent_label_is_that_of_the_rows_without_it():
    """Class 7 is a label of every other row, and is retrieved by all the others."""
    sampler, output = make("lsh", 100, "logq"), random_output()
    hidden = np.tile(output.weights[7], (N_ROWS, 1))
    indptr = np.repeat(np.arange(N_ROWS // 2 + 1), 2)[1:].astype(np.int32)
    Y = as_batch(sp.csr_array((np.ones(N_ROWS // 2), [7] * (N_ROWS // 2), indptr),
                              shape=(N_ROWS, N_CLASSES)))  # fmt: skip
    for _ in range(20):
        drawn = sampler.draw(hidden, Y, output)
    shift = drawn.shift[drawn.ids == 7]
    assert len(shift) == N_ROWS
    assert_allclose(shift, 0, atol=1e-6)


def test_sets_too_large_for_a_step_are_refused(monkeypatch):
    monkeypatch.setattr("sklsh.negatives._per_row.INT32_MAX", 1000)
    with pytest.raises(ValueError, match="batch_size=12 rows with n_active=200 .* lower one"):
        make("uniform").draw(random_hidden(), batch(), random_output())


@BOTH
def test_sets_of_all_classes_are_all_classes(name):
    sampler = make(name, N_CLASSES, "head_tail")
    drawn = sampler.draw(random_hidden(2), batch(2), random_output())
    for ids in sets(drawn):
        assert_array_equal(np.sort(ids), np.arange(N_CLASSES))
    assert_array_equal(drawn.weights, 1)


@pytest.mark.parametrize("empty", ["output", "hidden"])
def test_lsh_without_directions_is_uniform(empty):
    output, hidden, Y = random_output(), random_hidden(), batch()
    (output.weights if empty == "output" else hidden)[:] = 0
    drawn = make("lsh", correction="head_tail").draw(hidden, Y, output)
    assert_array_equal(np.diff(drawn.starts), 200 + np.diff(Y.indptr))
    assert (drawn.weights == 1).sum() == len(Y.indices)


@BOTH
def test_rows_without_labels_can_be_drawn_for(name):
    Y = as_batch(sp.csr_array((N_ROWS, N_CLASSES)))
    drawn = make(name, correction="logq").draw(random_hidden(), Y, random_output())
    assert len(drawn.positions) == 0
    assert drawn.per_row == 200
    assert np.isfinite(drawn.shift).all()


@BOTH
@pytest.mark.parametrize("label", [-1, N_CLASSES])
def test_labels_out_of_range_are_refused(name, label):
    Y = batch()
    Y.indices[2] = label
    with pytest.raises(ValueError, match=rf"labels must lie in \[0, {N_CLASSES}\)"):
        make(name).draw(random_hidden(), Y, random_output())


def test_changed_rows_are_hashed_again_when_the_period_is_over():
    sampler, output, hidden, Y = make("lsh"), random_output(), random_hidden(), batch()
    sampler.draw(hidden, Y, output)
    moved, kept = sampler.tables.tables.codes[[50, 60]].copy()
    output.weights[50] = 10 * hidden[2]
    output.weights[60] = 10 * hidden[3]  # but nobody says that it changed
    for step in range(10):
        assert_array_equal(sampler.tables.tables.codes[50], moved, err_msg=f"step {step}")
        sampler.refresh(output, np.array([50], dtype=np.int32))
        sampler.draw(hidden, Y, output)
    assert_array_equal(sampler.tables.tables.codes[50], sampler.tables.codes(hidden, 1)[2])
    assert_array_equal(sampler.tables.tables.codes[60], kept)


def test_tables_can_be_forgotten():
    sampler, output, hidden, Y = make("lsh"), random_output(), random_hidden(), batch()
    assert (sampler.table_bytes, sampler.mean_load) == (0, 0)
    sampler.draw(hidden, Y, output)
    n_bytes = sampler.table_bytes
    assert n_bytes > 0 and sampler.mean_load > 1
    sampler = sampler.without_tables()
    assert (sampler.table_bytes, sampler.mean_load) == (0, 0)
    sampler.draw(hidden, Y, output)
    assert sampler.table_bytes == n_bytes
