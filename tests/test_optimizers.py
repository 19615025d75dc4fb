"""Tests of the row-sparse optimizers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._storage import as_float32, to_bfloat16
from sklsh.optimizers import (
    SGD,
    Adagrad,
    Adam,
    Momentum,
    Parameter,
    RMSprop,
    make_optimizer,
)

N_ROWS, WIDTH = 12, 21  # no multiple of a vector register

# Weights [2, 0], [3, 10] and [11, 20] under optimizers of PyTorch 2.13.0, after so many steps:
# torch.optim.SparseAdam and Adagrad as `updates` feeds them, and RMSprop(alpha=0.9), which has
# only dense steps, with gradients of all rows.
PYTORCH = {
    "adam": {
        1: [-1.696270227, -1.224825859, -0.5757879615],
        10: [-1.682845235, -1.226005793, -0.5609052181],
        50: [-1.646006584, -1.171195388, -0.5697714686],
    },
    "adagrad": {
        1: [-1.696270227, -1.224825859, -0.5757879615],
        10: [-1.697546005, -1.23270154, -0.5557879806],
        50: [-1.682275057, -1.203932285, -0.5857394934],
    },
    "rmsprop": {
        1: [-1.67464745, -1.266448617, -0.544165194],
        10: [-1.557337165, -1.124769568, -0.4352265298],
        50: [-1.243483901, -1.216302991, -0.3705452681],
    },
}


def weights():
    return np.random.RandomState(0).normal(size=(N_ROWS, WIDTH)).astype(np.float32)


def updates(n_steps=50, all_rows=False):
    """Rate, rows and gradient of each step; the set of rows varies."""
    rng = np.random.RandomState(1)
    rows = np.arange(N_ROWS, dtype=np.int32)
    for t in range(n_steps):
        if not all_rows:
            rows = rng.permutation(N_ROWS)[: rng.randint(1, 6)].astype(np.int32)
        gradient = rng.normal(size=(len(rows), WIDTH)).astype(np.float32)
        yield 0.01 * (1 + t % 3), rows, gradient


def trained(optimizer, n_steps=50, all_rows=False):
    parameter = Parameter(weights(), optimizer)
    for rate, rows, gradient in updates(n_steps, all_rows):
        optimizer.begin_step(rate)
        optimizer.step(parameter, rows, gradient)
    return parameter.weights


def adam_formula(beta_1=0.9, beta_2=0.999, epsilon=1e-8, second_moment="weight"):
    w = weights().astype(np.float64)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (rate, rows, g) in enumerate(updates(), start=1):
        square = g.astype(np.float64) ** 2
        if second_moment == "row":
            square = square.mean(axis=1, keepdims=True)
        m[rows] = beta_1 * m[rows] + (1 - beta_1) * g
        v[rows] = beta_2 * v[rows] + (1 - beta_2) * square
        rate *= np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w[rows] -= rate * m[rows] / (np.sqrt(v[rows]) + epsilon)
    return w


def momentum_formula(momentum=0.9):
    w = weights().astype(np.float64)
    velocity = np.zeros_like(w)
    for rate, rows, gradient in updates():
        velocity[rows] = momentum * velocity[rows] - rate * gradient
        w[rows] += velocity[rows]
    return w


def rmsprop_formula(beta_2=0.99, epsilon=1e-8):
    w = weights().astype(np.float64)
    v = np.zeros_like(w)
    for rate, rows, gradient in updates():
        v[rows] = beta_2 * v[rows] + (1 - beta_2) * gradient.astype(np.float64) ** 2
        w[rows] -= rate * gradient / (np.sqrt(v[rows]) + epsilon)
    return w


@pytest.mark.parametrize("n_steps", [1, 10, 50])
@pytest.mark.parametrize("optimizer", [Adam(), Adagrad(), RMSprop(0.9)], ids=repr)
def test_equals_recorded_pytorch(optimizer, n_steps, simd_level):
    name = type(optimizer).__name__.lower()
    w = trained(make_optimizer(optimizer), n_steps, all_rows=name == "rmsprop")
    assert_allclose(w[[2, 3, 11], [0, 10, 20]], PYTORCH[name][n_steps], rtol=2e-6)


@pytest.mark.parametrize(
    ["optimizer", "expected"],
    [
        (Adam(), adam_formula()),
        (Adam(beta_1=0, beta_2=0.5, epsilon=0.1), adam_formula(0, 0.5, 0.1)),
        (Adam(second_moment="row"), adam_formula(second_moment="row")),
        (Adam(0.8, 0.5, 0.1, second_moment="row"), adam_formula(0.8, 0.5, 0.1, "row")),
        (Adam(0, 0.9, second_moment="row"), adam_formula(0, 0.9, second_moment="row")),
        (Momentum(), momentum_formula()),
        (Momentum(0.5), momentum_formula(0.5)),
        (SGD(), momentum_formula(0)),
        (RMSprop(), rmsprop_formula()),
        (RMSprop(0.5, 0.1), rmsprop_formula(0.5, 0.1)),
    ],
    ids=repr,
)
def test_steps_equal_the_formula(optimizer, expected, simd_level):
    assert_allclose(trained(make_optimizer(optimizer)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta_1", [0, 0.9])
def test_a_row_of_one_weight_moves_as_by_itself(beta_1, simd_level):
    by_weight, by_row = Adam(beta_1), Adam(beta_1, second_moment="row")
    first, second = (Parameter(weights()[:, :1].copy(), adam) for adam in (by_weight, by_row))
    for rate, rows, gradient in updates():
        for parameter, adam in [(first, by_weight), (second, by_row)]:
            adam.begin_step(rate)
            adam.step(parameter, rows, gradient[:, :1].copy())
    assert_allclose(first.weights, second.weights, rtol=1e-5)
    assert first.state_bytes == second.state_bytes


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("beta_1", [0, 0.9])
def test_padding_does_not_count_in_the_mean_of_a_row(beta_1, dtype, simd_level):
    narrow = Parameter.random(N_ROWS, WIDTH, 1.0, np.random.RandomState(0))
    columns = narrow.weights.shape[1]
    assert columns > WIDTH
    adam = Adam(beta_1, second_moment="row")
    padded = Parameter(narrow.weights.copy(), adam, width=WIDTH)
    alone = Parameter(narrow.weights[:, :WIDTH].copy(), adam)
    for rate, rows, gradient in updates():
        wide = np.zeros((len(rows), columns), dtype=np.float32)
        wide[:, :WIDTH] = gradient
        adam.begin_step(rate)
        adam.step(padded, rows, wide)
        adam.step(alone, rows, gradient)
    assert_allclose(padded.weights[:, :WIDTH], alone.weights, rtol=1e-5, atol=1e-6)
    assert_allclose(padded.slots[1], alone.slots[1], rtol=1e-5)
    assert not padded.weights[:, WIDTH:].any()


@pytest.mark.parametrize(
    ["name", "kind"],
    [
        ("adam", Adam),
        ("rowwise_adam", Adam),
        ("momentum", Momentum),
        ("sgd", SGD),
        ("rmsprop", RMSprop),
        ("adagrad", Adagrad),
    ],  # fmt: skip
)
def test_names_make_optimizers(name, kind):
    assert type(make_optimizer(name)) is kind


@pytest.mark.parametrize(["name", "what"], [("adam", "weight"), ("rowwise_adam", "row")])
def test_names_of_adam_say_what_has_a_second_moment(name, what):
    made = make_optimizer(name, beta_1=0.5, beta_2=0.25, epsilon=1e-3)
    assert repr(made) == repr(Adam(0.5, 0.25, 1e-3, second_moment=what))


def test_instance_is_copied_and_starts_again():
    used = Adam(beta_1=0.8)
    used.begin_step(0.1)
    fresh = make_optimizer(used)
    fresh.begin_step(0.1)
    fresh.begin_step(0.1)
    assert (fresh.beta_1, fresh.t, used.t) == (0.8, 2, 1)


@pytest.mark.parametrize("n_rows", [None, 200])
def test_random_weights_are_normal_and_padding_is_zero(n_rows):
    made = Parameter.random(150, 100, 0.05, np.random.RandomState(0), Momentum(), n_rows=n_rows)
    assert made.weights.shape == (n_rows or 150, 112)
    assert made.slots[0].shape == made.weights.shape and made.slots[0].dtype == np.float32
    draws = made.weights[:150, :100]
    assert abs(draws.mean()) < 4 * 0.05 / np.sqrt(draws.size)
    assert abs(draws.std() / 0.05 - 1) < 4 / np.sqrt(2 * draws.size)
    assert not made.weights[150:].any() and not made.weights[:, 100:].any()


def test_random_bfloat16_is_the_rounded_float32():
    full, half = (
        Parameter.random(150, 100, 0.05, np.random.RandomState(0), dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    assert half.weights.dtype == np.uint16
    assert_array_equal(half.weights, to_bfloat16(full.weights))
    assert_array_equal(half.as_float32(), as_float32(half.weights))
    assert_array_equal(half.as_float32([3, 1]), half.as_float32()[[3, 1]])
    assert np.shares_memory(full.as_float32(), full.weights)
    assert_array_equal(half.frozen().weights, half.weights)


@pytest.mark.parametrize(["dtype", "stored"], [("float32", np.float32), ("bfloat16", np.uint16)])
def test_zeros_are_stored_as_asked(dtype, stored):
    made = Parameter.zeros((5, 16), Adam(), dtype)
    assert made.weights.dtype == stored
    assert not made.weights.any() and not made.as_float32().any()
    assert [slot.dtype for slot in made.slots] == [np.float32] * 2
    assert made.state_bytes == 2 * 5 * 16 * 4


@pytest.mark.parametrize(
    ["optimizer", "per_row"],
    [
        (None, 0),
        (SGD(), 0),
        (Momentum(), WIDTH),
        (RMSprop(), WIDTH),
        (Adagrad(), WIDTH),
        (Adam(), 2 * WIDTH),
        (Adam(beta_1=0), WIDTH),
        (Adam(second_moment="row"), WIDTH + 1),
        (Adam(beta_1=0, second_moment="row"), 1),
    ],
    ids=repr,
)
def test_state_is_counted_in_bytes(optimizer, per_row):
    assert Parameter(weights(), optimizer).state_bytes == 4 * N_ROWS * per_row


def test_read_only_weights_and_state_are_copied_before_training():
    parameter = Parameter(weights(), Adam())
    arrays = [parameter.weights, *parameter.slots]
    for array in arrays:
        array.flags.writeable = False
    parameter.make_trainable(Adam())
    for old, new in zip(arrays, [parameter.weights, *parameter.slots], strict=True):
        assert new.flags.writeable
        assert_array_equal(old, new)


@pytest.mark.parametrize("beta_1", [0, 0.9])
@pytest.mark.parametrize("second_moment", ["weight", "row"])
def test_a_frozen_copy_gets_state_and_a_trained_one_keeps_it(beta_1, second_moment):
    adam = Adam(beta_1, second_moment=second_moment)
    parameter = Parameter(weights(), adam, width=WIDTH - 1)
    for slot in parameter.slots:
        slot[...] = 1
    frozen = parameter.frozen()
    assert frozen.state_bytes == 0
    for kept, value in [(parameter, 1), (frozen, 0)]:
        kept.make_trainable(adam)
        assert kept.width == WIDTH - 1
        assert [slot.shape[1] for slot in kept.slots] == [*adam.slot_widths(WIDTH)]
        assert all((slot == value).all() for slot in kept.slots)


@pytest.mark.parametrize(
    ["kind", "setting"],
    [
        (Adam, {"beta_1": 1}),
        (Adam, {"beta_1": float("nan")}),
        (Adam, {"beta_2": -0.1}),
        (Adam, {"epsilon": 0}),
        (Adam, {"second_moment": "column"}),
        (Momentum, {"momentum": 1.0}),
        (Momentum, {"momentum": -1}),
        (RMSprop, {"beta_2": 1}),
        (RMSprop, {"epsilon": 0}),
        (Adagrad, {"epsilon": -1}),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(kind, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        kind(**setting)


def test_settings_are_shown():
    shown = "Adam(beta_1=0.8, beta_2=0.999, epsilon=1e-08, second_moment='weight')"
    assert repr(Adam(beta_1=0.8)) == shown


@pytest.mark.parametrize("made_for", [None, SGD(), Adam(0), Adam(second_moment="row")], ids=str)
def test_state_of_another_optimizer_is_refused(made_for):
    table, adam = Parameter(np.ones((3, 16), dtype=np.float32), made_for), Adam()
    adam.begin_step(0.1)
    with pytest.raises(ValueError, match="state of 16 and 16 numbers a row for Adam"):
        adam.step(table, np.array([1], dtype=np.int32), np.ones((1, 16), dtype=np.float32))
    assert_array_equal(table.weights, 1)
