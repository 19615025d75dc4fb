"""Steps in 8-bit integers: near those in floats, right on average, the same on all threads."""

import numpy as np
import pytest
from reference import logistic_loss, softmax_loss

from sklsh._kernels import _int8, _simd
from sklsh._memory import aligned_zeros

CODES = 126.99


def problem(m, n, width, seed=0):
    """A batch, its candidates and its labels, with one row that has none."""
    rng = np.random.default_rng(seed)
    counts = np.full(m, min(2, n))
    counts[m // 2] = 0
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    first = np.repeat(rng.integers(0, n, m), counts)
    place = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
    table = rng.standard_normal((n + 5, width), dtype=np.float32)
    ids = rng.permutation(n + 5)[:n].astype(np.int32)
    return {
        "table": table,
        "ids": ids,
        "hidden": np.maximum(rng.standard_normal((m, width), dtype=np.float32), 0),
        "bias": rng.standard_normal((n + 5, 1), dtype=np.float32),
        "shift": rng.standard_normal(n, dtype=np.float32),
        "weight": rng.uniform(0.5, 2, n).astype(np.float32),
        "indptr": indptr,
        "positions": ((first + place) % n).astype(np.int32),
        "label_weight": rng.uniform(0.5, 2, indptr[-1]).astype(np.float32),
        "row_weight": rng.uniform(0.5, 2, m).astype(np.float32),
    }


def step(p, loss="softmax", seed=1, n_threads=1):
    """(d_hidden, d_rows, d_offset, loss) of the kernel."""
    (m, width), n = p["hidden"].shape, len(p["ids"])
    weight = p["weight"] if loss == "logistic" else np.zeros(0, dtype=np.float32)
    scratch = aligned_zeros(_int8.scratch_bytes(m, n, width, n_threads), np.int8)
    scratch[:] = 99
    # a velocity at a rate of -1 and without momentum is the gradient
    momentum = 1, np.array([-1, 0], dtype=np.float32), seed
    table, bias = (np.array(p[name]) for name in ("table", "bias"))
    d_table, d_bias, none = (np.zeros((len(table), n), np.float32) for n in (width, 1, 0))
    d_hidden = np.full((m, width), np.nan, dtype=np.float32)
    losses, log_partition = np.full(m, np.nan), np.full(m, np.nan)
    _int8.step(
        *momentum, table, d_table, none, *momentum, bias, d_bias, none,
        p["hidden"], p["ids"], p["shift"], weight, p["indptr"], p["positions"],
        p["label_weight"], p["row_weight"], scratch, d_hidden, losses, log_partition, n_threads,
    )  # fmt: skip
    if table.dtype == np.float32:
        np.testing.assert_array_equal(table, p["table"] + d_table)
    np.testing.assert_array_equal(bias, p["bias"] + d_bias)
    others = np.setdiff1d(np.arange(len(table)), p["ids"])
    assert not d_table[others].any() and not d_bias[others].any()
    assert (loss == "softmax") == np.isfinite(log_partition).all()
    return d_hidden, d_table[p["ids"]], d_bias[p["ids"], 0], losses


def rounded(x):
    """x as the nearest codes of its rows, in floats again."""
    scale = np.abs(x).max(axis=1, keepdims=True) / CODES
    return np.round(np.divide(x, scale, where=scale > 0, out=np.zeros(x.shape))) * scale


def twin(p, loss="softmax"):
    """The same of the exact gradients, at the logits of rounded operands."""
    logits = rounded(p["hidden"]) @ rounded(p["table"][p["ids"]]).T
    offset = p["bias"][p["ids"], 0] + p["shift"]
    labels = p["indptr"], p["positions"], p["label_weight"], p["row_weight"]
    if loss == "softmax":
        losses, _, delta = softmax_loss(logits, offset, *labels)
    else:
        losses, delta = logistic_loss(logits, offset, p["weight"], *labels)
    return delta @ p["table"][p["ids"]], delta.T @ p["hidden"], delta.sum(axis=0), losses


def near(got, wanted, share):
    """Equal up to a share of the largest value."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=share * np.abs(wanted).max() + 1e-6)


LOSSES = pytest.mark.parametrize("loss", ["softmax", "logistic"])
SIZES = [
    (1, 1, 16), (2, 5, 16), (7, 17, 48), (33, 70, 112), (64, 49, 304), (97, 130, 128), (9, 601, 64),
]  # fmt: skip


@LOSSES
@pytest.mark.parametrize("m, n, width", SIZES)
def test_step_is_near_that_in_floats(loss, m, n, width, simd_level, n_threads):
    p = problem(m, n, width)
    d_hidden, d_rows, d_offset, losses = step(p, loss, n_threads=n_threads)
    wanted = twin(p, loss)
    near(losses, wanted[3], 2e-3)  # where a code fell on the other side of a tie
    near(d_offset, wanted[2], 5e-3)
    near(d_hidden, wanted[0], 0.1)
    near(d_rows, wanted[1], 0.1)


@LOSSES
def test_gradients_are_right_on_average(loss, simd_level):
    p = problem(13, 37, 32)
    draws = [step(p, loss, seed=seed) for seed in range(400)]
    wanted = twin(p, loss)
    for part in range(2):
        values = np.stack([draw[part] for draw in draws]).astype(float)
        error = values.mean(axis=0) - wanted[part]
        standard_error = values.std(axis=0) / np.sqrt(len(draws))
        assert (standard_error > 0).mean() > 0.8  # rounded at random it is
        tolerance = 5 * standard_error + 1e-3 * np.abs(wanted[part]).max()
        assert (np.abs(error) < tolerance).all()
    for part in range(2, 4):  # the forward pass is not random
        assert all(np.array_equal(draw[part], draws[0][part]) for draw in draws)


@LOSSES
def test_same_bits_at_any_thread_count(loss, simd_level):
    p = problem(150, 333, 64)
    one, *others = (step(p, loss, n_threads=n_threads) for n_threads in (1, 2, 3))
    for other in others:
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


@LOSSES
def test_levels_agree_up_to_ties(loss, simd_level):
    p = problem(40, 90, 64)
    got = step(p, loss)
    _simd.use_level("baseline")
    for one, other in zip(got, step(p, loss), strict=True):
        near(one, other, 0.02)


@LOSSES
def test_rows_stored_as_bfloat16_give_the_gradients_of_their_floats(loss, simd_level, n_threads):
    p = problem(40, 90, 64)
    bits = p["table"].view(np.uint32) >> 16
    stored = p | {"table": bits.astype(np.uint16)}
    p["table"] = (bits << 16).view(np.float32)
    for got, wanted in zip(step(stored, loss, n_threads=n_threads), step(p, loss), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_sums_longer_than_32_bits_hold(simd_level):
    p = problem(2, 70_001, 16)
    p["row_weight"][:] = 1
    p["shift"] -= 12  # no single class stands out: every term of the long sums counts
    p["table"] *= 0.01
    d_hidden, d_rows, _, losses = step(p, "logistic")
    wanted = twin(p, "logistic")
    near(losses, wanted[3], 1e-3)
    near(d_hidden, wanted[0], 0.2)
    near(d_rows, wanted[1], 0.1)


def test_rows_and_activations_of_zeros(simd_level, n_threads):
    p = problem(40, 20, 32)
    p["table"][:] = 0
    p["hidden"][5] = 0
    d_hidden, d_rows, _, losses = step(p, n_threads=n_threads)
    wanted = twin(p)
    np.testing.assert_array_equal(d_hidden, 0)
    np.testing.assert_allclose(losses, wanted[3], rtol=1e-5)
    near(d_rows, wanted[1], 0.1)


@pytest.mark.parametrize("part", ["table", "hidden"])
def test_denormal_numbers_count_as_zeros(part, simd_level):
    p = problem(10, 20, 32)
    p[part] *= np.float32(1e-38)
    d_hidden, d_rows, *_ = tiny = step(p)
    p[part] *= 0
    for got, wanted in zip(tiny, step(p), strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(d_hidden if part == "table" else d_rows, 0)


def test_rows_without_weight_teach_nothing(simd_level):
    p = problem(10, 20, 32)
    p["row_weight"][:] = 0
    for out in step(p):
        np.testing.assert_array_equal(out, 0)


def test_too_little_scratch_is_refused(monkeypatch):
    monkeypatch.setattr(_int8, "scratch_bytes", lambda *sizes: 100)
    with pytest.raises(ValueError, match="scratch is smaller than scratch_bytes"):
        step(problem(4, 20, 16))


@pytest.mark.parametrize("wrong", [-1, 25])
def test_candidates_that_are_no_classes_are_refused(wrong):
    p = problem(4, 20, 16)
    p["ids"][7] = wrong
    with pytest.raises(ValueError, match=r"rows must lie in \[0, 25\), the rows of the weights"):
        step(p)
