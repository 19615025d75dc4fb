"""Rows with known support, and the selectors that look for it."""

import argparse
import sys

import numpy as np
import pytest

FEW = {"n_rows": 4000, "n_test": 1000, "n_true": 10, "length": 20}


@pytest.mark.parametrize("zipf", [None, 2000])
@pytest.mark.parametrize("n_features", [2000, 1 << 40])
def test_rows_hold_what_is_asked_for(module, zipf, n_features):
    support = module("sparse_support")
    family = support.Family(n_features, zipf if n_features > 2000 else zipf and 1900, 0.2)
    data = support.make_sparse_support(family, **FEW)
    ids = np.vstack([X.indices.reshape(-1, 20) for X in (data.X, data.X_test)])
    assert data.X.shape == (4000, n_features) and data.X_test.shape == (1000, n_features)
    assert (np.diff(ids, axis=1) > 0).all() and ids.min() >= 0 and ids.max() < n_features
    assert data.X.indices.dtype == (np.int32 if n_features == 2000 else np.int64)
    true = np.isin(ids, data.true_ids).sum(axis=1)
    assert true.min() == 1 and true.mean() == pytest.approx(4, abs=0.2)
    assert len(data.true_ids) == 10 and (np.diff(data.true_ids) > 0).all()
    assert ((np.abs(data.weights) >= 0.5) & (np.abs(data.weights) < 2)).all()
    if zipf:  # about as many ids occur as there are ranks, the first in most of the rows
        counts = np.sort(np.unique(ids, return_counts=True)[1])
        assert 1500 < len(counts) <= 2010 and counts[-1] > 2500
    else:
        assert len(np.unique(ids)) > (1900 if n_features == 2000 else 75_000)


def test_labels_are_drawn_from_the_model(module):
    support, mission = module("sparse_support"), module("mission")
    data = support.make_sparse_support(support.Family(1000, None, 0.2), **FEW)
    is_true = mission.columns(data.X, data.true_ids)
    assert (is_true.toarray() == data.X[:, data.true_ids].toarray()).all()
    logits = is_true @ data.weights
    logits -= logits.mean()
    for low, high in ((-4, -2), (-1, 1), (2, 4)):
        part = (logits > low) & (logits < high)
        expected = 1 / (1 + np.exp(-logits[part]))
        deviation = np.sqrt((expected * (1 - expected)).sum()) / part.sum()
        assert abs(data.y[part].mean() - expected.mean()) < 4 * deviation
    assert mission.refit_accuracy(data, data.true_ids[::-1]) == pytest.approx(
        data.ceiling, abs=0.02
    )
    assert mission.refit_accuracy(data, np.arange(5)) < 0.7
    assert data.recall(data.true_ids[:3]) == 0.3


