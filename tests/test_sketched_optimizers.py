"""Tests of the optimizers whose moments are in count-sketches."""

import itertools
import pickle

import numpy as np
import pytest
from models import assert_same_weights, wide_model, wide_problem
from numpy.testing import assert_allclose, assert_array_equal
from reference_optimizers import cells_of

from sklsh import KernelSampledSGD, LSHSoftmaxClassifier, SLIDEClassifier
from sklsh._network import Network, bytes_needed
from sklsh._samplers import product_dtype_for
from sklsh._score_network import ScoreNetwork
from sklsh._score_network import bytes_needed as bytes_of_scores
from sklsh.metrics import precision_at_k
from sklsh.optimizers import (
    OPTIMIZERS,
    Adagrad,
    Adam,
    CSAdagrad,
    CSAdam,
    CSMomentum,
    CSRMSprop,
    Momentum,
    Parameter,
    RMSprop,
    make_optimizer,
)

N_ROWS, WIDTH = 12, 21  # no multiple of a vector register
TWINS = [
    (CSMomentum, Momentum, (0.7,)),
    (CSAdam, Adam, (0.9,)),
    (CSAdam, Adam, (0, 0.9)),
    (CSRMSprop, RMSprop, (0.9,)),
    (CSAdagrad, Adagrad, ()),
]
SKETCHED = [name for name in OPTIMIZERS if name.startswith("cs_")]


def weights(n_rows=N_ROWS):
    return np.random.RandomState(0).normal(size=(n_rows, WIDTH)).astype(np.float32)


def updates(n_steps, n_rows=N_ROWS, most=6):
    """Rate, rows and gradient of each step; the set of rows varies."""
    rng = np.random.RandomState(1)
    for t in range(n_steps):
        rows = rng.permutation(n_rows)[: rng.randint(1, most)].astype(np.int32)
        yield 0.01 * (1 + t % 3), rows, rng.normal(size=(len(rows), WIDTH)).astype(np.float32)


def by_columns(rows):
    """Each row of a batch has one feature, of value 1."""
    n = len(rows)
    places = np.arange(n + 1, dtype=np.int32)
    return rows, places, places[:-1], np.ones(n, dtype=np.float32)


def sketched(n_rows=N_ROWS, optimizer=None, **settings):
    """CSAdagrad or another, and weights of `n_rows` rows that it sketches."""
    made = optimizer or CSAdagrad(min_rows=1, **settings)
    return made, Parameter(weights(n_rows), made, seed=3)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(["kind", "dense_kind", "settings"], TWINS)
def test_without_collisions_it_is_the_dense_optimizer(kind, dense_kind, settings, depth):
    dense = dense_kind(*settings)
    cs = kind(*settings, depth=depth, compression=1000, min_rows=1)
    own, shared = Parameter(weights(), dense), Parameter(weights(), cs, seed=2)
    assert shared.sketched and not own.sketched
    for t, (rate, rows, gradient) in enumerate(updates(50)):
        for optimizer, parameter in [(dense, own), (cs, shared)]:
            optimizer.begin_step(rate)
            if t % 2:
                optimizer.step(parameter, rows, gradient)
            else:
                optimizer.step_embedding(parameter, by_columns(rows), gradient)
    assert_allclose(shared.weights, own.weights, rtol=2e-5, atol=2e-6)
    for cells, moments in zip(shared.slots, own.slots, strict=True):
        used = np.abs(cells).sum(axis=1) > 0
        assert used.sum() == depth * N_ROWS * (moments.size > 0)  # each has cells of its own


def test_sums_of_squares_are_never_underestimated_and_add_up():
    adagrad, shared = sketched(40, compression=0.5, depth=3)
    total = np.zeros((40, WIDTH))
    for rate, rows, gradient in updates(30, 40, most=20):
        adagrad.begin_step(rate)
        adagrad.step(shared, rows, gradient)
        total[rows] += gradient.astype(float) ** 2
    cells = shared.slots[1].reshape(3, -1, WIDTH)
    assert_allclose(cells.sum(axis=1), np.tile(total.sum(axis=0), (3, 1)), rtol=1e-5)  # linear
    before = shared.weights.copy()
    adagrad.begin_step(1.0)
    everywhere = np.full((40, WIDTH), 1e-3, dtype=np.float32)
    adagrad.step(shared, np.arange(40, dtype=np.int32), everywhere)
    estimate = (1e-3 / (before - shared.weights)) ** 2
    assert (estimate > total * (1 - 1e-3)).all()
    assert (estimate > total * 1.1).any()  # collisions there are


