"""The benchmarks of sampled softmax, at small sizes, and their tables."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from test_benchmarks import run_script


def run(data, results, command="python benchmarks/softmax.py"):
    return {
        "command": command, "machine": {"cpu": "a CPU"}, "data": data, "setting": "tiny",
        "results": results,
    }  # fmt: skip


def result(method, epochs, perplexity, seed=0):
    return {
        "method": method, "seed": seed, "epochs": epochs, "classes": 30.0, "cpu_s": 2.0,
        "perplexity": perplexity, "P@1": 0.25,
    }  # fmt: skip


def test_a_run_replaces_its_methods_in_the_file_and_keeps_the_others(module, tmp_path):
    keep, path = module("softmax").keep, tmp_path / "runs.json"
    keep(path, run("words", [result("full", 1, 9), result("lsh", 1, 8)], "first"))
    keep(path, run("classes", [result("lsh", 1, 5)], "other"))
    keep(path, run("words", [result("lsh", 1, 7)], "second"))
    classes, words = json.loads(path.read_text())["runs"]
    assert [(r["method"], r["perplexity"]) for r in words["results"]] == [("full", 9), ("lsh", 7)]
    assert words["command"] == "first` and `second"
    assert [r["perplexity"] for r in classes["results"]] == [5]


def test_table_of_softmax_has_means_over_the_seeds(module):
    results = [result("lsh", 1, 9), result("lsh", 1, 11, seed=1), result("full", 2, 1234)]
    lines = module("results").softmax_tables({"runs": [run("words", results)]})
    assert "| lsh | 30 | 10 (2), 0.250 |  |" in lines
    assert "| full | 30 |  | 1,234 (2), 0.250 |" in lines


def test_tails_known_elsewhere_are_taken_out_before_ranking(module):
    """Pair (0, 0) has tails 1, 2 in training and 3 in test: only 0 and 4 can stand before 3."""

    class Model:
        def decision_function(self, X):
            return np.tile(np.array([9.0, 8.0, 7.0, 6.0, 1.0], dtype=np.float32), (X.shape[0], 1))

    link_prediction = module("link_prediction")
    parts = {
        "train": np.array([[0, 0, 1], [0, 0, 2], [4, 1, 0]]),
        "valid": np.array([[4, 1, 2]]),
        "test": np.array([[0, 0, 3], [4, 1, 1]]),
    }
    graph = link_prediction.Graph(parts)
    X, Y, _ = graph.rows("train")
    assert sp.issparse(X) and X.shape == (2, 5 + 2 + 5) and Y.toarray().sum() == 3
    assert X.toarray()[0, 7:].tolist() == [0, 0, 0, 0, 1]  # neighbours but for its labels
    assert link_prediction.filtered_ranks(Model(), graph).tolist() == [2, 1]


@pytest.mark.slow
def test_softmax_at_a_small_size(tmp_path):
    methods = ["defaults", "full", "lsh, head-tail", "own sets, lsh, importance"]
    tokens = np.random.RandomState(0).zipf(1.5, 4000).clip(max=2999)
    np.savez(tmp_path / "tokens.npz", train=tokens, valid=tokens[:300], test=tokens[300:900])
    out = run_script(
        "softmax.py", "--tokens", str(tmp_path / "tokens.npz"), "--window", "2", "--hidden", "8",
        "--epochs", "1", "--seeds", "1", "--rates", "0.01", "0.02", "--negatives", "300",
        "--methods", *methods, "--json", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert [line.split("  ")[0] for line in out.splitlines()] == [f"method {m}" for m in methods]
    (kept,) = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert [r["method"] for r in kept["results"]] == methods
    assert all(1 < r["perplexity"] < 3000 for r in kept["results"])
