"""The benchmark of exchanges between processes, on miniatures."""

import json
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest


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


def test_fits_over_partitions_at_a_small_size(module, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    fits, kept = module("dask_fits"), tmp_path / "kept.json"

    @contextmanager
    def here(n_workers):
        settings = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0"}
        with (
            distributed.LocalCluster(n_workers=n_workers, **settings) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client if n_workers else None

    monkeypatch.setattr(fits, "cluster_of", lambda n: here(n) if n else nullcontext())
    monkeypatch.setattr(fits, "FITS_OF_MISSION", ((None, None, None), (2, 2, "auto")))
    command = ["cluster.py", "--tasks", "mission", "--rows", "4000", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(kept)])
    module("cluster").main()
    run = json.loads(kept.read_text())
    alone, together = run["runs"][0]["results"]
    assert together["recall"] > alone["recall"] - 0.1
    assert together["merge_s"] < together["wall_s"]
    lines = module("dask_tables").dask_tables(run)
    assert sum("| 2 | 2 | 1 " in line for line in lines) == 1
    speedups = [float(cell) for cell in lines[-1].split("|")[2:-1]]
    assert 0 < speedups[0] <= 2
