"""Hash tables over the output layer: when they are made again, and what they find."""

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._layer_tables import LayerTables, PredictionTables
from sklsh._memory import padded
from sklsh._output import OutputLayer
from sklsh._storage import to_bfloat16

N_CLASSES, WIDTH = 500, 20
SETTINGS = {
    "width": WIDTH, "hash_family": "simhash", "n_bits": 4, "n_tables": 6, "bucket_size": 6,
    "rehash_every": 10, "rehash_growth": 1.5,
}  # fmt: skip


def random_rows(n, seed):
    rows = np.zeros((n, padded(WIDTH)), np.float32)
    rows[:, :WIDTH] = np.random.RandomState(seed).normal(size=(n, WIDTH))
    return rows


def make_output(dtype="float32"):
    output = OutputLayer(N_CLASSES, WIDTH, dtype=dtype)
    rows = random_rows(N_CLASSES, 0)
    output.weights[:] = rows if dtype == "float32" else to_bfloat16(rows)
    output.bias[:] = np.random.RandomState(1).normal(size=N_CLASSES)
    return output


HIDDEN = random_rows(40, 2)


def make_tables(**settings):
    return LayerTables(N_CLASSES, seed=0, **(SETTINGS | settings))


@pytest.mark.parametrize(
    ["growth", "periods"], [(1, [10] * 4), (1.5, [10, 15, 22, 34]), (4, [10, 40, 160, 640])]
)
def test_periods_grow(growth, periods, monkeypatch):
    tables, output, steps = make_tables(rehash_growth=growth), make_output(), []
    rehash = tables.rehash
    monkeypatch.setattr(tables, "rehash", lambda *args: (steps.append(step), rehash(*args)))
    for step in range(sum(periods) + 1):  # noqa: B007, read by the lambda
        tables.rehash_when_due(output.weights, 1)
        tables.note_step([step % N_CLASSES])
    assert np.diff(steps).tolist() == periods


def test_period_stays_a_number():
    tables, output = make_tables(rehash_every=1, rehash_growth=1e200), make_output()
    for _ in range(5):
        tables._batches_left = 0
        tables.rehash_when_due(output.weights, 1)
    assert tables._batches_left > 10**15


def test_only_noted_rows_are_hashed_again(n_threads):
    tables, output = make_tables(), make_output()
    tables.rehash(output.weights, n_threads)
    before = tables.tables.codes.copy()
    output.weights[:100] *= -1
    tables.note_step(np.arange(0, 100, 2))
    tables.rehash(output.weights, n_threads)
    changed = (tables.tables.codes != before).any(axis=1)
    assert changed[0:100:2].all()
    assert changed.sum() == 50


def test_forgotten_tables_are_made_of_all_rows():
    tables, output = make_tables(), make_output()
    tables.rehash_when_due(output.weights, 1)
    assert tables.nbytes > 0 and tables.mean_load > 1
    output.weights[:] = random_rows(N_CLASSES, 7)  # and nobody notes it
    period = tables.period
    tables.forget()
    assert (tables.tables, tables.nbytes, tables.mean_load) == (None, 0, 0)
    tables.rehash_when_due(output.weights, 1)
    fresh = make_tables()
    fresh.rehash(output.weights, 1)
    assert_array_equal(tables.tables.codes, fresh.tables.codes)
    assert tables.period > period  # the schedule goes on


def test_pickle_and_memory_map_go_on(tmp_path):
    tables, output = make_tables(), make_output()
    tables.rehash_when_due(output.weights, 1)
    joblib.dump(tables, tmp_path / "tables")
    mapped = joblib.load(tmp_path / "tables", mmap_mode="r")
    mapped.make_writable()
    for copy in (mapped, pickle.loads(pickle.dumps(tables))):
        copy.note_step([3])
        assert (copy._batches_left, copy.period) == (tables._batches_left - 1, tables.period)
        assert_array_equal(copy.codes(HIDDEN, 1), tables.codes(HIDDEN, 1))


