"""Instruction sets: forced by SKLSH_SIMD or chosen at run time, and in agreement."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sklsh._kernels import _losses, _products, _rows, _simd, _threads

LEVELS = _simd.available_levels()


def python(code, **environment):
    """Run `code` in a fresh interpreter; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def import_simd(wanted):
    return python("from sklsh._kernels import _simd; print(_simd.level())", SKLSH_SIMD=wanted)


@pytest.mark.parametrize("wanted", LEVELS)
def test_environment_forces_a_level(wanted):
    assert import_simd(wanted).stdout.strip() == wanted


def test_empty_environment_takes_the_widest_level():
    assert import_simd("").stdout.strip() == LEVELS[-1]


def test_unknown_level_is_refused_at_import():
    refused = import_simd("avx9000")
    assert refused.returncode == 1
    message = refused.stderr.strip().splitlines()[-1]
    assert message.startswith("ValueError: SKLSH_SIMD='avx9000'")
    assert all(level in message for level in LEVELS)


def test_levels_begin_with_the_baseline():
    assert LEVELS[0] == "baseline"
    assert len(set(LEVELS)) == len(LEVELS)


def test_use_level_switches(simd_level):
    assert _simd.level() == simd_level


def test_unknown_level_changes_nothing(simd_level):
    with pytest.raises(ValueError, match="'sse9' is not an instruction set of this CPU"):
        _simd.use_level("sse9")
    assert _simd.level() == simd_level


def test_max_threads_is_what_openmp_was_told():
    code = "from sklsh._kernels import _threads; print(_threads.max_threads())"
    told = int(python(code, OMP_NUM_THREADS="3").stdout)
    assert told == (3 if _threads.max_threads() else 0)


def adam_rows(rng):
    state = [np.abs(rng.standard_normal((20, 130), dtype=np.float32)) for _ in range(3)]
    hyper = np.array([0.5, 0.1, 0.01, 1e-6], np.float32)
    rows = np.arange(20, dtype=np.int32)
    gradient, buffer = (
        rng.standard_normal((20, 130), dtype=np.float32),
        np.empty((1, 130), np.float32),
    )
    _rows.step_rows(2, hyper, 0, *state, rows, gradient, buffer, 1)
    return state


def logits(rng):
    left, right = (rng.standard_normal((n, 320), dtype=np.float32) for n in (9, 70))
    out = np.empty((9, 80), np.float32)
    _products.product_nt(left, right, 70, out, 1)
    return [out]


def losses(rng):
    gradient = 20 * rng.standard_normal((6, 130), dtype=np.float32)
    one_vs_rest, offset = gradient.copy(), rng.standard_normal(130, dtype=np.float32)
    bounds, labels = np.arange(7, dtype=np.int32), np.arange(6, dtype=np.int32)
    ones, loss, log_partition = np.ones(130, np.float32), np.empty((2, 6)), np.empty(6)
    _losses.softmax_loss(gradient, offset, bounds, labels, ones, ones, loss[0], log_partition, 1)
    _losses.logistic_loss(one_vs_rest, offset, ones, bounds, labels, ones, ones, loss[1], 1)
    return [gradient, one_vs_rest, loss, log_partition]


@pytest.mark.parametrize("compute", [adam_rows, logits, losses])
def test_levels_agree_up_to_rounding(compute, simd_level):
    got = compute(np.random.default_rng(0))
    _simd.use_level("baseline")
    for array, wanted in zip(got, compute(np.random.default_rng(0)), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=2e-5)
