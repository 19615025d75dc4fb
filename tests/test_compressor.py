"""Compressed exchange of gradients: exact where it says so, the same on all processes."""

import importlib
import importlib.util
import re
import sys

import numpy as np
import pytest
from exchanges import (
    EXACT,
    N_ROWS,
    as_matrix,
    check,
    gradient_of,
    run_schemes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process_comm import on_each
from numpy.testing import assert_array_equal
from under_mpi import assert_two_processes_agree, needs_mpi

from sklsh.distributed import SketchCompressor
from sklsh.distributed._collectives import Or, Sum
from sklsh.distributed._row_sparse import as_code, code_bytes, from_bitmap, from_code

simulate = SketchCompressor.simulate


@st.composite
def gradients(draw, n_rows=64, width=2):
    """Whole numbers in some rows: their sums are exact."""
    rows = sorted(draw(st.sets(st.integers(0, n_rows - 1))))
    whole = st.lists(st.integers(-9, 9), min_size=width, max_size=width)
    values = [draw(whole) for _ in rows]
    shape = (len(rows), width)
    return np.array(rows, dtype=np.int32), np.array(values, dtype=np.float32).reshape(shape)


def of_kind(message, kind):
    """Arrays of a message that are reduced in one way."""
    return [part.array for part in message if isinstance(part, kind)]


def sketched(scheme, gradient, counts=(64, 64)):
    """The message in which a gradient's sketch travels."""
    exchange = SketchCompressor(scheme, width=8).exchange(*gradient, 64)
    reduced = None
    while not of_kind(message := exchange.send(reduced), Sum):
        reduced = [[part.array, part.array] for part in message]
    return message


@settings(max_examples=25, deadline=None)
@given(gradients(), gradients())
def test_sketches_are_linear_and_bitmaps_unite(a, b):
    total = simulate([SketchCompressor("coo")] * 2, [a, b], 64)
    for scheme in ("s2", "fetch"):
        parts = [of_kind(sketched(scheme, gradient), Sum)[0] for gradient in (a, b, total)]
        assert_array_equal(parts[0] + parts[1], parts[2])
    bitmaps = [of_kind(sketched("s2", gradient), Or)[0] for gradient in (a, b)]
    assert_array_equal(from_bitmap(Or.of(bitmaps), 64), np.union1d(a[0], b[0]))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1000), st.randoms(use_true_random=False))
def test_codes_give_rows_back_in_few_bits(n_rows, random):
    n = random.randint(0, n_rows)
    rows = np.array(sorted(random.sample(range(n_rows), n)), dtype=np.int32)
    code = as_code(rows, n_rows)
    assert len(code) == code_bytes(n, n_rows)
    assert 8 * len(code) <= n * (np.log2(n_rows / max(n, 1)) + 3) + 16
    assert_array_equal(from_code(code, n, n_rows), rows)


@pytest.mark.parametrize("n_processes", [1, 2, 3])
def test_all_processes_receive_the_same(n_processes):
    results = on_each(n_processes, run_schemes)
    check(results)
    together = [SketchCompressor("topk", k=25) for _ in range(n_processes)]
    for step in range(2):
        total = simulate(together, [gradient_of(r, step) for r in range(n_processes)], N_ROWS)
    assert_array_equal(as_matrix(*total), as_matrix(*results[0]["topk"][0][-1]))
    assert [c.bytes_sent_ for c in together] == [result["topk"][2] for result in results]


@pytest.mark.parametrize(
    ["n_each", "shared", "n_workers", "form"],
    [(3, False, 4, "coo"), (100, False, 2, "coo"), (60, True, 8, "union"), (300, True, 2, "dense"),
     (200, False, 8, "union")],
)  # fmt: skip
def test_auto_takes_the_form_of_fewest_bytes(n_each, shared, n_workers, form):
    rng = np.random.default_rng(0)
    draws = [np.sort(rng.choice(N_ROWS, n_each, replace=False)) for _ in range(n_workers)]
    values = rng.integers(-9, 10, size=(n_workers, n_each, 2)).astype(np.float32)
    rows = [(draws[0] if shared else draw).astype(np.int32) for draw in draws]
    gradients = list(zip(rows, values, strict=True))
    sent = {}
    for scheme in ("auto", *EXACT):
        workers = [SketchCompressor(scheme, k=N_ROWS) for _ in range(n_workers)]
        received = simulate(workers, gradients, N_ROWS)
        total = sum(as_matrix(*gradient) for gradient in gradients)
        assert_array_equal(as_matrix(*received), total)
        sent[scheme] = workers[0].bytes_sent_
        if scheme == "auto":
            assert workers[0].forms_ == {"gradient": form}
    assert sent["auto"] <= min(sent.values()) + 4 * n_workers + 2 * N_ROWS / 8  # a bitmap


def test_fetch_zeroes_the_cells_that_its_update_hits():
    compressor = SketchCompressor("fetch", k=5, width=64, momentum=0.9)
    for step in range(3):
        rows, _ = compressor.simulate([compressor], [gradient_of(0, step)], N_ROWS)
    state = compressor._states["fetch", "gradient"]
    assert len(rows) == 5
    for sketch in (state.error, state.velocity):
        assert_array_equal(sketch.query(rows), np.zeros((5, 2)))
        hit = sketch.copy().clear().update(rows, np.ones((5, 2))).cells != 0
        assert not sketch.cells[hit].any() and sketch.cells.any()


def test_fetch_gives_momentum_to_what_waits():
    compressor = SketchCompressor("fetch", k=1, width=64, momentum=0.5)
    for values in ([10.0, 1.0], [0.0, 0.0]):
        gradient = np.array([3, 7], dtype=np.int32), np.array(values, dtype=np.float32)[:, None]
        rows, received = simulate([compressor], [gradient], 9)
    assert (rows.tolist(), received.tolist()) == ([7], [[1.5]])  # 1, and then half of it again


