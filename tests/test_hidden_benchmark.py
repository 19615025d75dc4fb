"""benchmarks/hidden.py: its pictures, its runs in miniature, and its tables."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_rectangles_are_outlines_taller_or_wider():
    from shapes import make_rectangles

    X, tall = make_rectangles(60, seed=0)
    for picture, is_tall in zip(X.reshape(-1, 28, 28), tall, strict=True):
        height, width = (np.ptp(places) + 1 for places in np.nonzero(picture))
        assert (height > width) == is_tall and abs(int(height) - int(width)) >= 3
        perimeter = max(height, width) if 1 in (height, width) else 2 * (height + width) - 4
        assert picture.sum() == perimeter
    assert 0.3 < tall.mean() < 0.7
    assert_array_equal(make_rectangles(60, seed=0)[0], X)


def test_regions_are_convex_where_their_class_says_so():
    from shapes import _is_convex, make_regions

    X, convex = make_regions(60, seed=0)
    for picture, is_convex in zip(X.reshape(-1, 28, 28) > 0, convex, strict=True):
        assert _is_convex(picture) == is_convex
        middle = picture[:-2] & picture[2:] & ~picture[1:-1]  # a gap in a column
        assert not (is_convex and middle.any())
    assert convex.sum() == 30


def test_a_small_run_is_kept_and_shown(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    import hidden
    from hidden_tables import hidden_tables

    monkeypatch.setattr(hidden, "SIZES", (40, 40))
    monkeypatch.setitem(hidden.SETS, "rectangles", (hidden.rectangles, 1))
    monkeypatch.setattr(hidden, "N_TEST", 50)
    path = tmp_path / "hidden.json"
    arguments = [
        "hidden.py", "--sets", "rectangles", "--seeds", "1", "--widths", "64", "--turns", "1",
        "--json", str(path),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    hidden.main()
    kept = json.loads(path.read_text())
    assert {r["system"] for r in kept["results"]} >= {"dense", "lsh", "uniform", "PyTorch"}
    lines = hidden_tables(kept)
    assert lines[0] == "| | rectangles | mean |" and "64 units" in "\n".join(lines)
    assert lines[-1].startswith("From `python benchmarks/hidden.py --sets rectangles")