@pytest.mark.parametrize("kind", [CSAdam, CSRMSprop])
def test_cells_are_means_of_second_moments(kind):
    optimizer = kind(beta_2=0.999, compression=0.1, min_rows=1)
    shared = Parameter.zeros((3000, 16), optimizer)
    optimizer.begin_step(0.1)
    rows = np.arange(3000, dtype=np.int32)
    optimizer.step(shared, rows, np.full((3000, 16), 2, dtype=np.float32))
    assert_allclose(shared.slots[1].mean(), 0.001 * 2**2, rtol=1e-2)


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("step", ["step", "step_embedding"])
def test_cleaning_scales_the_second_moment_when_due(step, every):
    adam = CSAdam(
        0.9, 0.5, min_rows=1, compression=0.5, depth=3, clean_every=every, clean_factor=0.25
    )  # fmt: skip
    _, shared = sketched(optimizer=adam)
    rows = np.zeros(1, dtype=np.int32)
    others = np.setdiff1d(np.arange(6), cells_of(0, depth=3, width=2, seed=3)[0])
    for t in range(1, 7):
        before = [slot.copy() for slot in shared.slots]
        adam.begin_step(0.1)
        first = rows if step == "step" else by_columns(rows)
        getattr(adam, step)(shared, first, np.zeros((1, WIDTH), dtype=np.float32))
        factor = 0.25 if every and t % every == 0 else 1
        assert_array_equal(shared.slots[1][others], factor * before[1][others])
        assert_array_equal(shared.slots[0], before[0])
        np.add(shared.slots[1], 1, out=shared.slots[1])


@pytest.mark.parametrize(["kind", "dense_kind", "settings"], TWINS)
@pytest.mark.parametrize("shape", [(1023, 16), (5000, 1)])
def test_small_parameters_keep_state_of_their_own(shape, kind, dense_kind, settings):
    cs, dense = kind(*settings), dense_kind(*settings)
    own, same = (Parameter(np.ones(shape, dtype=np.float32), o) for o in (dense, cs))
    assert not same.sketched and same.sketch_bytes == 0
    rows = np.arange(7, dtype=np.int32)
    for optimizer, parameter in [(dense, own), (cs, same)]:
        optimizer.begin_step(0.1)
        optimizer.step(parameter, rows, np.ones((7, shape[1]), dtype=np.float32))
        optimizer.step_embedding(parameter, by_columns(rows), np.ones((7, shape[1]), np.float32))
    assert_array_equal(own.weights, same.weights)
    assert own.state_bytes == same.state_bytes


@pytest.mark.parametrize(["compression", "depth", "cells"], [
    (0.2, 3, 600), (0.2, 1, 600), (0.1, 3, 300), (0.1, 7, 301), (1e-9, 4, 4),
])  # fmt: skip
def test_compression_is_the_share_of_cells(compression, depth, cells):
    adam = CSAdam(0.9, compression=compression, depth=depth)
    made = Parameter.zeros((3000, 16), adam)
    assert [slot.shape for slot in made.slots] == [(cells, 16)] * 2
    assert made.sketch_bytes == made.state_bytes == 2 * cells * 16 * 4


def test_frozen_copies_begin_anew_and_trained_ones_go_on():
    adam, shared = sketched(optimizer=CSAdam(0.9, min_rows=1))
    shared.slots[0][:] = 1
    frozen = shared.frozen()
    assert frozen.state_bytes == frozen.sketch_bytes == 0
    for kept, value in [(shared, 1), (frozen, 0)]:
        kept.make_trainable(adam)
        assert kept.sketched and kept.seed == 3
        assert (kept.slots[0] == value).all()
    shared.make_trainable(Adam())
    assert not shared.sketched and shared.slots[0].shape == (N_ROWS, WIDTH)


