"""A count-sketch's cells are where the hash says; a table of heavy keys, as a dict holds them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_sketch as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklsh._kernels import _active_table, _count_sketch, _top_k_table

SEED = 2**63 + 5
LARGEST = 2**63 - 1


def integers(*shape, seed=0):
    """Small whole numbers: exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def some_keys(n, seed=0):
    """Keys near and far, some of them twice, and the largest there is."""
    rng = np.random.default_rng(seed)
    keys = np.concatenate([rng.integers(0, 50, n // 2), rng.integers(0, LARGEST, n - n // 2)])
    keys[-1] = LARGEST
    return rng.permutation(keys)


def sketched(keys, values, depth, width, signed=True, seed=SEED, n_threads=1):
    cells = np.zeros((depth * width, values.shape[1]), dtype=np.float32)
    _count_sketch.update(keys, values, cells, depth, signed, seed, n_threads)
    return cells


def asked(keys, cells, depth, signed, minimum, n_threads=1):
    out = np.full((len(keys), cells.shape[1]), np.nan, dtype=np.float32)
    _count_sketch.query(keys, cells, depth, signed, SEED, minimum, out, n_threads)
    return out


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ["depth", "width", "n_columns"],
    [(1, 1, 1), (1, 64, 1), (2, 16, 3), (3, 8, 1), (3, 256, 17), (4, 2**15, 1), (4, 2**16, 2),
     (7, 512, 1), (8, 4, 1), (16, 32, 2)],
)  # fmt: skip
def test_cells_and_estimates_are_the_twins(depth, width, n_columns, signed, n_threads):
    keys, values = some_keys(200), integers(200, n_columns)
    cells = sketched(keys, values, depth, width, signed, n_threads=n_threads)
    twin = reference.Sketch(depth, width, n_columns, signed, SEED)
    for key, value in zip(keys, values, strict=True):
        twin.add(key, value)
    assert np.array_equal(cells.reshape(twin.cells.shape), twin.cells)
    for minimum, ask in [(False, twin.estimate), (True, twin.least)]:
        estimates = asked(keys, cells, depth, signed, minimum, n_threads)
        assert np.array_equal(estimates, [ask(key) for key in keys])


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_rounding_does_not_depend_on_threads(n_threads):
    rng = np.random.default_rng(0)
    keys, values = some_keys(3000), rng.standard_normal((3000, 3), dtype=np.float32)
    one, several = (sketched(keys, values, 3, 4, n_threads=n) for n in (1, n_threads))
    assert np.array_equal(one, several)
    one, several = (asked(keys, one, 3, True, False, n) for n in (1, n_threads))
    assert np.array_equal(one, several)


def test_nothing_is_no_update(n_threads):
    no_keys, no_values = np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.float32)
    assert not sketched(no_keys, no_values, 2, 4, n_threads=n_threads).any()
    assert asked(no_keys, np.ones((8, 2), np.float32), 2, True, False).shape == (0, 2)


def places(keys, depth, width, seed=SEED):
    """Cell and sign of each key in each of several rows: 2 * cell + 1 where the sign is -1."""
    rows, out = np.arange(depth), np.empty((2, len(keys), depth), dtype=np.float32)
    cells = np.full((depth, width, depth), width, dtype=np.float32)
    cells[rows, :, rows] = np.arange(width)  # column r: the least is the cell in row r
    _count_sketch.query(keys, cells.reshape(-1, depth), depth, False, seed, True, out[0], 1)
    cells.fill(0)
    cells[rows, :, rows] = 1  # the least is -1 where the sign in row r is
    _count_sketch.query(keys, cells.reshape(-1, depth), depth, True, seed, True, out[1], 1)
    return (2 * out[0] - out[1]).astype(int)


def test_places_are_the_twins():
    keys = some_keys(300)
    expected = [reference.places(int(key), 4, 2**17, True, SEED) for key in keys]
    expected = np.array([[2 * cell + (sign < 0) for cell, sign in row] for row in expected])
    assert np.array_equal(places(keys, 4, 2**17), expected)


def assert_even(counts, n_sigmas=5):
    """Counts of equally likely outcomes, by Pearson's chi-square."""
    expected = counts.sum() / counts.size
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = counts.size - 1
    assert abs(chi_square - freedom) < n_sigmas * np.sqrt(2 * freedom)


CONSECUTIVE = np.arange(20_000)
STRIDED = np.arange(20_000) << 32


@pytest.mark.parametrize("keys", [CONSECUTIVE, STRIDED], ids=["consecutive", "strided"])
@pytest.mark.parametrize("width", [8, 2**17])
def test_places_and_signs_are_even_and_independent_across_rows(keys, width):
    found = places(keys, 4, width)
    cells, signs = (found >> 1) % 8, found & 1
    for r in range(4):
        assert_even(np.bincount(8 * signs[:, r] + cells[:, r], minlength=16))
        for other in range(r):
            joint = (16 * (8 * signs[:, r] + cells[:, r])) + 8 * signs[:, other] + cells[:, other]
            assert_even(np.bincount(joint, minlength=256))


def test_keys_that_collide_in_one_row_are_apart_in_others():
    """Pairs in the same cell of row 0 share cell and sign elsewhere as often as chance has it."""
    found = places(CONSECUTIVE, 3, 1024)
    order = np.argsort(found[:, 0] >> 1, kind="stable")
    mates = found[order[:-1]], found[order[1:]]
    together = (mates[0][:, 0] >> 1) == (mates[1][:, 0] >> 1)
    first, second = (mate[together] for mate in mates)
    n = len(first)
    same_sign = (first[:, 0] & 1) == (second[:, 0] & 1)
    assert abs(same_sign.mean() - 1 / 2) < 5 * np.sqrt(1 / 4 / n)
    for r in (1, 2):
        same_cell = (first[:, r] >> 1) == (second[:, r] >> 1)
        assert abs(same_cell.sum() - n / 1024) < 5 * np.sqrt(n / 1024)
        agree = ((first[:, r] & 1) == (second[:, r] & 1)) == same_sign
        assert abs(agree.mean() - 1 / 2) < 5 * np.sqrt(1 / 4 / n)


def test_the_seed_draws_another_hash():
    first, second = (places(CONSECUTIVE, 2, 1024, seed)[:, 0] for seed in (0, 1))
    same = first >> 1 == second >> 1
    assert abs(same.sum() - len(same) / 1024) < 5 * np.sqrt(len(same) / 1024)
    agree = (first & 1) == (second & 1)
    assert abs(agree.mean() - 1 / 2) < 5 * np.sqrt(1 / 4 / len(agree))


# ---- _top_k_table ----


class TopK:
    """The kernel's table, as TopK keeps it."""

    def __init__(self, k, n_columns):
        self.ids = np.full(2 * k + 1, -1, dtype=np.int64)
        self.slots = np.full(1 << (4 * k - 1).bit_length(), 2 * k, dtype=np.int32)
        self.values = np.zeros((2 * k, n_columns), dtype=np.float32)
        self.counts, self.threshold = np.zeros(2, np.intp), np.zeros(1, np.float32)
        self.norms, self.k = np.empty((2, 2 * k), np.float32), k

    def push(self, keys, values):
        _top_k_table.push(
            np.array(keys, np.int64), values, self.ids, self.slots, self.values, self.k,
            self.counts, self.threshold, SEED, self.norms,
        )  # fmt: skip

    def find(self, keys):
        rows = np.full(len(keys), -2, dtype=np.int32)
        _top_k_table.find_rows(
            np.array(keys, np.int64), self.ids, self.slots, self.counts[0], SEED, rows
        )
        return rows


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 12), st.integers(-6, 6)), max_size=80),
    st.integers(1, 7),
)
def test_the_table_is_the_dicts(k, n_columns, pushes, chunk):
    table, twin = TopK(k, n_columns), reference.TopK(k)
    keys = [key * (LARGEST // 12) for key, _ in pushes]
    values = np.array([np.roll([value, 0, 1][:n_columns], value) for _, value in pushes])
    values = values.reshape(len(keys), n_columns).astype(np.float32)
    for first in range(0, len(keys), chunk):  # counts go on from one call to the next
        table.push(keys[first : first + chunk], values[first : first + chunk])
    for key, value in zip(keys, values, strict=True):
        twin.push(key, value)
    n = table.counts[0]
    assert table.ids[:n].tolist() == list(twin.values)
    assert np.array_equal(table.values[:n], np.reshape([*twin.values.values()], (n, n_columns)))
    assert table.threshold[0] == twin.threshold
    assert table.find([*twin.values]).tolist() == list(range(n))
    others = sorted({*range(13), LARGEST - 1} - {*twin.values})
    assert (table.find(others) == -1).all()
    assert table.ids[2 * k] == -1


def test_many_keys_are_found_again_after_many_compactions():
    rng = np.random.default_rng(0)
    keys, values = rng.permutation(20_000), rng.standard_normal((20_000, 1), np.float32)
    table = TopK(100, 1)
    table.push(keys, values)
    best = np.argsort(-abs(values[:, 0]))[:100]
    rows = table.find(keys[best])
    assert (rows >= 0).all()
    assert np.array_equal(table.ids[rows], keys[best])
    assert np.array_equal(table.values[rows], values[best])
    assert (table.find(keys) >= 0).sum() == table.counts[0]


def test_keys_that_are_linked_anew_are_found():
    table = TopK(50, 1)
    table.push(some_keys(90), integers(90, 1))
    n, rows = table.counts[0], table.find(some_keys(90))
    table.slots[:] = 0
    _active_table.link_all(table.ids, n, table.slots, SEED)
    assert table.find(table.ids[:n]).tolist() == list(range(n))
    assert_array_equal(table.find(some_keys(90)), rows)


def test_a_team_smaller_than_was_asked_for_does_all_of_the_work():
    """OpenMP may give fewer threads, as it does within this limit."""
    here = Path(__file__)
    files = [str(here), str(here.with_name("test_sketched_sgd.py"))]
    chosen = ["-p", "no:cacheprovider", "-k", "on_threads or threads_make"]
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", *chosen, *files]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
