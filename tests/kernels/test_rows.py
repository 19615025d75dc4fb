"""Rows gathered, embedded and updated: as NumPy does it, and rows not named stay as they are."""

import numpy as np
import pytest
import reference

from sklsh._kernels import _rows

WIDTHS = [1, 3, 16, 17, 48, 100, 128, 130]
N_FEATURES = 60
RULES = reference.UPDATE_RULES


def integers(*shape, seed=0):
    """Small whole numbers: their sums are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_batch(n, seed=0):
    """CSR batch (indptr, indices, values): empty rows, long rows, features that repeat."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 40, n) * (rng.random(n) < 0.8)
    indptr = np.append(0, np.cumsum(lengths)).astype(np.int32)
    indices = rng.integers(0, N_FEATURES - 5, indptr[-1], dtype=np.int32)
    return indptr, indices, integers(indptr[-1], seed=seed)


def row_of(batch, i):
    indptr, indices, values = batch
    inside = slice(indptr[i], indptr[i + 1])
    return np.array([0, indptr[i + 1] - indptr[i]], np.int32), indices[inside], values[inside]


def embed(batch, table, bias, n_threads=1, **relu):
    out = np.full((len(batch[0]) - 1, table.shape[1]), np.nan, dtype=np.float32)
    _rows.embed(*batch, table, bias, out, n_threads, **relu)
    return out


def transposed(batch):
    """The batch by columns, as `step_embedding` takes it."""
    *places, values = reference.transpose_batch(*batch)
    return *(place.astype(np.int32) for place in places), values


def make_state(rule, n_rows, width):
    """Weights and slots for an update rule; second moments are not negative."""
    shapes = [(n_rows, width), *reference.slot_shapes(rule, n_rows, width)]
    weights, slot1, slot2 = (normals(*shape, seed=s) for s, shape in enumerate(shapes))
    return weights, slot1, np.abs(slot2)


def no_buffers(width, n_threads):
    """Scratch memory of the steps, in which nothing stands that could be used."""
    return np.full((n_threads, 2 * width), np.nan, np.float32)


def check_step(rule, step, rows, gradient, width):
    """`step` is the twin's update on the rows `rows`, and changes no other."""
    twin, number, hyper, _ = RULES[rule]
    before = make_state(rule, N_FEATURES, width)
    after = [array.copy() for array in before]
    step(number, np.array(hyper, np.float32), *after)
    expected = twin(hyper, *(a[rows] for a in before), gradient)
    for old, new, wanted in zip(before, after, expected, strict=True):
        np.testing.assert_allclose(new[rows], wanted, rtol=1e-5, atol=1e-5)
        others = np.setdiff1d(np.arange(N_FEATURES), rows)
        assert np.array_equal(new[others], old[others])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [0, 1, 40])
def test_gather_rows_fills_the_head_of_out(n, width, simd_level, n_threads):
    table, out = normals(50, width), np.full((n + 2, width), 7, np.float32)
    rows = np.random.default_rng(n).integers(0, 50, n, dtype=np.int32)
    _rows.gather_rows(table, rows, out, n_threads)
    assert np.array_equal(out[:n], table[rows])
    assert (out[n:] == 7).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [0, 1, 150])
def test_embed_equals_dense_product(n, width, simd_level, n_threads):
    batch, table, bias = make_batch(n, seed=1), integers(N_FEATURES, width), integers(width)
    expected = reference.embed(*batch, table, bias)
    np.testing.assert_array_equal(embed(batch, table, bias, n_threads), expected)
    through_relu = embed(batch, table, bias, n_threads, relu=True)
    np.testing.assert_array_equal(through_relu, np.maximum(expected, 0))


def test_embed_row_without_values_is_the_bias(simd_level):
    nothing = np.zeros(4, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    bias = normals(17)
    assert np.array_equal(embed(nothing, normals(N_FEATURES, 17), bias), [bias] * 3)


def test_embed_lets_nan_through_the_relu(simd_level):
    nothing = np.zeros(2, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    bias = np.array([np.nan, -1, 2], dtype=np.float32)
    out = embed(nothing, normals(N_FEATURES, 3), bias, relu=True)
    np.testing.assert_array_equal(out, [[np.nan, 0, 2]])


@pytest.mark.parametrize("width", [17, 128, 130])
def test_embed_row_alone_equals_row_in_batch(width, simd_level):
    batch, table, bias = make_batch(80), normals(N_FEATURES, width), normals(width)
    together = embed(batch, table, bias)
    for i in range(80):
        assert np.array_equal(embed(row_of(batch, i), table, bias)[0], together[i])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [0, 1, 37])
def test_step_rows_follows_the_rule(rule, width, n, simd_level, n_threads):
    rows = np.random.default_rng(n).permutation(N_FEATURES)[:n].astype(np.int32)
    gradient = normals(n + 1, width, seed=3)  # longer than needed, as scratch memory is

    def step(number, hyper, *state):
        scratch = no_buffers(width, n_threads)
        _rows.step_rows(number, hyper, 0, *state, rows, gradient, scratch, n_threads)

    check_step(rule, step, rows, gradient[:n], width)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [0, 1, 90])
def test_step_embedding_follows_the_rule(rule, width, n, simd_level, n_threads):
    batch, delta = make_batch(n, seed=1), integers(n, width)
    columns = transposed(batch)
    gradient = (reference.dense(*batch, N_FEATURES).T @ delta)[columns[0]]

    def step(number, hyper, *state):
        scratch = no_buffers(width, n_threads)
        _rows.step_embedding(number, hyper, 0, *state, *columns, delta, scratch, n_threads)

    check_step(rule, step, columns[0], gradient, width)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [17, 130])
def test_same_bits_at_any_thread_count(rule, width, simd_level):
    batch, delta, bias = make_batch(300), normals(300, width), normals(width)
    columns, rows = transposed(batch), np.arange(N_FEATURES, dtype=np.int32)
    _, number, hyper, _ = RULES[rule]

    def run(n_threads):
        state = make_state(rule, N_FEATURES, width)
        first = number, np.array(hyper, np.float32), 0, *state
        scratch = no_buffers(width, n_threads)
        _rows.step_rows(*first, rows, delta, scratch, n_threads)
        _rows.step_embedding(*first, *columns, delta, scratch, n_threads)
        return [*state, embed(batch, state[0], bias, n_threads)]

    for one, two, three in zip(run(1), run(2), run(3), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)
