"""Tests of NeighborBlendClassifier: what it predicts, keeps, passes on and refuses."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from models import (
    CLUSTER,
    CORNERS,
    Popular,
    X,
    assert_same_weights,
    blend,
    make,
    wide_model,
    wide_problem,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklsh._votes import WEIGHTS

WORDS, TAGS = wide_problem()
WEIGHT = np.where(CLUSTER == 0, 0.0, np.linspace(0.5, 2, 200))
NAMES = np.array(["ash", "birch", "cedar", "dogwood"])


@pytest.mark.parametrize(
    "y", [CLUSTER, CORNERS, NAMES[CLUSTER]], ids=["labels", "indicator", "text"]
)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_without_weight_it_is_the_estimator(y, form):
    model, alone = blend(weight=0).fit(form(X), y), make(max_iter=3).fit(form(X), y)
    assert_same_weights(model.estimator_, alone)
    for mine, its in zip(model.predict_top_k(X, 3), alone.predict_top_k(X, 3), strict=True):
        assert_array_equal(mine, its)
    assert_array_equal(model.predict(X), alone.predict(X))
    assert model.memory_usage_["neighbors"] == model.memory_usage_["labels"] == 0


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_votes_lift_the_labels_of_neighbours(form):
    model = blend(Popular(), weight=100, n_neighbors=1).fit(form(X), NAMES[CLUSTER])
    assert_array_equal(model.predict(form(X)), NAMES[CLUSTER])  # rows are their own neighbours
    labels, scores = model.predict_top_k(form(X))
    assert labels.shape == (200, 4) and scores.dtype == np.float32
    assert_array_equal(labels[:, 0], NAMES[CLUSTER])
    expected = np.full((200, 4), np.log(51 / 200), dtype=np.float32)
    expected[:, 0] += 100
    assert_array_equal(scores, expected)


def test_scores_are_those_of_the_estimator_plus_votes():
    model = wide_blend(weight=2).fit(WORDS, TAGS)
    labels, scores = model.predict_top_k(WORDS, 7)
    listed, logits = model.estimator_.predict_top_k(WORDS, 50)
    poll = model._electorate.poll(WORDS, 1)
    for i in range(0, 600, 50):
        votes = poll.shares[i] @ TAGS[np.maximum(poll.rows[i], 0)].toarray()
        expected = dict.fromkeys(np.flatnonzero(votes).tolist(), logits[i, -1])
        expected |= dict(zip(listed[i].tolist(), logits[i], strict=True))
        expected = {label: s + 2 * votes[label] for label, s in expected.items()}
        best = sorted(expected, key=lambda label: (-expected[label], label))[:7]
        assert set(labels[i, :5]) <= set(best)  # the last may tie
        np.testing.assert_allclose(scores[i], [expected[j] for j in labels[i]], rtol=1e-5)
        np.testing.assert_allclose(scores[i], [expected[j] for j in best], rtol=1e-5)


def wide_blend(**settings):
    return blend(wide_model(), **settings)


def test_labels_of_the_list_and_of_neighbours_are_candidates():
    model = wide_blend(weight=1000, n_candidates=1).fit(WORDS, TAGS)
    labels, _ = model.predict_top_k(WORDS, 2)
    hits = TAGS[np.repeat(np.arange(600), 2), labels.ravel()] > 0
    assert hits.mean() > 0.9  # the row itself votes with the largest share
    k = 3000
    every, _ = model.predict_top_k(WORDS[:2], k)
    assert_array_equal(np.sort(every), np.tile(np.arange(k), (2, 1)))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_multilabel_predictions_have_as_many_labels_as_the_estimator_s(container):
    model = blend(make(loss="logistic"), weight=3).fit(X, container(CORNERS))
    predicted, its = model.predict(X), model.estimator_.predict(X)
    assert type(predicted) is type(its) and predicted.dtype == its.dtype
    predicted, its = (sp.csr_array(p).toarray() for p in (predicted, its))
    n_labels = predicted.sum(axis=1)
    assert_array_equal(n_labels, its.sum(axis=1))
    labels, _ = model.predict_top_k(X, 4)
    for row, ranked, n in zip(predicted, labels, n_labels, strict=True):
        assert_array_equal(np.flatnonzero(row), np.sort(ranked[:n]))


def test_row_alone_is_predicted_as_among_others(n_threads):
    model = wide_blend(weight=3, n_jobs=n_threads).fit(WORDS, TAGS)
    labels, scores = model.predict_top_k(WORDS, 5)
    for i in range(0, 600, 60):
        alone = model.predict_top_k(WORDS[i : i + 1], 5)
        assert_array_equal(alone[0][0], labels[i])
        assert_array_equal(alone[1][0], scores[i])


def test_threads_make_no_difference():
    one, two = (wide_blend(n_jobs=n).fit(WORDS, TAGS) for n in (1, 2))
    assert one.weight_scores_ == two.weight_scores_
    for a, b in zip(one.predict_top_k(WORDS), two.predict_top_k(WORDS), strict=True):
        assert_array_equal(a, b)


def test_hash_tables_are_fixed_by_the_random_state():
    models = [blend(weight=3, algorithm="lsh").fit(X, CLUSTER) for _ in range(2)]
    for a, b in zip(*(m.predict_top_k(X) for m in models), strict=True):
        assert_array_equal(a, b)
    assert (models[0].predict(X) == CLUSTER).mean() > 0.9


# ---- the weight ----


def test_votes_that_decide_get_a_weight():
    model = blend(Popular()).fit(X, CLUSTER)
    assert model.weight_ > 0
    assert model.weight_scores_[model.weight_] == max(model.weight_scores_.values()) > 0.9
    assert model.weight_scores_[0.0] < 0.5
    assert tuple(model.weight_scores_) == WEIGHTS


@pytest.mark.parametrize("seed", range(5))
def test_votes_that_tell_nothing_get_none(seed):
    rng = np.random.RandomState(seed)
    noise = rng.normal(size=(1000, 20)).astype(np.float32)
    label = (rng.random(1000) < 0.3).astype(int)
    model = blend(Popular(), random_state=seed).fit(noise, label)
    assert model.weight_ == 0
    assert model._electorate is None


def test_given_weight_is_taken():
    model = blend(Popular(), weight=2.5).fit(X, CLUSTER)
    assert (model.weight_, model.weight_scores_, model.estimator_.seen_["n"]) == (2.5, None, 200)


@pytest.mark.parametrize(
    ["settings", "n"],
    [
        ({}, 200),
        ({"refit": False}, 160),
        ({"refit": False, "validation_fraction": 0.03}, 194),
        ({"validation_fraction": 0.03}, 194),
        ({"validation_fraction": 0.06}, 200),
        ({"validation_fraction": 0.03, "refit": True}, 200),
        ({"weight": 1, "refit": False}, 200),
    ],
)
def test_rows_that_the_estimator_has_seen(settings, n):
    model = blend(Popular(), **settings).fit(X, CLUSTER)
    assert model.estimator_.seen_["n"] == n
    assert model._electorate.labels.shape[0] == 200  # votes come from all rows


def test_no_more_than_5000_rows_are_held_out():
    many = sp.csr_array(np.ones((30_000, 1), dtype=np.float32))
    model = blend(Popular(), refit=False).fit(many, np.arange(30_000) % 2)
    assert model.estimator_.seen_["n"] == 25_000


def test_every_class_stays_in_the_rows_that_are_fitted():
    label = np.concatenate([np.arange(30), np.zeros(10, dtype=int)])
    model = blend(Popular(), refit=False, validation_fraction=0.9).fit(X[:40], label)
    assert_array_equal(model.estimator_.classes_, np.arange(30))
    assert model.estimator_.seen_["n"] == 30


def test_rows_of_no_weight_neither_vote_nor_choose():
    weight = (np.arange(200) % 2).astype(float)
    label = np.where(weight, CLUSTER, (CLUSTER + 1) % 4)
    model = blend(Popular(), refit=False).fit(X, label, sample_weight=weight)
    assert model._electorate.labels.shape[0] == 100
    assert model.weight_scores_[model.weight_] > 0.8
    assert model.estimator_.seen_["n"] == 180
    assert model.score(X, CLUSTER) > 0.9


# ---- scikit-learn ----


def test_parameters_of_the_estimator_are_reached():
    model = blend()
    assert model.get_params()["estimator__max_iter"] == 3
    assert "estimator__max_iter" not in model.get_params(deep=False)
    copy = clone(model.set_params(estimator__max_iter=1, n_neighbors=4))
    assert (copy.estimator.max_iter, copy.n_neighbors) == (1, 4)
    search = GridSearchCV(blend(weight=1), {"estimator__max_iter": [1, 2]}, cv=2).fit(X, CLUSTER)
    assert search.best_params_["estimator__max_iter"] in (1, 2)


def test_the_given_estimator_stays_as_it_was():
    given = make(max_iter=1)
    blend(given).fit(X, CLUSTER)
    assert vars(given) == vars(make(max_iter=1))


@pytest.mark.parametrize("algorithm", ["exact", "lsh"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_what_is_stored_predicts_the_same(algorithm, form, tmp_path):
    model = blend(weight=3, algorithm=algorithm).fit(form(X), CORNERS)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    for again in (pickle.loads(pickle.dumps(model)), mapped):
        for a, b in zip(again.predict_top_k(X), model.predict_top_k(X), strict=True):
            assert_array_equal(a, b)


def test_lean_copy_predicts_the_same_with_less():
    model = wide_blend(weight=3).fit(WORDS, TAGS)
    lean = model.lean_copy()
    for a, b in zip(lean.predict_top_k(WORDS), model.predict_top_k(WORDS), strict=True):
        assert_array_equal(a, b)
    assert len(pickle.dumps(lean)) < 0.6 * len(pickle.dumps(model))
    assert not hasattr(blend(Popular(), weight=1).fit(X, CLUSTER), "lean_copy")


def test_memory_usage():
    model = wide_blend(weight=3).fit(WORDS, TAGS)
    usage = model.memory_usage_
    assert usage["neighbors"] == 8 * WORDS.nnz + 8 * (WORDS.shape[1] + 1)
    assert usage["labels"] == 4 * TAGS.nnz + 8 * 601
    assert usage["estimator"] == model.estimator_.memory_usage_["total"]
    assert usage["total"] == sum(usage[part] for part in ("neighbors", "labels", "estimator"))
    assert "estimator" not in blend(Popular(), weight=1).fit(X, CLUSTER).memory_usage_


def test_feature_names():
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = blend(weight=1).fit(frame, CLUSTER)
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert model.n_features_in_ == 5
    assert_array_equal(model.predict(frame), blend(weight=1).fit(X, CLUSTER).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("edcba")])


def test_arguments_of_fit_are_passed_on():
    model = blend(Popular(), refit=False).fit(X, CLUSTER, sample_weight=WEIGHT, note=np.arange(200))
    seen = model.estimator_.seen_
    assert_array_equal(seen["sample_weight"], WEIGHT[seen["note"]])  # those of the same rows
    assert len(seen["note"]) == seen["n"] < 200


def test_metadata_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        asked = Popular().set_fit_request(sample_weight=True, note=True)
        model = blend(asked, weight=1).fit(X, CLUSTER, sample_weight=WEIGHT, note="n")
        assert_array_equal(model.estimator_.seen_["sample_weight"], WEIGHT)
        assert model.estimator_.seen_["note"] == "n"
        assert blend(asked, weight=1).fit(X, CLUSTER).estimator_.seen_["note"] is None
        unasked = Popular().set_fit_request(sample_weight=False)
        model = blend(unasked, weight=1).fit(X, CLUSTER, sample_weight=WEIGHT)
        assert model.estimator_.seen_["sample_weight"] is None
        assert model._electorate.labels.shape[0] == np.count_nonzero(WEIGHT)  # it is used here
        with pytest.raises(ValueError, match="note"):
            blend(unasked, weight=1).fit(X, CLUSTER, note="n")


class Recorder:
    """Callback that is passed on to sub-estimators and notes where a task begins and ends."""

    max_propagation_depth = None

    def __init__(self):
        self.tasks, self.lifecycle = [], []

    def setup(self, estimator, context):
        self.lifecycle.append("setup")

    def teardown(self, estimator, context):
        self.lifecycle.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.tasks.append((type(estimator).__name__, context.source_task_name, context.task_name))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.fitted = fitted_estimator


def test_callbacks_see_the_epochs_of_every_fit():
    recorder = Recorder()
    model = blend(make(max_iter=2)).set_callbacks(recorder).fit(X, CLUSTER)
    epochs = [("SLIDEClassifier", None, "epoch")] * 2
    assert recorder.tasks == [
        ("NeighborBlendClassifier", None, "fit"),
        ("SLIDEClassifier", "weight search", "fit"), *epochs,
        ("SLIDEClassifier", "fit", "fit"), *epochs,
    ]  # fmt: skip
    assert recorder.lifecycle == ["setup", "teardown"]
    assert_array_equal(recorder.fitted.predict(X), model.predict(X))
    assert not hasattr(model.estimator_, "_skl_callbacks")


def test_callbacks_do_not_change_the_model():
    watched = blend().set_callbacks(Recorder()).fit(X, CLUSTER)
    assert_same_weights(watched.estimator_, blend().fit(X, CLUSTER).estimator_)
