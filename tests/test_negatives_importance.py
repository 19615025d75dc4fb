"""Retrieved classes weighed by their probability, functions drawn anew, samplers in turn."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sklsh._batches import as_batch
from sklsh._layer_tables import LayerTables
from sklsh._memory import padded
from sklsh._output import OutputLayer
from sklsh.negatives import LSH, Drawn, Full, InBatch, Proposal, RowImportance, RowLSH, Scheduled
from sklsh.negatives._importance import labels_first

N_CLASSES, WIDTH = 300, 20
TABLES = {
    "width": WIDTH, "hash_family": "dense_simhash", "n_bits": 4, "n_tables": 6, "bucket_size": 12,
    "rehash_every": 10, "rehash_growth": 1.0,
}  # fmt: skip


def random_output(seed=0):
    rng = np.random.RandomState(seed)
    output = OutputLayer(N_CLASSES, WIDTH)
    output.weights[:, :WIDTH] = rng.normal(size=(N_CLASSES, WIDTH)) * rng.gamma(
        4, size=(N_CLASSES, 1)
    )
    output.weights[17] = 0  # nothing finds it
    output.bias[:] = rng.normal(size=N_CLASSES)
    return output


def random_hidden(n=4, seed=1):
    hidden = np.zeros((n, padded(WIDTH)), np.float32)
    hidden[:, :WIDTH] = np.random.RandomState(seed).normal(size=(n, WIDTH))
    return hidden


def labels_of(*rows):
    """Batch of rows with these labels."""
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([*rows, []]).astype(np.int32)
    return as_batch(sp.csr_array((np.ones(len(ids)), ids, indptr), shape=(len(rows), N_CLASSES)))


Y = labels_of([7], [], [3, 299], [17])


def importance(**settings):
    return RowImportance(N_CLASSES, seed=0, **(TABLES | settings))


def rows_of(drawn):
    return np.split(drawn.ids, drawn.starts[1:-1])


def weights_of(drawn):
    return np.split(drawn.weights, drawn.starts[1:-1])


# ---- importance ----


@pytest.mark.parametrize("query", ["embedding", "label"])
def test_sets_are_the_labels_and_whole_buckets(query, n_threads):
    sampler, output, hidden = importance(query=query), random_output(), random_hidden()
    sampler.prepare(n_threads)
    drawn = sampler.draw(hidden, Y, output)
    stored, hasher = sampler.tables.tables.codes, sampler.tables.hasher
    codes = hasher.codes(hidden)
    for i, ids in enumerate(rows_of(drawn)):
        labels = Y.indices[Y.indptr[i] : Y.indptr[i + 1]]
        if query == "label":
            asks = [c for c in labels if c != 17]
            found = {tuple(np.flatnonzero((stored == stored[c]).any(axis=1))) for c in asks}
        else:
            found = {tuple(np.flatnonzero((stored == codes[i]).any(axis=1)))}
        assert_array_equal(ids[: len(labels)], labels)
        others = ids[len(labels) :]
        assert tuple(np.sort(others)) in {tuple(np.setdiff1d(f, labels)) for f in found or {()}}
    at = np.repeat(drawn.starts[:-1], np.diff(Y.indptr)) + drawn.positions
    assert_array_equal(drawn.ids[at], Y.indices)
    assert drawn.ids.dtype == drawn.starts.dtype == drawn.positions.dtype == np.int32


@pytest.mark.parametrize("query", ["embedding", "label"])
def test_weights_are_one_over_the_closed_form_and_one_for_labels(query):
    sampler, output, hidden = importance(query=query), random_output(), random_hidden()
    batch = labels_of([7], [], [3], [40, 41])  # of the last either label may ask
    drawn = sampler.draw(hidden, batch, output)
    n_checked = 0
    for i, (ids, weights) in enumerate(zip(rows_of(drawn), weights_of(drawn), strict=True)):
        n_labels = batch.indptr[i + 1] - batch.indptr[i]
        assert_array_equal(weights[:n_labels], 1)
        asks = [hidden[i]] if query == "embedding" else output.weights[ids[:n_labels]]
        candidates = output.weights[ids[n_labels:]].astype(float)
        expected = []
        for vector in asks:
            cosines = candidates @ vector / np.linalg.norm(vector)
            angles = np.arccos(np.clip(cosines / np.linalg.norm(candidates, axis=1), -1, 1))
            expected.append(1 / (1 - (1 - (1 - angles / np.pi) ** 4) ** 6))
        close = [np.allclose(weights[n_labels:], e, rtol=1e-4) for e in expected]
        assert any(close) or len(candidates) == 0
        n_checked += len(candidates)
    assert n_checked > 40
    assert_array_equal(drawn.shift, 0)


@pytest.mark.parametrize("query", ["embedding", "label"])
def test_sum_of_the_softmax_is_unbiased_over_the_functions(query):
    output, hidden = random_output(), random_hidden(1)
    output.weights[17] = 1
    output.weights[:] /= np.linalg.norm(output.weights, axis=1, keepdims=True)
    exp_logits = np.exp((output.weights @ hidden[0] + output.bias).astype(float))
    sums = []
    for seed in range(500):
        sampler = RowImportance(N_CLASSES, seed=seed, query=query, **TABLES)
        drawn = sampler.draw(hidden, labels_of([7]), output)
        sums.append(exp_logits[drawn.ids] @ drawn.weights)
    standard_error = np.std(sums) / np.sqrt(len(sums))
    assert 0 < standard_error < 0.1 * exp_logits.sum()
    assert abs(np.mean(sums) - exp_logits.sum()) < 3 * standard_error


def test_sums_stay_unbiased_over_functions_drawn_anew():
    """One sampler whose functions change in every step stands for many samplers."""
    output, hidden = random_output(), random_hidden(1)
    output.weights[17] = 1
    output.weights[:] /= np.linalg.norm(output.weights, axis=1, keepdims=True)
    exp_logits = np.exp((output.weights @ hidden[0] + output.bias).astype(float))
    sampler, sums = importance(redraw_every=1), []
    for _ in range(500):
        drawn = sampler.draw(hidden, labels_of([7]), output)
        sums.append(exp_logits[drawn.ids] @ drawn.weights)
        sampler.refresh(output, drawn.ids)
    assert len(set(sums)) > 450
    standard_error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - exp_logits.sum()) < 3 * standard_error


@pytest.mark.parametrize("n_bits", [4, 24])
def test_weights_stay_finite_where_rows_have_turned_away_since_they_were_hashed(n_bits):
    output, hidden = random_output(), random_hidden()
    output.weights[:4] = hidden  # sure to be found
    sampler = importance(n_bits=n_bits)
    sampler.draw(hidden, Y, output)
    output.weights[:4] = -hidden
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = sampler.draw(hidden, labels_of([], [], [], []), output)
    assert all(i in ids for i, ids in enumerate(rows_of(drawn)))
    assert np.isfinite(drawn.weights).all()
    assert np.isfinite(np.log(drawn.weights)).all()


def test_labels_come_first_and_are_not_repeated():
    indptr, found = np.array([0, 4, 4, 7, 8]), np.array([9, 7, 1, 4, 299, 3, 5, 2])
    starts, ids, positions = labels_first(Y, indptr, found, N_CLASSES)
    rows = [row.tolist() for row in np.split(ids, starts[1:-1])]
    assert rows == [[7, 9, 1, 4], [], [3, 299, 5], [17, 2]]
    assert positions.tolist() == [0, 0, 1, 0]


def test_more_candidates_than_32_bits_count_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("sklsh.negatives._importance.INT32_MAX", 5)
    with pytest.raises(ValueError, match="larger n_bits or a smaller batch_size"):
        importance().draw(random_hidden(), Y, random_output())


# ---- functions drawn anew ----


@pytest.mark.parametrize("redraw_every", [1, 4, 30])
@pytest.mark.parametrize("rehash_every", [3, 10])
@pytest.mark.parametrize("hash_family", ["simhash", "dense_simhash", "dwta"])
def test_tables_are_of_the_functions_of_now_and_of_recent_rows(
    hash_family, redraw_every, rehash_every
):
    """Every row in the tables is coded as it was at the last rehash or, unchanged, since."""
    settings = TABLES | {"hash_family": hash_family, "n_bits": 6, "rehash_every": rehash_every}
    tables = LayerTables(N_CLASSES, seed=0, **settings, redraw_every=redraw_every)
    output, rng = random_output(), np.random.RandomState(0)
    snapshots, functions, redrawn, hashed_at = [], None, [], 0
    for step in range(65):
        snapshots.append(output.weights.copy())
        tables.rehash_when_due(output.weights, 1)
        if tables.hasher is not functions:
            functions = tables.hasher
            redrawn.append(step)
        codes = [functions.codes(weights) for weights in snapshots[-rehash_every:]]
        stored = tables.tables.codes.astype(np.int32)
        ages = [age for age, then in enumerate(codes[::-1]) if np.array_equal(then, stored)]
        assert ages, f"step {step}: tables are older than {rehash_every} batches"
        if step == redrawn[-1]:
            hashed_at = step
            assert ages[0] == 0, f"step {step}: not all rows were hashed again"
        assert ages[0] <= step - hashed_at
        changed = rng.permutation(N_CLASSES)[:30].astype(np.int32)
        output.weights[changed, :WIDTH] = rng.normal(size=(30, WIDTH))
        tables.note_step(changed)
    assert redrawn == list(range(0, 65, redraw_every))


def test_functions_are_kept_unless_they_are_to_be_drawn_anew():
    tables, output = LayerTables(N_CLASSES, seed=0, **TABLES), random_output()
    functions = tables.hasher
    for _ in range(50):
        tables.rehash_when_due(output.weights, 1)
        tables.note_step(np.arange(5))
    assert tables.hasher is functions


def test_functions_drawn_anew_differ_and_repeat_with_the_seed():
    codes = []
    for _ in range(2):
        tables, output = LayerTables(N_CLASSES, seed=3, redraw_every=1, **TABLES), random_output()
        codes.append([])
        for _ in range(4):
            tables.rehash_when_due(output.weights, 1)
            tables.note_step(np.arange(5))
            codes[-1].append(tables.tables.codes.copy())
    assert_array_equal(codes[0], codes[1])
    assert len({c.tobytes() for c in codes[0]}) == 4


@pytest.mark.parametrize("kind", [LSH, RowLSH])
def test_pickled_samplers_draw_the_same_functions(kind):
    sampler = kind(N_CLASSES, "none", n_active=30, seed=0, redraw_every=2, **TABLES)
    output, hidden = random_output(), random_hidden()
    for _ in range(3):
        sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    again = pickle.loads(pickle.dumps(sampler))
    for _ in range(4):
        one, other = (s.draw(hidden, Y, output) for s in (sampler, again))
        assert_array_equal(one.ids, other.ids)
        sampler.refresh(output, one.ids), again.refresh(output, one.ids)


# ---- samplers in turn ----


def scheduled():
    lsh = {"n_active": 30, "seed": 0} | TABLES
    return Scheduled([
        (0.0, LSH(N_CLASSES, "none", **lsh)),
        (0.25, Drawn(N_CLASSES, "head_tail", n_active=30, seed=0,
                     proposal=Proposal(N_CLASSES, {"frequency": 1.0}))),
        (0.5, InBatch(N_CLASSES, "none")),
        (0.75, LSH(N_CLASSES, "none", **lsh)),
        (0.9, Full(N_CLASSES)),
    ])  # fmt: skip


def kind_at(sampler, done):
    sampler.advance(done)
    return type(sampler.current)


@pytest.mark.parametrize(
    ["done", "kind"],
    [(0, LSH), (0.249, LSH), (0.25, Drawn), (0.49, Drawn), (0.5, InBatch), (0.75, LSH),
     (0.89, LSH), (0.9, Full), (0.999, Full)],
)  # fmt: skip
def test_the_last_stage_that_has_begun_is_the_one_of_now(done, kind):
    assert kind_at(scheduled(), done) is kind


def test_stages_can_be_passed_over_and_come_again():
    sampler = scheduled()
    order = [kind_at(sampler, done) for done in (0, 0.6, 0.95, 0, 0.3)]
    assert order == [LSH, InBatch, Full, LSH, Drawn]


def test_draws_are_those_of_the_sampler_of_now():
    output, hidden, sampler = random_output(), random_hidden(), scheduled()
    sampler.prepare(1)
    alone = scheduled().stages
    for start, other in alone:
        sampler.advance(start)
        one, expected = (s.draw(hidden, Y, output) for s in (sampler, other))
        assert_array_equal(one.ids, expected.ids)
        assert_array_equal(one.weights, expected.weights)
        sampler.refresh(output, one.ids), other.refresh(output, one.ids)
        assert sampler.mean_load == other.mean_load
        assert sampler.table_bytes == other.table_bytes


def test_labels_are_noted_by_stages_to_come():
    sampler, counts = scheduled(), np.arange(N_CLASSES)
    sampler.note_labels(counts)
    expected = Proposal(N_CLASSES, {"frequency": 1.0})
    expected.note_labels(counts)
    assert_array_equal(sampler.stages[1][1].proposal.probabilities, expected.probabilities)


def test_tables_of_a_stage_that_is_over_are_dropped_and_made_again():
    output, hidden, sampler = random_output(), random_hidden(), scheduled()
    sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    assert sampler.table_bytes > 0
    sampler.advance(0.5)
    assert sampler.stages[0][1].table_bytes == sampler.table_bytes == 0
    output.weights[:] = random_output(seed=5).weights  # meanwhile
    sampler.advance(0)
    sampler.draw(hidden, Y, output)
    tables = sampler.current.tables
    assert_array_equal(tables.tables.codes, tables.hasher.codes(output.weights))


def test_forgetting_and_copies_without_tables():
    output, hidden, sampler = random_output(), random_hidden(), scheduled()
    sampler.advance(0.75)
    sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    lean = sampler.without_tables()
    assert (lean.table_bytes, type(lean.current)) == (0, LSH)
    assert sampler.table_bytes > 0
    lean.advance(0.9)
    assert type(sampler.current) is LSH  # it has a place of its own
    lean.advance(0.75)
    assert len(lean.draw(hidden, Y, output).ids) == 4 + 30
    assert lean.table_bytes == sampler.table_bytes
    sampler.forget()
    assert sampler.table_bytes == 0


def test_pickle_goes_on_in_its_stage():
    output, hidden, sampler = random_output(), random_hidden(), scheduled()
    sampler.advance(0.75)
    sampler.refresh(output, sampler.draw(hidden, Y, output).ids)
    again = pickle.loads(pickle.dumps(sampler))
    assert_array_equal(again.draw(hidden, Y, output).ids, sampler.draw(hidden, Y, output).ids)
