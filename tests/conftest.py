import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklsh._kernels import _simd

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
OURS = {
    "systems",
    "cases",
    "feature_selectors",
    *(path.stem for path in BENCHMARKS.glob("*.py")),
}  # its modules


@pytest.fixture(params=_simd.available_levels())
def simd_level(request):
    """Run the test once at every instruction set this CPU has."""
    before = _simd.level()
    _simd.use_level(request.param)
    yield request.param
    _simd.use_level(before)


@pytest.fixture(params=[1, 2])
def n_threads(request):
    """Run the test with one thread and with two."""
    return request.param


@pytest.fixture
def module(monkeypatch):
    """Import a file of benchmarks/ by name; its top-level names are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.split(".")[0] in OURS:
            del sys.modules[name]


@pytest.fixture
def tiny(tmp_path):
    """Folder of a data set whose labels are its features."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    labels = np.random.default_rng(0).integers(0, 12, 300)
    X = sp.csr_matrix(np.eye(12, dtype=np.uint8)[labels])
    for name, rows in {"train": X[:200], "test": X[200:]}.items():
        sp.save_npz(folder / f"X_{name}.npz", rows)
        sp.save_npz(folder / f"Y_{name}.npz", rows)
    return folder
