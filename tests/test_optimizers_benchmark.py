"""The benchmark of optimizers, on miniatures."""

import json
import sys

import numpy as np

SYSTEMS = ["Adam", "cs_adam", "cs_rmsprop, 10 %"]


def test_all_tasks_at_a_small_size(module, tiny, tmp_path, monkeypatch):
    benchmark, kept, tokens = module("optimizers"), tmp_path / "kept.json", tmp_path / "tokens.npz"
    parts = {part: np.arange(400) * 7 % 40 for part in ("train", "valid", "test")}
    np.savez(tokens, **parts)
    peaks = iter([(100e6, 90e6), (45e6, 40e6), (40e6, 35e6)])
    monkeypatch.setattr(benchmark.width, "peaks", lambda *args: peaks)
    monkeypatch.setattr(benchmark, "FEATURES", 1200)
    monkeypatch.setattr(benchmark, "TEST_ROWS", 100)
    command = ["optimizers.py", "--tasks", "synthetic", "documents", "words", "memory"]
    command += ["--data", str(tiny), "--tokens", str(tokens), "--systems", *SYSTEMS]
    command += ["--classes", "1500", "--rows", "300", "--test-rows", "50", "--hidden", "16"]
    monkeypatch.setattr(
        sys, "argv", [*command, "--seeds", "1", "--stretch", "1", "--json", str(kept)]
    )
    benchmark.main()
    run = json.loads(kept.read_text())
    synthetic, documents, words, memory = (part["results"] for part in run["runs"])
    for results in (synthetic, documents, words):
        assert [r["method"] for r in results] == SYSTEMS
        assert all(len(r["P@1"]) == len(r["loss"]) == 2 for r in results)
        assert all(r["cpu_us_per_row"] > 0 for r in results)
    states = [r["state_mb"] for r in synthetic]
    assert states[0] > 8 * states[1] > 8 * states[2]
    assert words[0]["P@1"][1] > 50  # each word has one successor
    assert 1 < words[0]["perplexity"][1] < 45
    assert [r["method"] for r in memory] == SYSTEMS
    lines = module("optimizer_tables").optimizers_tables(run)
    assert "| cs_adam | 40 | 45 | 0.45 |" in lines
    assert sum(line.startswith("| cs_adam |") for line in lines) == 4
    assert "DIR" in run["runs"][1]["command"] and str(tmp_path) not in kept.read_text()
