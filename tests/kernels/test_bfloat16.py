"""Weights stored as bfloat16: kernels read them as the floats they stand for, and round fairly."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sklsh._kernels import _products, _rows, _simhash, _topk
from sklsh._storage import as_float32, to_bfloat16
from sklsh._tables import HashTables

WIDTHS = [1, 3, 16, 17, 48, 100, 128, 130]
PADDED = [16, 48, 112, 128, 320]
RULES = reference.UPDATE_RULES


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def both_forms(*shape, seed=9):
    """Random weights as bits of bfloat16, and as the floats that those stand for."""
    bits = to_bfloat16(normals(*shape, seed=seed))
    return bits, as_float32(bits)


def some_rows(n, n_rows, seed=0):
    return np.random.default_rng(seed).integers(0, n_rows, n, dtype=np.int32)


def same_for_both(call, weights, rtol=0):
    """`call` gives the same bits for both forms of the weights, or the same up to `rtol`."""
    for half, full in zip(*map(call, weights), strict=True):
        assert not np.isnan(full).any()
        np.testing.assert_allclose(half, full, rtol=rtol, atol=rtol)


# ---- conversion ----


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.floats(
        width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**127), max_value=2.0**127
    )
)
def test_conversion_rounds_to_the_nearest_and_ties_to_even(x):
    assert to_bfloat16(np.array([x], np.float32))[0] == reference.to_bfloat16(x)


@pytest.mark.parametrize("low", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
@pytest.mark.parametrize("high", [0x0000, 0x0001, 0x3F80, 0x3F81, 0xBF80, 0xBF81, 0x3FFF, 0x7F7E])
def test_conversion_at_ties_and_beside_them(high, low):
    x = np.array([high << 16 | low], np.uint32).view(np.float32)
    assert to_bfloat16(x)[0] == reference.to_bfloat16(x[0])


def test_every_bfloat16_converts_to_itself():
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[np.isfinite(as_float32(bits))]
    assert len(bits) > 65000
    assert np.array_equal(to_bfloat16(as_float32(bits)), bits)


# ---- kernels that read ----


@pytest.mark.parametrize("width", WIDTHS)
def test_gather_rows(width, simd_level, n_threads):
    def gather(table):
        out = np.full((70, width), np.nan, np.float32)
        _rows.gather_rows(table, some_rows(70, 50), out, n_threads)
        return [out]

    same_for_both(gather, both_forms(50, width))


@pytest.mark.parametrize("width", WIDTHS)
def test_embed(width, simd_level, n_threads):
    indptr = np.cumsum([0, 3, 0, 40, 1, *[7] * 90], dtype=np.int32)

    def embed(table):
        out = np.full((len(indptr) - 1, width), np.nan, np.float32)
        values, rows = normals(indptr[-1]), some_rows(indptr[-1], 50)
        _rows.embed(indptr, rows, values, table, normals(width), out, n_threads)
        return [out]

    same_for_both(embed, both_forms(50, width))


@pytest.mark.parametrize("width", WIDTHS)
def test_score(width, simd_level, n_threads):
    starts = np.cumsum([0, 30, 0, 1, 17], dtype=np.int32)

    def score(table):
        out = np.full(48, np.nan, np.float32)
        _rows.score(normals(4, width), table, starts, some_rows(48, 50), out, n_threads)
        return [out]

    same_for_both(score, both_forms(50, width), rtol=1e-5)


@pytest.mark.parametrize("width", WIDTHS)
def test_rank_hits(width, simd_level, n_threads):
    codes = np.random.default_rng(0).integers(0, 8, (90, 4), dtype=np.int32)
    tables = HashTables(90, 3, 4)
    tables.rebuild(codes)

    def best(vectors):
        ids, scores, found = tables.best(
            codes[:30], normals(30, width), vectors, normals(90), 5, n_threads=n_threads
        )
        assert (found == 5).all()
        return ids, scores

    same_for_both(best, both_forms(90, width), rtol=1e-5)


@pytest.mark.parametrize("width", PADDED)
@pytest.mark.parametrize("n", [1, 15, 64, 130])
def test_product_nt_and_top_k(n, width, simd_level, n_threads):
    hidden, bias, k = normals(50, width), normals(n, seed=1), min(n, 6)

    def logits_and_best(weights):
        logits = np.full((50, -(-n // 16) * 16), np.nan, np.float32)
        _products.product_nt(hidden, weights, n, logits, n_threads)
        ids, scores = np.full((50, k), -1, np.int32), np.full((50, k), np.nan, np.float32)
        _topk.top_k(hidden, weights, bias, ids, scores, n_threads)
        return logits, ids, scores

    same_for_both(logits_and_best, both_forms(n, width))


@pytest.mark.parametrize("width", [1, 17, 64, 100])
def test_simhash(width, simd_level, n_threads):
    signs = np.random.default_rng(0).choice(np.float32([-1, 1]), (2, 2, 128))

    def simhash(vectors):
        codes = np.full((60, 25), 99, np.int32)
        buffer = np.full((n_threads, 48 * 128 + 16), np.nan, np.float32)
        _simhash.simhash(vectors, width, some_rows(60, 50), signs, 10, buffer, codes)
        return [codes]

    bits, floats = both_forms(50, width)
    bits[3], floats[3] = 0, 0
    bits[5], floats[5] = 0x8000, -0.0
    same_for_both(simhash, (bits, floats))


# ---- kernels that write ----


def take_step(rule, weights, gradient, seed=0, n_threads=1, kernel="step_rows"):
    """(weights, slots) after a step on all rows but the last three; slots begin random."""
    _, number, hyper, _ = RULES[rule]
    n_rows, width = weights.shape
    shapes = enumerate(reference.slot_shapes(rule, n_rows, width), start=5)
    slots = [np.abs(normals(*shape, seed=seed)) for seed, shape in shapes]
    scratch = np.full((n_threads, 2 * width), np.nan, np.float32)
    weights, rows = weights.copy(), np.arange(n_rows - 3, dtype=np.int32)[::-1].copy()
    arguments = number, np.array(hyper, np.float32), seed, weights, *slots
    if kernel == "step_rows":
        _rows.step_rows(*arguments, rows, gradient, scratch, n_threads)
    else:  # each feature in a row of its own and in the next, with values 1 and 2
        n = len(rows)
        starts, values = np.arange(0, 2 * n + 1, 2, dtype=np.int32), np.tile([1, 2], n)
        batch_rows = np.column_stack([np.arange(n), np.arange(n) + 1]).ravel().astype(np.int32)
        values = values.astype(np.float32)
        columns = rows, starts, batch_rows, values
        _rows.step_embedding(*arguments, *columns, gradient, scratch, n_threads)
    return weights, slots


KERNELS = pytest.mark.parametrize("kernel", ["step_rows", "step_embedding"])


@KERNELS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_step_is_that_of_floats_rounded_up_or_down(rule, width, kernel, simd_level, n_threads):
    (bits, floats), gradient = both_forms(40, width), normals(40, width, seed=3)
    half, half_slots = take_step(rule, bits, gradient, 7, n_threads, kernel)
    full, full_slots = take_step(rule, floats, gradient, 7, n_threads, kernel)
    for one, other in zip(half_slots, full_slots, strict=True):
        assert np.array_equal(one, other)
    down = (full.view(np.uint32) >> 16).astype(np.uint16)  # towards zero
    exact = full.view(np.uint32) & 0xFFFF == 0
    assert ((half == down) | (half == down + ~exact)).all()
    assert np.array_equal(half[-3:], bits[-3:])
    if width > 16:
        assert (half[:-3] != down[:-3]).any() and (half[:-3] == down[:-3]).any()


@KERNELS
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_same_bits_at_any_thread_count_and_others_with_another_seed(rule, kernel, simd_level):
    bits, gradient = to_bfloat16(normals(300, 100)), normals(300, 100, seed=3)
    one, two, three = (take_step(rule, bits, gradient, 5, n, kernel)[0] for n in (1, 2, 3))
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)
    assert not np.array_equal(one, take_step(rule, bits, gradient, 6, 1, kernel)[0])


def test_rounding_is_the_same_at_every_level(simd_level):
    """Of plain steps, whose arithmetic is exact here: the random part is of whole numbers."""
    bits, gradient = to_bfloat16(np.ones((20, 130), np.float32)), np.full((20, 130), 2**-9)
    stepped, _ = take_step("sgd", bits, gradient.astype(np.float32), seed=3)
    values, counts = np.unique(stepped[:-3], return_counts=True)
    assert values.tolist() == [0x3F7F, 0x3F80]
    assert counts.tolist() == [536, 1674]  # 2210 coins of chance 1/4, always the same


def every_finite_row():
    """Bits of 65,000 finite values."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    return bits[np.isfinite(as_float32(bits))][:65000].reshape(130, 500)


