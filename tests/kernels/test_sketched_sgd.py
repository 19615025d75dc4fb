"""SGD on a table and a count-sketch does what its twin does, on any number of threads."""

import numpy as np
import pytest
import reference_sketch as reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._kernels import _sketched_sgd
from sklsh._sketched_linear import SketchedLinear
from sklsh.sketch import CountSketch

SEED = 2**62 + 11
N_FEATURES = 120
SIZES = {"keep": 6, "capacity": 12, "width": 64, "depth": 3, "seed": SEED}
OBJECTIVE = {"loss": "log_loss", "epsilon": 0.25, "l2": 0, "l1": 0}
OUTPUTS = {  # scores of a row
    "log_loss": [1, 3],
    "hinge": [1, 3],
    "squared_error": [1],
    "huber": [1],
    "multinomial": [3, 17],
}
CASES = [(loss, n) for loss, numbers in OUTPUTS.items() for n in numbers]
MODES = pytest.mark.parametrize("mode", ["active", "mission"])


def make_problem(loss="log_loss", n_outputs=1, n=240, seed=0):
    """Rows, some of them empty, of features that are few or many; targets; weights of rows."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, n) * (rng.random(n) < 0.9)
    features = np.minimum(rng.zipf(1.3, lengths.sum()) - 1, N_FEATURES - 1)
    X = sp.csr_array(
        (rng.standard_normal(lengths.sum(), np.float32), features, np.cumsum([0, *lengths])),
        shape=(n, N_FEATURES),
    )
    if n_outputs > 1:
        targets = rng.integers(0, n_outputs, n)
    else:
        targets = X @ rng.standard_normal(N_FEATURES) + rng.standard_normal(n)
        targets = targets if loss in ("squared_error", "huber") else np.where(targets > 0, 1, -1)
    row_weights = (rng.uniform(0.5, 2, n) * (rng.random(n) < 0.8)).astype(np.float32)
    return X, targets.astype(np.float32), row_weights


def steps(n, batch_size, rate=0.1, seed=0):
    """Order of the rows, each twice, and rates, of which those of the second half are less."""
    order = np.tile(np.random.default_rng(seed).permutation(n), 2)
    n_batches = -(-len(order) // batch_size)
    return order, np.where(np.arange(n_batches) < n_batches / 2, rate, rate / 2).astype(np.float32)


def trained(problem, n_outputs, batch_size, objective, n_threads=1, rate=0.1, **sizes):
    X, targets, row_weights = problem
    model = SketchedLinear(n_outputs, **sizes)
    loss = model.train(
        X, targets, row_weights, *steps(X.shape[0], batch_size, rate),
        batch_size=batch_size, objective=objective, n_threads=n_threads,
    )  # fmt: skip
    return model, loss / float(row_weights.sum(dtype=np.float64))


def twin_of(problem, n_outputs, batch_size, objective, rate=0.1, **sizes):
    X, targets, row_weights = problem
    rows = [
        list(zip(X.indices[a:b].tolist(), X.data[a:b].astype(float), strict=True))
        for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
    ]
    twin = reference.SketchedLinear(n_outputs, **sizes)
    order, rates = steps(len(rows), batch_size, rate)
    twin.train(rows, targets, row_weights, order, rates.astype(float), batch_size, objective)
    return twin


def assert_same(model, twin):
    assert model.active_ids.tolist() == list(twin.table.values)
    table = np.reshape([*twin.table.values.values()], model.table.shape)
    assert_allclose(model.table, table, rtol=2e-4, atol=2e-5)
    assert_allclose(model.cells, twin.sketch.cells, rtol=2e-4, atol=2e-5)
    assert_allclose(model.intercept, twin.bias, rtol=2e-4, atol=2e-5)
    assert_allclose(model.status[0], twin.scale, rtol=1e-4)
    assert_allclose(model.status[1], twin.table.threshold, rtol=1e-4)


def assert_same_as_twin(problem, n_outputs, batch_size, objective, **settings):
    model, loss = trained(problem, n_outputs, batch_size, objective, **settings)
    twin = twin_of(problem, n_outputs, batch_size, objective, **settings)
    assert_same(model, twin)
    assert_allclose(loss, twin.loss / problem[2].sum(), rtol=1e-4)
    return twin


def arrays_of(model):
    return (
        model.weights, model.active_ids, model.intercept, model.status,
    )  # fmt: skip


@MODES
@pytest.mark.parametrize("loss, n_outputs", CASES)
@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_training_is_the_twins(loss, n_outputs, batch_size, mode):
    objective = OBJECTIVE | {"loss": loss}
    settings = SIZES | {"mode": mode}
    assert_same_as_twin(make_problem(loss, n_outputs), n_outputs, batch_size, objective, **settings)


@MODES
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_training_is_the_twins_at_any_depth(depth, n_outputs, batch_size, mode):
    """With a hinge and small numbers all is exact, ties among them, so cells may be few."""
    X, targets, _ = make_problem("hinge", n_outputs, seed=1)
    rng = np.random.default_rng(0)
    X.data = rng.integers(-3, 4, X.nnz).astype(np.float32)
    problem = X, targets, rng.choice([0, 0.5, 1, 2], 240).astype(np.float32)
    settings = SIZES | {"mode": mode, "depth": depth, "width": 16}
    objective = OBJECTIVE | {"loss": "hinge"}
    assert_same_as_twin(problem, n_outputs, batch_size, objective, rate=2.0**-6, **settings)


@MODES
@pytest.mark.parametrize("penalty", [{"l2": 0.05}, {"l1": 0.02}, {"l2": 0.05, "l1": 0.02}], ids=str)
@pytest.mark.parametrize("depth", [1, 3])
def test_penalties_are_the_twins(penalty, depth, mode):
    settings = SIZES | {"mode": mode, "depth": depth}
    twin = assert_same_as_twin(make_problem(), 1, 3, OBJECTIVE | penalty, **settings)
    assert (twin.scale < 1) == ("l2" in penalty)


def test_a_scale_that_vanishes_is_folded_in():
    objective = OBJECTIVE | {"l2": 0.5}
    twin = assert_same_as_twin(make_problem(), 1, 1, objective, mode="active", **SIZES)
    assert twin.scale > 1e-6
    assert np.prod(1 - 0.5 * steps(240, 1)[1]) < 1e-7


@MODES
def test_the_table_is_compacted(mode):
    """Those put out can be told by a table that is as large as there are features."""
    problem = make_problem()
    small, _ = trained(problem, 1, 1, OBJECTIVE, mode=mode, **SIZES)
    large, _ = trained(problem, 1, 1, OBJECTIVE, mode=mode, **SIZES | {"capacity": N_FEATURES})
    assert SIZES["keep"] <= small.n_active <= SIZES["capacity"] < large.n_active
    assert small.status[1] > 0


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_table_and_sketch_together_hold_all_that_was_learnt(depth, n_outputs, batch_size):
    """With a hinge that is never reached, what each step adds is known beforehand.

    Put back into the sketch, the table gives the sketch of all of it: nothing is lost or
    counted twice where features come and go. All numbers are exact in float32.
    """
    X, targets, _ = make_problem("hinge", n_outputs)
    X.data = np.random.default_rng(0).integers(-3, 4, X.nnz).astype(np.float32)
    rates = np.full(2 * -(-240 // batch_size), 2.0**-14, dtype=np.float32)
    order = np.tile(np.arange(240), 2)[: len(rates) * batch_size]
    model = SketchedLinear(n_outputs, mode="active", **SIZES | {"depth": depth})
    model.train(
        X, targets, np.ones(240, np.float32), order, rates, batch_size=batch_size,
        objective=OBJECTIVE | {"loss": "hinge"}, n_threads=1,
    )  # fmt: skip
    assert model.status[1] > 0
    wanted = targets[:, None]
    if n_outputs > 1:
        wanted = np.where(np.arange(n_outputs) == wanted, 1, -1)
    rows = np.repeat(np.arange(240), np.diff(X.indptr))
    learnt = rates[0] * X.data[:, None] * wanted[rows]
    whole = sketch_of(model, np.tile(X.indices, 2), np.tile(learnt, (2, 1)))
    assert_array_equal(model.cells + sketch_of(model, model.active_ids, model.table), whole)


def sketch_of(model, keys, values):
    sketch = CountSketch(model.width, depth=model.depth, n_columns=model.n_outputs)
    sketch.seed = model.seed
    return sketch.update(keys, values).cells


@MODES
@pytest.mark.parametrize("loss, n_outputs", [("log_loss", 1), ("multinomial", 3)])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_threads_make_no_difference(loss, n_outputs, depth, batch_size, mode):
    problem = make_problem(loss, n_outputs, n=400)
    objective = OBJECTIVE | {"loss": loss, "l2": 0.01, "l1": 0.01}
    sizes = SIZES | {"mode": mode, "depth": depth}
    one, one_loss = trained(problem, n_outputs, batch_size, objective, 1, **sizes)
    for n_threads in (2, 3):
        several, loss = trained(problem, n_outputs, batch_size, objective, n_threads, **sizes)
        assert loss == one_loss
        for a, b in zip(arrays_of(one), arrays_of(several), strict=True):
            assert_array_equal(a, b)


def test_more_threads_than_there_are_shares_of_a_model():
    problem, sizes = make_problem(), SIZES | {"mode": "active", "depth": 1}
    one, _ = trained(problem, 1, 40, OBJECTIVE, 1, **sizes)
    many, _ = trained(problem, 1, 40, OBJECTIVE, _sketched_sgd.N_SHARDS + 3, **sizes)
    for a, b in zip(arrays_of(one), arrays_of(many), strict=True):
        assert_array_equal(a, b)


@MODES
def test_indices_of_either_size_and_any_height(mode):
    X, *rest = make_problem()
    models = []
    for dtype in (np.int32, np.int64):
        same = X.copy()
        same.indices, same.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
        assert same.indices.dtype == dtype
        models.append(trained((same, *rest), 1, 4, OBJECTIVE, mode=mode, **SIZES)[0])
    for a, b in zip(*map(arrays_of, models), strict=True):
        assert_array_equal(a, b)
    high = X.indices.astype(np.int64) * (2**56 - 1) + 2**40
    X = sp.csr_array((X.data, high, X.indptr.astype(np.int64)), shape=(240, 2**63 - 1))
    assert_same_as_twin((X, *rest), 1, 4, OBJECTIVE, mode=mode, **SIZES)


@MODES
def test_training_goes_on_where_it_stopped(mode):
    X, targets, row_weights = make_problem()
    whole, _ = trained((X, targets, row_weights), 1, 4, OBJECTIVE, mode=mode, **SIZES)
    parts = SketchedLinear(1, mode=mode, **SIZES)
    order, rates = steps(240, 4)
    for batch in range(0, 120, 3):
        parts.train(
            X, targets, row_weights, order[4 * batch : 4 * batch + 12], rates[batch : batch + 3],
            batch_size=4, objective=OBJECTIVE, n_threads=1,
        )  # fmt: skip
    for a, b in zip(arrays_of(whole), arrays_of(parts), strict=True):
        assert_array_equal(a, b)


@MODES
def test_rows_without_features_move_the_intercept_only(mode, n_threads):
    X = sp.csr_array((30, N_FEATURES), dtype=np.float32)
    problem = X, np.ones(30, np.float32), np.ones(30, np.float32)
    model, _ = trained(problem, 1, 4, OBJECTIVE, n_threads, mode=mode, **SIZES)
    assert_same(model, twin_of(problem, 1, 4, OBJECTIVE, mode=mode, **SIZES))
    assert model.intercept > 0 and not model.n_active and not model.weights.any()
