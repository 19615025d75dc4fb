"""The benchmark of estimates of the partition function, at a small size."""

import json
import os
import sys

import numpy as np
import pytest


def test_every_way_estimates_the_same_sum(module):
    partition = module("partition")
    rng = np.random.default_rng(0)
    vectors, offset = rng.normal(size=(1000, 16)), rng.normal(size=1000)
    queries = rng.normal(size=(30, 16)) / 4
    log_z = np.logaddexp.reduce(queries @ vectors.T + offset, axis=1)
    frequency = rng.integers(0, 10, 1000)
    seen = set()
    for size, way in partition.ways(vectors, offset, frequency, queries):
        for name, r in partition.measure(way, log_z, 8).items():
            seen.add(name)
            assert partition.line({"data": "tiny", "way": name, "size": size} | r)
            if name == "all":
                assert r["log_error"] < 1e-5
            else:
                assert abs(r["bias"]) < 5 * r["bias_error"] + 1e-5
                assert 0 < r["products"] < 5000
    assert seen >= {"mixed", "best and tail", "by frequency", "all"}


@pytest.mark.slow
def test_partition_at_a_small_size(module, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "kept.json"
    size = ["--rows", "1000", "--features", "3000", "--classes", "2500", "--width", "32"]
    command = ["partition.py", *size, "--queries", "20", "--draws", "3", "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    module("partition").main()
    run = json.loads(kept.read_text())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(run["results"])
    assert {r["data"] for r in run["results"]} == {
        "trained, 2,500 classes",
        "random, 2,500 vectors",
    }
    assert all(r["cpu_us"] > 0 and r["variance"] >= 0 for r in run["results"])
    assert all(("tables_ms" in r) == ("tables" in r["size"]) for r in run["results"])


def test_tables_of_the_partition(module):
    row = {"way": "mixed", "size": "11 bits, 16 tables", "products": 1519.4, "cpu_us": 62.31,
           "bias": 0.0053, "bias_error": 0.0051, "variance": 0.221, "log_error": 0.139}  # fmt: skip
    run = {"setting": "S", "command": "C", "machine": {"cpu": "M"}, "results": [
        row | {"data": data} for data in ("trained", "random")
    ]}  # fmt: skip
    line = "| mixed | 11 bits, 16 tables | 1,519 | 62 | 0.005 (0.005) | 0.22 | 0.14 |"
    lines = module("results").partition_tables(run)
    assert lines[:3] == ["S.", "", "**trained**"]
    assert lines[6] == lines[12] == line
    assert lines[8] == "**random**" and lines[-1] == "From `C`, M."
