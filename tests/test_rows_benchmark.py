"""The benchmark of choosing the rows to train on, at small sizes, and its tables."""

import argparse
import gzip
import json

import numpy as np
import pytest


@pytest.fixture
def rows(module):
    pytest.importorskip("torch")
    return module("rows")


def arguments(**settings):
    usual = {"methods": ["uniform", "kernel"], "rows": 2000, "seeds": 2, "real_seeds": 1}
    return argparse.Namespace(**usual | {"pytorch": True, "data": None} | settings)


def curve(*losses):
    return [[i, float(i), loss] for i, loss in enumerate(losses, start=1)]


# ---- data ----


def test_hard_rows_and_flipped_labels_are_as_many_as_asked_for(module):
    tasks = module("row_tasks")
    X, y, hard = tasks.hard_region(20_000, 1)
    _, flipped, _ = tasks.hard_region(20_000, 1, flipped=0.4)
    assert X.shape == (20_000, 32) and X.dtype == np.float32 and set(y) == set(range(8))
    assert 0.04 < hard.mean() < 0.06
    assert 0.3 < (y != flipped).mean() < 0.4  # one in eight is flipped to what it was


def test_letters_are_read_and_split(module, tmp_path):
    (tmp_path / "uci").mkdir()
    features = (np.arange(16_010)[:, None] + np.arange(16)) % 7
    lines = [",".join(["ABZ"[i % 3], *map(str, row)]) for i, row in enumerate(features)]
    with gzip.open(tmp_path / "uci" / "letter-recognition.data.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    tasks = module("row_tasks")
    task = tasks.real_task("letter", tmp_path)
    assert task.train[0].shape == (16_000, 16) and task.test[0].shape == (10, 16)
    np.testing.assert_array_equal(task.classes, [0, 1, 25])
    np.testing.assert_allclose(task.train[0].std(axis=0), 1, rtol=1e-3)
    for name in tasks.REAL[1:]:
        assert tasks.real_task(name, tmp_path) is None


# ---- trainings ----


def test_taking_turns_changes_no_model(rows, module):
    trainings = module("row_trainings")
    task = module("row_tasks").hard_region_task(2000)
    settings = {"rate": 0.02, "schedule": "linear", "epochs": 8, "seed": 0}
    alone, *others = (
        rows.training_of(method, task, (8,), **settings)
        for method in ("stale", "uniform", "stale", "PyTorch, uniform")
    )
    alone.train()
    results = trainings.take_turns(others, 30, along=True)
    X = task.test[0]
    np.testing.assert_array_equal(others[1].scores(X), alone.scores(X))
    for result in results:
        steps, seconds, losses = np.transpose(result["curve"])
        assert steps[-1] == 256 and (np.diff(steps) > 0).all() and (np.diff(seconds) > 0).all()
        assert losses[-1] == pytest.approx(result["loss"]) and losses[-1] < losses[0]
    assert results[1]["by scores"] > 0 and results[0]["by scores"] == 0
    assert 0.03 < results[0]["hard draws"] < 0.07 < results[1]["hard draws"]


def test_divergence_is_a_result(rows, module):
    task = module("row_tasks").hard_region_task(2000)
    settings = {"rate": 1e30, "schedule": "constant", "epochs": 1, "seed": 0}
    with np.errstate(all="ignore"):
        (result,) = module("row_trainings").take_turns(
            [rows.training_of("uniform", task, (8,), **settings)], 30, along=True
        )
    assert result["diverged"] and "loss" not in result


def test_clock_counts_each_second_once(module, monkeypatch):
    pytest.importorskip("torch")
    parts = module("row_parts")
    now = [0.0]
    monkeypatch.setattr(parts.time, "thread_time", lambda: now[0])
    clock = parts.Clock()

    def work(seconds):
        now[0] += seconds

    inner = clock.timed("inner", work)
    clock.timed("outer", lambda: (inner(2.0), work(0.5), inner(3.0)))()
    assert clock.seconds == {"inner": 5.0, "outer": 0.5}


# ---- tables ----


def test_share_of_time_is_where_the_smooth_loss_first_is_uniform_s_last(module):
    share = module("row_tables").share_of_time
    uniform = curve(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)  # the last five have a mean of 2
    assert share(uniform, uniform) == 1
    assert share(curve(9, 2, 2, 2, 2, 2, 9), uniform) == 0.6
    assert share(curve(*10 * [3]), uniform) == np.inf


def test_uniform_s_error_between_its_numbers_of_epochs(module):
    uniform = [
        {"epochs": n, "cpu_s": seconds, "error": error}
        for n, seconds, error in ((3, 1.0, 0.4), (3, 1.0, 0.2), (4, 4.0, 0.1))
    ]
    in_time = module("row_tables").error_in_time
    np.testing.assert_allclose([in_time(uniform, s) for s in (0.5, 1, 2, 4)], [0.3, 0.3, 0.2, 0.1])


def test_a_run_replaces_its_tasks_in_the_file_and_its_tables_tell(rows, module, tmp_path):
    path = tmp_path / "rows.json"
    of_method = {"task": "hard region", "seed": 0, "hard error": 0.3, "cpu_s": 2.0, "rate": 0.1}
    first = [
        of_method | {"method": "uniform", "curve": curve(3, 2)},
        of_method | {"method": "stale", "curve": curve(1, 1)},
        of_method | {"method": "exact", "curve": curve(4, 4)},
    ]
    parts = {"hashing": 0.01, "scoring": 0.02, "drawing": 0.03, "feedback": 0.04}
    rows.keep(arguments(json=path), first, parts)
    real = {"task": "letter", "model": "linear", "budget": 3, "shown": True, "seed": 0}
    real |= {"method": "uniform", "epochs": 3, "cpu_s": 1.0, "error": 0.25, "rate": 0.1}
    rows.keep(arguments(json=path), [real, real | {"method": "stale", "error": 0.5}], None)
    rows.keep(arguments(json=path), [real, real | {"method": "stale", "error": 0.2}], None)
    kept = json.loads(path.read_text())
    assert [r.get("error") for r in kept["results"]] == [None, None, None, 0.25, 0.2]
    assert kept["command"].count("python benchmarks/") == 1
    lines = module("row_tables").rows_tables(kept)
    assert "| uniform | 1.00 (1.00 to 1.00), 2.5000 |" in lines
    assert "| stale | 1.00 (1.00 to 1.00), 1.0000 |" in lines
    assert "| exact | never (never to never), 4.0000 |" in lines
    assert "| letter, linear, 3 epochs | 25.00 ± 0.00 | 20.00 ± 0.00 (25.00) |" in lines
    assert any("takes 10.0% of the time" in line for line in lines)


@pytest.mark.slow
def test_every_task_at_a_small_size(rows, tmp_path):
    args = arguments(seeds=1, pytorch=False, json=tmp_path / "out.json")
    for name in ("hard", "stream", "parts", "flipped", "imbalance"):
        for results, parts in rows.RUNS[name](args):
            rows.keep(args, results, parts)
    kept = json.loads(args.json.read_text())
    assert len({r["task"] for r in kept["results"]}) == 4
    assert all(0 < r["loss"] < 2 for r in kept["results"]) and kept["parts"]["hashing"] > 0