def test_state_of_another_kind_is_refused():
    adam = CSAdam(0.9, min_rows=1, compression=1)  # as many cells as there are rows
    dense, shared = Parameter(weights(), Adam()), Parameter(weights(), adam)
    assert dense.slots[0].shape == shared.slots[0].shape
    rows, gradient = np.zeros(1, dtype=np.int32), np.ones((1, WIDTH), dtype=np.float32)
    for optimizer, parameter, held in [(adam, dense, "a row"), (Adam(), shared, "12 cells")]:
        optimizer.begin_step(0.1)
        with pytest.raises(ValueError, match=f"parameter must have state.*got.*{held}"):
            optimizer.step(parameter, rows, gradient)
        assert_array_equal(parameter.weights, weights())
    with pytest.raises(ValueError, match="in sketches"):
        adam.step_of(shared)
    with pytest.raises(ValueError, match="gradient must have at least 1 rows of 21"):
        adam.step(shared, rows, gradient[:, :5])
    with pytest.raises(ValueError, match="delta must have"):
        adam.step_embedding(shared, by_columns(rows), gradient[:, :5])


OF_ALL = [
    {"compression": 0}, {"compression": float("nan")}, {"depth": 0}, {"depth": 17},
    {"depth": 2.5}, {"min_rows": 0}, {"min_rows": True},
]  # fmt: skip
OF_SECOND_MOMENTS = [
    {"clean_every": 0}, {"clean_factor": 1, "clean_every": 5},
    {"clean_factor": -0.1, "clean_every": 5},
]  # fmt: skip
BAD_SETTINGS = [
    *itertools.product([CSAdam, CSRMSprop, CSAdagrad], OF_ALL + OF_SECOND_MOMENTS),
    *itertools.product([CSMomentum], OF_ALL),
]


@pytest.mark.parametrize("kind, setting", BAD_SETTINGS, ids=str)
def test_settings_out_of_range_are_refused_by_name(kind, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
        kind(**setting)


def test_settings_are_shown():
    assert repr(CSMomentum(0.8, compression=0.1)) == (
        "CSMomentum(momentum=0.8, compression=0.1, depth=1, min_rows=1024)"
    )
    assert "second_moment" not in repr(CSAdam())


def test_names_make_optimizers():
    made = make_optimizer("cs_adam", beta_1=0.8, beta_2=0.5, epsilon=1e-3)
    assert type(made) is CSAdam and (made.beta_1, made.beta_2, made.epsilon) == (0, 0.5, 1e-3)
    kinds = [CSAdagrad, CSMomentum, CSRMSprop]
    assert [type(make_optimizer(f"cs_{k.__name__[2:].lower()}", beta_1=0)) for k in kinds] == kinds


# ---- in networks and estimators ----

RATES = {"sgd": 1.0, "momentum": 0.3, "cs_momentum": 0.3, "adagrad": 0.2, "cs_adagrad": 0.2}


@pytest.mark.parametrize(
    ["name", "dtype"],
    [(name, "float32") for name in ["rmsprop", "adagrad", *SKETCHED]] + [("cs_adam", "bfloat16")],
)
def test_estimators_learn_a_wide_problem(name, dtype):
    features, Y = wide_problem()
    model = wide_model(
        optimizer=name, learning_rate_init=RATES.get(name, 0.02), max_iter=20, dtype=dtype
    ).fit(features, Y)
    assert precision_at_k(Y, model.predict_top_k(features, 1)[0], k=1) > 0.8
    assert (model.memory_usage_["sketches"] > 0) == (name in SKETCHED)


@pytest.mark.parametrize(
    ["name", "settings"],
    [(name, {}) for name in SKETCHED]
    + [("cs_adam", {"active_set": "sample"}), ("cs_adam", {"dtype": "bfloat16"})],
    ids=str,
)
def test_random_state_fixes_every_bit_for_any_n_jobs(name, settings):
    features, Y = wide_problem()
    one, two = (
        wide_model((40,), optimizer=name, n_jobs=n, **settings).fit(features, Y) for n in (1, 2)
    )
    assert_same_weights(one, two)
    again = pickle.loads(pickle.dumps(one))
    assert again.memory_usage_ == one.memory_usage_
    assert_same_weights(again.partial_fit(features, Y), two.partial_fit(features, Y))


def test_memory_usage_tells_sketches_apart():
    features, Y = wide_problem()
    usage = wide_model((32,), optimizer="cs_adam").fit(features, Y).memory_usage_
    assert usage["sketches"] == 600 * 32 * 4  # of 3000 rows of outputs
    assert usage["optimizer"] == 4 * (400 * 32 + 32 + 3000)  # embedding and biases
    parts = ("weights", "optimizer", "sketches", "tables")
    assert usage["total"] == sum(usage[part] for part in parts)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SKETCHED)
