"""The benchmark of exchanges between processes, on miniatures."""

import json
import sys

import numpy as np


def test_bytes_at_a_small_size(module, tmp_path, monkeypatch):
    benchmark, kept = module("cluster"), tmp_path / "kept.json"
    trainings = module("compressed_training")
    monkeypatch.setattr(trainings, "TRAIN_ROWS", 300)
    monkeypatch.setattr(trainings, "TEST_ROWS", 100)
    command = ["cluster.py", "--workers", "3", "--steps", "2", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(kept)])
    benchmark.main()
    run = json.loads(kept.read_text())
    for part in run["runs"]:
        assert len(part["results"]) == len(trainings.SETTINGS)
        by_method = {r["method"]: r for r in part["results"]}
        assert by_method["coo"]["loss"] == by_method["dense"]["loss"]
        assert 0 < by_method["auto, k=0.01"]["bytes"] < by_method["coo"]["bytes"]
    lines = module("distributed_tables").distributed_tables(run)
    assert sum(line.startswith("| dense |") for line in lines) == 4


def test_gradients_are_those_of_the_loss(module, monkeypatch):
    trainings = module("compressed_training")
    monkeypatch.setattr(trainings, "TRAIN_ROWS", 40)
    monkeypatch.setattr(trainings, "TEST_ROWS", 8)
    for make in trainings.PROBLEMS:
        problem = make(0)
        problem = problem._replace(test=tuple(part[:8] for part in problem.train))
        weights = np.random.default_rng(0).normal(size=problem.shape)
        rows, values = problem.gradient(weights, np.arange(8))
        for i in (0, len(rows) - 1):
            losses = []
            for step in (1e-4, -1e-4):
                moved = weights.copy()
                moved[rows[i], 0] += step
                losses.append(problem.judged(moved)[0])
            np.testing.assert_allclose(
                np.diff(losses[::-1])[0] / 2e-4, values[i, 0], rtol=1e-3, atol=1e-7
            )
