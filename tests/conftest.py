import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklsh._kernels import _simd
from sklsh.datasets import _sources

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


@pytest.fixture
def source_tree(tmp_path, monkeypatch):
    """Small source tree that stands in for the installed packages."""
    root = tmp_path / "tree"
    source = "def start(a):\n    common_call()\n"
    for folder in ("", "package", "package/tests", "site-packages"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").write_text(source)
    for name in "abcdefghijklmnopqrst":
        text = f'def run_{name}():\n    """Run {name}."""\n    common_call(); {name}_call()\n'
        (root / f"mod_{name}.py").write_text(text)
    for name in ("test_thing", "not-a-module", "package/tests/thing", "site-packages/thing"):
        (root / f"{name}.py").write_text(source)
    (root / "broken.py").write_text("def broken(:\n    common_call()\n")
    (root / "latin.py").write_bytes("# coding: latin-1\ndef é():\n    é()\n".encode("latin-1"))
    monkeypatch.setattr(_sources, "source_roots", lambda: {"root": root})
    return root