def test_draws_repeat_with_the_seed(module):
    support = module("sparse_support")
    family = support.FAMILIES["zipf-2^40"]
    a, b, c = (support.make_sparse_support(family, **FEW, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.X.indices, b.X.indices)
    np.testing.assert_array_equal(a.y, b.y)
    assert not np.isin(a.true_ids, c.true_ids).any()


def test_rows_too_short_are_an_error(module):
    support = module("sparse_support")
    with pytest.raises(ValueError, match="Too few distinct ids"):
        support.make_sparse_support(support.Family(22, None, 0.1), **FEW)
    with pytest.raises(ValueError, match="hold so many true"):
        support.make_sparse_support(support.Family(3000, None, 1), **FEW | {"n_true": 30})


MATRIX = ["defaults", "active", "mission", "sgd", "sgd-constant", "chi2", "liblinear"]


@pytest.mark.parametrize("name", [*MATRIX, "tokens", "hasher"])
def test_the_selectors_find_the_truth(module, name):
    support, mission = module("sparse_support"), module("mission")
    data = support.make_sparse_support(support.Family(2000, None, 0.2), **FEW)
    args = argparse.Namespace(true=10, passes=1, rows=4000, no_memory=True, turns=2, threads=1)
    fitted = mission.fitted_in_turns([name], data, 0, args)
    result = mission.measure("tiny", name, *fitted[name], data, 0, args)
    least = 0.4 if name in ("defaults", "sgd") else 0.8  # too many passes; too large a first step
    assert result["recall"] >= least and result["refit"] > 0.7 and result["state_mb"] > 0
    assert result["rows/s"] == pytest.approx(4000 / result["cpu_s"], rel=1e-3)


def test_names_and_weights_of_vowpal_wabbit_are_read(module, tmp_path):
    kind = module("feature_selectors.wabbit").Wabbit
    settings = {"n_features_to_select": 2, "seed": 3, "options": "-b 5", "names": True}
    wabbit = kind(python=sys.executable, folder=tmp_path, passes=2, **settings)
    assert "--passes 2" in wabbit.options and wabbit.n_bytes == 32 * 16
    wabbit.names.write_text("Id \nbits:5\n:1\nn^f7:3:-0.5 1 2\nn^f70:9:0.25 1 2\nn^f1:8:2e-1\n")
    np.testing.assert_array_equal(wabbit.ranked(None), [7, 70])
    with pytest.raises(RuntimeError, match="vowpalwabbit"):
        wabbit.fit()  # this Python has none


def test_ours_take_turns_on_one_and_more_threads(module):
    support, mission = module("sparse_support"), module("mission")
    data = support.make_sparse_support(support.Family(2000, None, 0.2), **FEW)
    args = argparse.Namespace(true=10, passes=1, turns=1, threads=2)
    assert mission.speed_up("active", data, args) > 0


@pytest.mark.slow  # a process for the peak
def test_report_of_few_rows(module, monkeypatch, capsys, tmp_path):
    kept = tmp_path / "kept.json"
    command = ["mission.py", "--families", "zipf", "zipf-2^40", "--systems", "sgd", "vowpal"]
    command += ["--rows", "2000", "--test-rows", "500", "--seeds", "2", "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", command)
    module("mission").main()
    printed = capsys.readouterr().out
    assert printed.count("peak_mb") == 1 and kept.exists()
    assert "| SGDClassifier, l1 |" in printed and "family zipf-2^40" not in printed  # too wide


def test_table_of_selectors(module):
    row = {"family": "zipf", "title": "A", "ceiling": 0.9, "state_mb": 4.0, "refit": 0.85}
    rows = [row | {"rows/s": 1e5 * n, "recall": n / 4, "seed": n} for n in (1, 2, 3)]
    rows[0]["peak_mb"] = 12.3
    rows.append({key: row[key] for key in ("family", "ceiling", "state_mb")} | {"title": "B"})
    rows[-1] |= {"rows/s": 1500.0}
    run = {"data": "D", "setting": "S", "command": "C", "machine": {"cpu": "M"}, "results": rows}
    assert module("results").mission_tables(run)[2:] == [
        "**zipf**; the true model's accuracy is 0.900", "",
        "| | thousand rows per CPU s | peak MB | state MB | recall, least / mean "
        "| accuracy of a refit |",
        "|---|---|---|---|---|---|",
        "| A | 200 | 12 | 4 | 0.25 / 0.500 | 0.850 |",
        "| B | 1.5 |  | 4 |  |  |",
        "", "From `C`, M.",
    ]  # fmt: skip


def test_trials_hold_the_model_and_dense_descent_finds_it(module):
    phases = module("phase_transition")
    X, y, supports = phases.draw(n=400, k=2, n_trials=3, seed=0)
    for trial in range(3):
        columns = X[trial][:, supports[trial]].astype(float)
        weights, residual, *_ = np.linalg.lstsq(columns, y[trial])
        assert ((np.abs(weights) > 0.75) & (np.abs(weights) < 1.25)).all()
        assert residual[0] / 400 == pytest.approx(0.01, rel=0.3)
    for name in ("mission", "active", "unpenalized", "vector", "dense"):
        np.testing.assert_array_equal(phases.SYSTEMS[name](X, y, 2, 0), supports)
    greedy = phases.SYSTEMS["greedy"](X, y, 2, 0)
    assert greedy.shape == (3, 2) and (greedy != supports).any()


def test_report_and_picture_of_phases(module, monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    pictures = [tmp_path / name for name in ("a.svg", "b.svg", "c.png")]
    for picture in pictures:
        command = ["phase_transition.py", "--systems", "dense", "--sparsity", "1", "2"]
        command += ["--rows", "20", "150", "--trials", "2", "--json", str(tmp_path / "kept.json")]
        monkeypatch.setattr(sys, "argv", [*command, "--picture", str(picture)])
        module("phase_transition").main()
    printed = capsys.readouterr().out
    assert "| k | | 20 rows | 150 rows |" in printed and "| 1 | dense | 0.00 | 1.00 |" in printed
    assert str(tmp_path) not in (tmp_path / "kept.json").read_text()
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert pictures[2].stat().st_size > 1000
