"""Reports on where accuracy comes from: tail labels, fewer rows, each default."""

import json
import sys

import numpy as np
import pytest

from sklsh import SLIDEClassifier


def test_labels_left_out_count_as_wrong(module, tiny, tmp_path):
    xmc = module("xmc")
    data = xmc.prepare(tiny, tmp_path / "scratch")
    truth = data.Y_test.argmax(axis=1).A1
    labels = np.full((len(truth), 5), -1)
    labels[:, 0] = truth
    assert xmc.scores(data, labels)["P@5"] == pytest.approx(20)
    labels[0] = -1
    assert xmc.scores(data, labels)["P@1"] == pytest.approx(99)


def test_parts_add_up_to_the_whole(module, tiny, tmp_path):
    xmc, tail = module("xmc"), module("tail")
    data = xmc.prepare(tiny, tmp_path / "scratch", share=0.5)
    assert data.size["n_rows"] == 100
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(12)[:5] for _ in range(100)])
    labels[:, 4] = -1  # not given
    parts, whole = tail.parts(data, labels), xmc.scores(data, labels)
    for metric in ("P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5"):
        assert sum(part[metric] for part in parts) == pytest.approx(whole[metric], rel=1e-3)
    assert sum(part["of test labels"] for part in parts) == pytest.approx(100, rel=1e-3)


def test_each_part_holds_the_labels_of_its_frequency(module, tiny, tmp_path):
    xmc, tail = module("xmc"), module("tail")
    data = xmc.prepare(tiny, tmp_path / "scratch")
    truth = data.Y_test.argmax(axis=1).A1
    labels = np.full((len(truth), 5), -1)
    labels[:, 0] = truth
    rare = data.frequency[truth] < 20
    labels[rare, 0] = -1  # found are those of 20 rows and more
    assert rare.any() and not rare.all()
    few, some, common, most = tail.parts(data, labels)
    assert [few["P@1"], some["P@1"], most["P@1"]] == [0, 0, 0]
    assert (some["recall"], common["recall"]) == (0, 100)
    assert common["P@1"] == pytest.approx(100 * np.mean(~rare), abs=0.1)
    assert some["of test labels"] == pytest.approx(100 * np.mean(rare), abs=0.1)


@pytest.mark.slow  # two processes
def test_report_of_a_tiny_data_set(module, tiny, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "kept.json"
    command = ["tail.py", "--data", str(tiny), "--systems", "sklsh", "--shares", "0.5", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(kept), "--epochs", "3"])
    module("tail").main()
    run = json.loads(kept.read_text())
    assert [(r["n_rows"], "parts" in r) for r in run["results"]] == [(100, False), (200, True)]
    assert run["results"][1]["P@1"] == 100
    assert str(tmp_path) not in kept.read_text()
    printed = capsys.readouterr().out
    assert "| | 100 rows | 200 rows |" in printed
    assert printed.count("| sklsh, defaults |") == 2


def test_each_variant_is_scored_on_held_out_rows(module, tiny, tmp_path, monkeypatch, capsys):
    recipe, kept = module("recipe"), tmp_path / "kept.json"
    (X, Y), (X_held_out, Y_held_out) = recipe.split(tiny)
    assert (X.shape[0], X_held_out.shape[0]) == (Y.shape[0], Y_held_out.shape[0]) == (160, 40)
    command = ["recipe.py", "--data", str(tiny), "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", [*command, "--variants", "defaults", "no hidden dropout"])
    recipe.main()
    results = json.loads(kept.read_text())["results"]
    wanted = [(name, seed) for name in ("defaults", "no hidden dropout") for seed in (0, 1)]
    assert [(r["variant"], r["seed"]) for r in results] == wanted
    assert all(r["P@1"] > 50 and r["fit_cpu_s"] > 0 for r in results)
    assert "| | tiny: P@1 | P@5 | PSP@5 | CPU s |" in capsys.readouterr().out


def test_every_variant_is_one_that_the_classifier_takes(module):
    for settings in module("recipe").VARIANTS.values():
        SLIDEClassifier(**settings)._validate_params()