@KERNELS
@pytest.mark.parametrize("seed", [0, 2**63])
def test_no_gradient_leaves_the_bits(kernel, seed, simd_level):
    bits, nothing = every_finite_row(), np.zeros((130, 500), np.float32)
    stepped, _ = take_step("sgd", bits, nothing, seed, 1, kernel)
    assert np.array_equal(stepped, bits)


@pytest.mark.parametrize("seed", [0, 2**63])
@pytest.mark.parametrize("rule", ["adam", "rmsprop", "row_adam", "row_rmsprop"])
def test_no_gradient_and_no_state_leave_the_bits(rule, seed, simd_level):
    bits, nothing = every_finite_row(), np.zeros((130, 500), np.float32)
    slots = [np.zeros(shape, np.float32) for shape in reference.slot_shapes(rule, 130, 500)]
    _, number, hyper, _ = RULES[rule]
    first = number, np.array(hyper, np.float32), seed
    rows, scratch = np.arange(130, dtype=np.int32), np.zeros((1, 1000), np.float32)
    weights = bits.copy()
    _rows.step_rows(*first, weights, *slots, rows, nothing, scratch, 1)
    assert np.array_equal(weights, bits)


@pytest.mark.parametrize("rule", RULES)
def test_padding_stays_zero(rule, simd_level):
    bits, gradient = to_bfloat16(normals(40, 48)), normals(40, 48, seed=3)
    bits[:, 37:], gradient[:, 37:] = 0, 0
    _, number, hyper, _ = RULES[rule]
    slots = [np.zeros(shape, np.float32) for shape in reference.slot_shapes(rule, 40, 48)]
    scratch = np.zeros((1, 96), np.float32)
    rows = np.arange(40, dtype=np.int32)
    for seed in range(20):
        first = number, np.array(hyper, np.float32), seed
        _rows.step_rows(*first, bits, *slots, rows, gradient, scratch, 1)
    assert not bits[:, 37:].any()
    assert bits[:, :37].any()


