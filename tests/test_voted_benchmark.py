"""Benchmarks that add neighbours' votes to a system in a process of its own."""

import sys

import numpy as np
import pytest
import scipy.sparse as sp


@pytest.fixture
def crowded(tmp_path):
    """Folder of rows near one of 30 centres, which share the two labels of the centre."""
    random = np.random.default_rng(0)
    folder = tmp_path / "crowded"
    folder.mkdir()
    features, labels = random.random((30, 40)) < 0.2, random.random((30, 12)) < 0.15
    for name, n_rows in {"train": 600, "test": 100}.items():
        centres = random.integers(0, 30, n_rows)
        noise = random.random((n_rows, 40)) < 0.1
        sp.save_npz(folder / f"X_{name}.npz", sp.csr_matrix((features[centres] ^ noise) * 0.5))
        sp.save_npz(folder / f"Y_{name}.npz", sp.csr_matrix(labels[centres].astype(np.uint8)))
    return folder


@pytest.mark.slow  # three processes
def test_votes_for_a_system_elsewhere_are_those_for_it_here(module, crowded, tmp_path, monkeypatch):
    xmc, worker = module("xmc"), module("systems.worker")
    systems = module("systems").SYSTEMS
    here = systems["sklsh-blend"]
    settings = {"rival": "sklsh"}
    monkeypatch.setitem(systems, "sklsh-voted", type(here)("", "voted", "sklsh", settings))
    data = xmc.prepare(crowded, tmp_path / "scratch")
    done = {}
    for name in ("sklsh-blend", "sklsh-voted"):
        out = tmp_path / name
        out.mkdir()
        task = {"system": name, "epochs": None, "seed": 0, "k": 5}
        done[name] = worker.run(task | {"data": str(data.folder), "out": str(out)})
    (labels, ours, _), (voted, theirs, versions) = done.values()
    np.testing.assert_array_equal(voted, labels)
    assert theirs["weight"] == ours["weight"] > 0
    assert theirs["fit_cpu_s"] > theirs["search_cpu_s"] > 0 < theirs["predict_cpu_s"]
    assert theirs["model_mb"] == pytest.approx(ours["model_mb"], rel=0.2)
    assert theirs["peak_mb"] > ours["peak_mb"] > 20
    assert versions["sklsh"]


def test_rivals_that_are_not_installed_are_told(module, tiny, tmp_path, capsys):
    xmc = module("xmc")
    data = xmc.prepare(tiny, tmp_path / "scratch")
    (wanted,) = xmc.runs("tiny", ["pecos-blend"], epochs=1, seeds=1)
    assert xmc.run(wanted, data, sys.executable, tmp_path) is None
    assert "no pecos-blend; pip install libpecos" in capsys.readouterr().out


def test_probabilities_become_logits(module):
    lists = module("systems.lists")
    labels, scores = lists.listed([[(7, 0.75), (2, 0.5)], [], [(1, 1.0), (0, 0.0), (3, 0)]], 3, 3)
    assert labels.tolist() == [[7, 2, -1], [-1, -1, -1], [1, 0, 3]]
    np.testing.assert_allclose(scores[0, :2], [np.log(3), 0], rtol=1e-6)
    most = np.log(1 / lists.LEAST - 1)
    np.testing.assert_allclose(scores[2], [most, -most, -most], rtol=1e-6)
    assert scores.dtype == np.float32


def test_a_system_that_fails_is_an_error(module, tmp_path):
    voted = module("systems.voted")
    rivals = voted.Rivals({"system": "sklsh", "seed": 0, "epochs": 1}, tmp_path)
    process = rivals.start()
    assert rivals.versions["sklsh"]
    with pytest.raises(SystemExit, match="left with status 1"):
        rivals.ask(process, "fit")