def test_bytes_needed_are_the_bytes_taken(name, dtype):
    optimizer, random_state = make_optimizer(name), np.random.RandomState()
    settings = {"optimizer": optimizer, "random_state": random_state}
    network = Network(2000, 1500, (1030, 20), **settings, dtype=dtype)
    taken = sum(p.weights.nbytes + p.state_bytes for p in network.parameters)
    assert bytes_needed(2000, (1030, 20), 1500, optimizer, dtype) == taken
    assert sum(p.sketched for p in network.parameters) == 3
    scores = ScoreNetwork(2000, 2, (30,), loss="squared_error", epsilon=0.1, **settings)
    taken = sum(p.weights.nbytes + p.state_bytes for p in scores.parameters)
    assert bytes_of_scores(2000, (30,), 2, optimizer) == taken


@pytest.mark.parametrize("optimizer", [*SKETCHED, CSAdam(compression=0.1)], ids=str)
def test_products_stay_in_floats(optimizer):
    features, Y = wide_problem()
    model = wide_model(optimizer=optimizer)
    assert product_dtype_for(model, 3000, 16) == "float32"
    assert product_dtype_for(wide_model(optimizer="rmsprop", product_dtype="int8"), 3000, 16)
    model.fit(features, Y)
    state = dict(vars(model))
    model.set_params(product_dtype="int8")
    with pytest.raises(ValueError, match='product_dtype="int8".*in sketches.*"float32"'):
        model.fit(features, Y)
    assert vars(model) == state | {"product_dtype": "int8"}


@pytest.mark.parametrize("optimizer", ["rmsprop", "adagrad"])
def test_8_bit_steps_take_the_dense_rules(optimizer):
    features, Y = wide_problem()
    settings = {"learning_rate_init": RATES.get(optimizer, 0.02), "max_iter": 30}
    model = wide_model(optimizer=optimizer, product_dtype="int8", **settings).fit(features, Y)
    assert precision_at_k(Y, model.predict_top_k(features, 1)[0], k=1) > 0.8


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_other_estimators_take_all_names(optimizer):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 1200)).astype(np.float32)
    y = (X[:, :5].sum(axis=1) > 0).astype(int)
    X[:, 5:] *= 0.1
    model = KernelSampledSGD(optimizer=optimizer, max_iter=8, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.75
    usage = model.memory_usage_
    assert (usage["sketches"] > 0) == (optimizer in SKETCHED)
    rate = RATES.get(optimizer, 0.01)
    softmax = LSHSoftmaxClassifier(
        hidden_layer_sizes=(8,), optimizer=optimizer, learning_rate_init=rate, max_iter=8,
        random_state=0,
    )  # fmt: skip
    assert softmax.fit(X, y).score(X, y) > 0.75


@pytest.mark.parametrize("kind", [SLIDEClassifier, LSHSoftmaxClassifier, KernelSampledSGD])
def test_callers_may_bring_an_instance(kind):
    X, y = np.random.RandomState(0).normal(size=(40, 1200)), np.arange(40) % 2
    cs = CSRMSprop(compression=0.1)
    model = kind((16,), optimizer=cs, max_iter=1).fit(X, y)
    assert model.memory_usage_["sketches"] == 120 * 16 * 4
    assert cs.t == 0