@pytest.mark.parametrize("share", [1 / 256, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_is_right_on_average(share, sign, simd_level):
    """Over all weights, and in every row, column and step: 1 + share of a last place."""
    ones = to_bfloat16(np.full((203, 208), sign, np.float32))
    gradient = np.full((203, 208), -2 * sign * share * 2**-7, np.float32)  # the rate is 0.5
    went_up = np.array(
        [take_step("sgd", ones, gradient, seed)[0][:-3] != ones[:-3] for seed in range(20)]
    )
    deviation = np.sqrt(share * (1 - share))
    for axes, n_sigma in [((0, 1, 2), 4), ((1, 2), 4.5), ((0, 2), 5), ((0, 1), 5)]:
        mean = went_up.mean(axis=axes)
        n = went_up.size / mean.size
        assert (np.abs(mean - share) < n_sigma * deviation / np.sqrt(n)).all()


def test_many_small_steps_add_up(simd_level):
    """Each is a 50th of a last place; rounded to the nearest, none would count."""
    bits, gradient = to_bfloat16(np.ones((19, 64), np.float32)), np.full((19, 64), -2 * 2**-7 / 50)
    for step in range(2000):
        bits, _ = take_step("sgd", bits, gradient.astype(np.float32), seed=step)
    moved = as_float32(bits[:-3]) - 1
    assert abs(moved.mean() - 2000 / 50 * 2**-7) < 4 * moved.std() / np.sqrt(moved.size)
    assert 0 < moved.std() < 0.1