def test_memory_is_asked_for_before_the_exchange(monkeypatch):
    monkeypatch.setattr("sklsh._memory.available_bytes", lambda: 10**6)
    with pytest.raises(MemoryError, match="3 dense matrices of 1,000,000 rows of 3, .*48,000,000"):
        SketchCompressor().exchange(ROWS, VALUES, 1_000_000)
    SketchCompressor("coo").exchange(ROWS, VALUES, 1_000_000)


def test_fetch_does_not_diverge_where_rows_are_many():
    compressor = SketchCompressor("fetch", k=20, width=16, momentum=0.9)
    ones = np.arange(N_ROWS, dtype=np.int32), np.ones((N_ROWS, 1), dtype=np.float32)
    for _ in range(60):
        _, values = compressor.simulate([compressor], [ones], N_ROWS)
    assert abs(values).max() < 1e4


def test_what_was_held_back_leaves_a_process_without_a_gradient():
    compressor = SketchCompressor("topk", k=0.5)
    for values in ([4.0, 3.0, 2.0, 1.0], [], []):
        rows = np.arange(len(values), dtype=np.int32)
        gradient = rows, np.array(values, dtype=np.float32).reshape(-1, 1)
        rows, _ = simulate([compressor], [gradient], 9)
    assert_array_equal(rows, [3])
    assert not compressor.residual().any()


def test_names_have_states_of_their_own_until_reset():
    compressor = SketchCompressor("topk", k=1)
    gradient = np.array([1, 2], dtype=np.int32), np.array([[1.0], [2.0]], dtype=np.float32)
    for name in ("a", "b", "a"):
        rows, values = simulate([compressor], [gradient], 9, name)
    assert (rows, values) == ([1], [[2.0]]) or (rows, values) == ([2], [[2.0]])
    assert_array_equal(compressor.residual("b")[[1, 2], 0], [1, 0])
    assert len(simulate([compressor.set_params(scheme="fetch")], [gradient], 9, "a")[0]) == 1
    compressor.set_params(scheme="topk")
    with pytest.raises(ValueError, match="keep its shape .n_rows, width., .9, 1.; got .10, 1."):
        simulate([compressor], [gradient], 10, "a")
    with pytest.raises(ValueError, match="residual only under"):
        compressor.reset().residual("a")


ROWS = np.array([1, 5], dtype=np.int32)
VALUES = np.ones((2, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ["rows", "values", "n_rows", "message"],
    [
        (ROWS.astype(np.int64), VALUES, 9, "rows must be int32 .* got int64 and float32"),
        (ROWS, VALUES.astype(float), 9, "values float32; got int32 and float64"),
        (ROWS[None], VALUES, 9, "rows must be one-dimensional"),
        (ROWS, VALUES[:1], 9, "values must have shape .* n = 2"),
        (ROWS, VALUES[:, 0], 9, "values must have shape"),
        (ROWS[::-1].copy(), VALUES, 9, "distinct and ascending"),
        (ROWS[[0, 0]], VALUES, 9, "distinct and ascending"),
        (ROWS, VALUES, 5, "below n_rows, 5; got 1 to 5"),
        (ROWS - 2, VALUES, 9, "at least 0 .* got -1 to 3"),
        (ROWS, VALUES / np.float32(0.1) * np.inf, 9, "values must be finite"),
        (ROWS, VALUES, 0, "n_rows must be an integer"),
    ],
)
def test_bad_gradients_are_named(rows, values, n_rows, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SketchCompressor().exchange(rows, values, n_rows)


@pytest.mark.parametrize(
    ["parameters", "message"],
    [
        ({"scheme": "zip"}, "'scheme' parameter"),
        ({"k": 0}, "'k' parameter"),
        ({"k": 1.5}, "'k' parameter"),
        ({"k": 10}, "k must be an integer between 1 and the number of rows, n_rows, 9"),
        ({"width": 100}, "width must be a power of two"),
        ({"momentum": 1.0}, "'momentum' parameter"),
        ({"random_state": None}, "'random_state' parameter"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        SketchCompressor(**parameters).exchange(ROWS, VALUES, 9)


@pytest.mark.parametrize(
    ["other", "message"],
    [
        ({"n_rows": 10}, "n_rows=9, .* n_rows=10,"),
        ({"values": VALUES[:, :1]}, "width=3, .* width=1,"),
        ({"k": 2}, "k=0.1, .* k=2,"),
    ],
)
def test_processes_that_disagree_all_say_so_and_keep_nothing(other, message):
    compressors = [SketchCompressor(), SketchCompressor(k=other.pop("k", 0.1))]
    calls = [{"rows": ROWS, "values": VALUES, "n_rows": 9} | extra for extra in ({}, other)]

    def run(comm):
        return compressors[comm.Get_rank()].all_reduce(comm=comm, **calls[comm.Get_rank()])

    for error in on_each(2, run):
        assert isinstance(error, ValueError) and re.search(message, str(error))
    assert not any(hasattr(compressor, "shapes_") for compressor in compressors)


def test_neither_mpi_nor_dask_is_needed(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("sklsh.distributed")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("mpi4py", "dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    compressor = importlib.import_module("sklsh.distributed").SketchCompressor()
    rows, values = compressor.simulate([compressor], [(ROWS, VALUES)], 9)
    assert_array_equal(as_matrix(rows, values, 9), as_matrix(ROWS, VALUES, 9))


@needs_mpi
@pytest.mark.slow
def test_processes_under_mpi_agree():
    assert_two_processes_agree("exchanges.py")
