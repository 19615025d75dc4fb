"""The benchmark of vSGD-fd, on a miniature, and its tables."""

import json
import sys

import numpy as np
import pytest


def test_a_small_run_and_its_tables(module, monkeypatch, tmp_path):
    benchmark, kept = module("vsgd"), tmp_path / "kept.json"
    monkeypatch.setattr(benchmark, "STEPS", 20)
    monkeypatch.setattr(benchmark, "REAL_RATES", (0.1, 1.0))
    monkeypatch.setitem(benchmark.EPOCHS, "breast cancer", 3)
    command = ["vsgd.py", "--seeds", "2", "--real-seeds", "1", "--sets", "breast cancer", "letter"]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(kept)])
    benchmark.main()
    run = json.loads(kept.read_text())
    assert [(r["function"], r["d"], r["n"]) for r in run["functions"]] == benchmark.CASES
    assert [r["method"] for r in run["real"]] == ["vsgd", "default", "adam", "sgd"]
    lines = module("vsgd_tables").vsgd_tables(run)
    assert len([line for line in lines if line.startswith("| parabola")]) == 4
    (cells,) = (line.split("|")[2:6] for line in lines if line.startswith("| breast cancer, 3 "))
    assert [cell.count(";") for cell in cells] == [2, 3, 2, 2]


@pytest.mark.parametrize("function", ["parabola", "absolute"])
def test_excess_is_the_expected_loss_over_the_least_one(function, module):
    benchmark = module("vsgd")
    z = np.random.RandomState(0).standard_normal(400_000)
    loss = np.abs if function == "absolute" else lambda at: at**2 / 2
    for w in (0.0, 0.5, -2.0):
        wanted = np.mean(loss(w + z)) - np.mean(loss(z))
        assert benchmark.excess(function, np.full((1, 1), w)) == pytest.approx(wanted, abs=0.01)
        slope = np.mean(benchmark.slopes(function, w + z))
        step = (np.mean(loss(w + 1e-3 + z)) - np.mean(loss(w - 1e-3 + z))) / 2e-3
        assert slope == pytest.approx(step, abs=0.01)
