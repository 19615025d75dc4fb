"""Benchmarks that add neighbours' votes to a system in a process of its own."""

import sys
from types import SimpleNamespace

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


@pytest.fixture
def ours_elsewhere(module, monkeypatch):
    """Name under which our own network runs as a rival would."""
    systems = module("systems")
    system = systems.System("", "voted", "sklsh", {"rival": "sklsh"})
    monkeypatch.setitem(systems.SYSTEMS, "sklsh-voted", system)
    return "sklsh-voted"


@pytest.mark.slow  # two processes
def test_votes_for_a_system_elsewhere_are_those_for_it_here(
    module, crowded, ours_elsewhere, tmp_path
):
    worker = module("systems.worker")
    X, Y = (sp.csr_matrix(sp.load_npz(crowded / f"{name}_train.npz")) for name in "XY")
    X_test = sp.csr_matrix(sp.load_npz(crowded / "X_test.npz"))
    models = []
    for name in ("sklsh-blend", ours_elsewhere):
        out = tmp_path / name
        out.mkdir()
        model = worker.model_of({"system": name, "epochs": None, "seed": 3, "out": str(out)})
        model.fit(X.astype(np.float32), Y)
        models.append(model)
    here, elsewhere = models
    assert elsewhere.classifier.weight_scores_ == here.classifier.weight_scores_
    assert elsewhere.classifier.weight_ > 0
    labels = here.predict(X_test.astype(np.float32), 5)
    np.testing.assert_array_equal(elsewhere.predict(X_test.astype(np.float32), 5), labels)


@pytest.mark.slow  # two processes
def test_costs_are_those_of_all_processes(module, crowded, ours_elsewhere, tmp_path):
    data = module("xmc").prepare(crowded, tmp_path / "scratch")
    task = {"system": ours_elsewhere, "epochs": None, "seed": 0, "k": 5}
    task |= {"data": str(data.folder), "out": str(tmp_path)}
    worker = module("systems.worker")
    labels, figures, versions = worker.run(task)
    assert labels.shape == (100, 5)
    assert figures["fit_cpu_s"] > figures["search_cpu_s"] > 0 < figures["predict_cpu_s"]
    assert figures["peak_mb"] > worker.peak_bytes() / 1e6 + 20
    assert {path.name for path in (tmp_path / "model").rglob("*") if path.is_file()} == {
        "model.joblib", "votes.joblib"
    }  # fmt: skip
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


def test_places_that_nothing_filled_hold_no_label(module, tmp_path):
    model = module("systems.voted").Model(seed=0, folder=tmp_path, rival="sklsh")
    lists = np.array([[4, 11], [2, 3]]), np.array([[1, -np.inf], [2, 1]])
    model.classifier = SimpleNamespace(predict_top_k=lambda X, k: lists)
    assert model.predict(None, 2).tolist() == [[4, -1], [2, 3]]
