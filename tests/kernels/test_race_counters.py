"""Counters are where the twin has them; steps are hashed as it does."""

import numpy as np
import pytest
import reference_sketch as reference
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._kernels import _race

SEED = 2**63 + 5


def some_codes(n, n_rows, n_codes, seed=0):
    """Some twice, some without a place."""
    return np.random.default_rng(seed).integers(-1, n_codes, (n, n_rows)).astype(np.int32)


def added(codes, values, width, hashed, n_threads=1):
    cells = np.zeros((codes.shape[1] * width, values.shape[1]))
    _race.add(codes, values, cells, hashed, SEED, n_threads)
    return cells


def looked_up(codes, cells, hashed, n_groups, n_threads=1):
    means = np.full((len(codes), n_groups, cells.shape[1]), np.nan)
    _race.look_up(codes, cells, hashed, SEED, means, n_threads)
    return means


@pytest.mark.parametrize(
    ["n", "n_rows", "width", "hashed", "n_codes", "n_columns"],
    [(1, 1, 2, True, 9, 1), (17, 3, 8, False, 8, 2), (255, 5, 16, True, 2**31 - 1, 2),
     (256, 2, 64, False, 40, 1), (600, 7, 32, True, 100, 3)],
)  # fmt: skip
def test_counters_and_means_are_the_twins(n, n_rows, width, hashed, n_codes, n_columns, n_threads):
    codes = some_codes(n, n_rows, n_codes)
    values = np.random.default_rng(1).integers(-8, 9, (n, n_columns)).astype(float)
    cells = added(codes, values, width, hashed, n_threads)
    twin = reference.counted(codes, values, width, hashed, SEED)
    assert_array_equal(cells.reshape(twin.shape), twin)
    found = reference.counters(codes, twin, hashed, SEED)
    for n_groups in {1, min(2, n_rows), n_rows}:
        rows = np.arange(n_groups + 1) * n_rows // n_groups
        means = [found[:, a:b].mean(axis=1) for a, b in zip(rows, rows[1:], strict=False)]
        assert_allclose(
            looked_up(codes, cells, hashed, n_groups, n_threads),
            np.stack(means, axis=1),
            rtol=1e-14,
        )


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_rounding_does_not_depend_on_threads(n_threads):
    codes = some_codes(1000, 7, 50)
    values = np.random.default_rng(1).standard_normal((1000, 2))
    one, several = (added(codes, values, 16, True, n) for n in (1, n_threads))
    assert_array_equal(one, several)
    one, several = (looked_up(codes, one, True, 3, n) for n in (1, n_threads))
    assert_array_equal(one, several)


def test_nothing_is_no_update(n_threads):
    codes = np.zeros((0, 3), dtype=np.int32)
    assert not added(codes, np.zeros((0, 2)), 4, True, n_threads).any()
    assert looked_up(codes, np.ones((12, 2)), True, 1, n_threads).shape == (0, 1, 2)


def test_steps_are_hashed_as_by_the_twin(n_threads):
    rng = np.random.default_rng(0)
    projections = (3 * rng.standard_normal((40, 16))).astype(np.float32)
    projections[0, :4] = 3e38, -3e38, 2**30, 0
    offsets = rng.uniform(size=12)
    codes = np.full((40, 4), -1, dtype=np.int32)
    _race.step_codes(projections, offsets, 0.5, codes, n_threads)
    for i, own in enumerate(codes):
        for r, code in enumerate(own):
            at = slice(3 * r, 3 * r + 3)
            assert code == reference.code_of_steps(projections[i, at], offsets[at], 0.5)
    assert codes.min() >= 0


def test_projections_that_are_no_numbers_have_a_code():
    projections = np.array([[np.nan, np.inf], [-np.inf, np.inf]], dtype=np.float32)
    codes = np.full((2, 1), -1, dtype=np.int32)
    _race.step_codes(projections, np.zeros(2), 1e-300, codes, 1)
    assert codes[0] == codes[1] >= 0