def exact_top_k(output, k, hidden=HIDDEN):
    return output.top_k(hidden, k, 1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("k", [1, 7, N_CLASSES])
def test_prediction_is_exact_where_all_classes_are_found(k, dtype, simd_level, n_threads):
    output, settings = make_output(dtype), SETTINGS | {"n_bits": 1, "n_tables": 60}
    ids, logits = PredictionTables(0).top_k(HIDDEN, output, k, settings, n_threads)
    wanted, scores = exact_top_k(output, k)
    assert_array_equal(ids, wanted)
    assert_allclose(logits, scores, rtol=1e-4, atol=1e-5)


def test_rows_that_find_too_few_are_exact_and_others_rank_what_they_find(simd_level, n_threads):
    output, tables = make_output(), PredictionTables(0)
    ids, logits = tables.top_k(HIDDEN, output, 90, SETTINGS | {"n_bits": 5}, n_threads)
    made = tables._made[1]
    codes, stored = made.codes(HIDDEN, 1), made.tables.codes
    found = [np.flatnonzero((stored == row).any(axis=1)) for row in codes]
    short = np.array([len(f) < 90 for f in found])
    assert 0 < short.sum() < 40
    wanted, scores = exact_top_k(output, 90)
    assert_array_equal(ids[short], wanted[short])
    assert_array_equal(logits[short], scores[short])
    all_logits = output.logits(HIDDEN, 1)
    for i in np.flatnonzero(~short):
        best = found[i][np.argsort(-all_logits[i, found[i]], kind="stable")[:90]]
        assert_array_equal(ids[i], best)


def test_rows_without_direction_are_exact():
    output, hidden = make_output(), np.zeros_like(HIDDEN)
    ids, logits = PredictionTables(0).top_k(hidden, output, 5, SETTINGS, 1)
    assert_array_equal(ids, exact_top_k(output, 5, hidden)[0])
    assert_array_equal(logits, np.sort(output.bias)[::-1][None, :5].repeat(40, axis=0))


@pytest.mark.parametrize("k", [2, 80])
def test_a_row_alone_is_as_in_its_batch(k, simd_level):
    output, settings = make_output(), SETTINGS | {"n_bits": 5}
    ids, logits = PredictionTables(0).top_k(HIDDEN, output, k, settings, 1)
    for i in range(len(HIDDEN)):
        row = HIDDEN[i : i + 1]
        alone, scores = PredictionTables(0).top_k(row, output, k, settings, 1)
        assert_array_equal(alone[0], ids[i])
        assert_array_equal(scores[0], logits[i])


def test_tables_for_prediction_are_made_when_settings_change_or_weights_did():
    output, tables, made = make_output(), PredictionTables(0), []

    def now(settings=SETTINGS):
        tables.top_k(HIDDEN, output, 3, settings, 1)
        made.append(tables._made[1])
        return made[-1]

    first = now()
    assert now() is first
    assert now(SETTINGS | {"n_tables": 9}).hasher.n_tables == 9
    assert now() is not first
    last = now()
    tables.forget()
    assert now() is not last
    assert_array_equal(made[-1].tables.codes, first.tables.codes)  # of the same functions


def test_tables_for_prediction_are_no_part_of_a_pickle():
    output, tables = make_output(), PredictionTables(5)
    wanted = tables.top_k(HIDDEN, output, 3, SETTINGS, 1)
    stored = pickle.dumps(tables)
    assert len(stored) < 200
    again = pickle.loads(stored)
    assert again._made is None
    for one, other in zip(again.top_k(HIDDEN, output, 3, SETTINGS, 1), wanted, strict=True):
        assert_array_equal(one, other)


def test_threads_that_predict_side_by_side_share_finished_tables(monkeypatch):
    """Making tables takes longer than it takes the others to ask for them."""
    output, rehash = make_output(), LayerTables.rehash
    exact = PredictionTables(0).top_k(HIDDEN, output, 3, SETTINGS, 1)

    def slow_rehash(*args):
        time.sleep(0.02)
        rehash(*args)

    monkeypatch.setattr(LayerTables, "rehash", slow_rehash)
    tables, barrier = PredictionTables(0), threading.Barrier(4)

    def predict(_):
        barrier.wait()
        return tables.top_k(HIDDEN, output, 3, SETTINGS, 1)

    with ThreadPoolExecutor(4) as pool:
        for ids, logits in pool.map(predict, range(4)):
            assert_array_equal(ids, exact[0])
            assert_array_equal(logits, exact[1])


def test_failing_to_make_tables_leaves_those_that_were_there(monkeypatch):
    output, tables = make_output(), PredictionTables(0)
    before = tables.top_k(HIDDEN, output, 3, SETTINGS, 1)
    monkeypatch.setattr("sklsh._memory.available_bytes", lambda: 25_000)
    with pytest.raises(MemoryError, match="Hash tables of .* n_tables=99 would take"):
        tables.top_k(HIDDEN, output, 3, SETTINGS | {"n_tables": 99}, 1)
    for now, then in zip(tables.top_k(HIDDEN, output, 3, SETTINGS, 1), before, strict=True):
        assert_array_equal(now, then)
