"""Predictions through hash tables, log-probabilities, frames, and routed sample weights."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

FRAME = pd.DataFrame(X, columns=["oak", "ash", "elm", "fir", "yew"])


@pytest.fixture(scope="module")
def trained():
    return wide_model((32,), max_iter=3).fit(*wide_problem(3000))


@pytest.fixture
def wide(trained):
    """(rows, model) with 3,000 classes; the model may be changed."""
    return wide_problem(300, seed=1)[0], copy.deepcopy(trained)


def test_lsh_finds_most_of_the_best_and_scores_them_exactly(wide):
    rows, model = wide
    exact, logits = model.predict_top_k(rows, 1)[0], model.decision_function(rows)
    shares = {}
    model.set_params(prediction="lsh")
    for n_tables in (2, 16, 64):
        labels, scores = model.set_params(n_tables=n_tables).predict_top_k(rows, 3)
        assert_allclose(scores, np.take_along_axis(logits, labels, axis=1), rtol=1e-4, atol=1e-5)
        assert (np.diff(scores) <= 0).all()
        assert (np.diff(np.sort(labels)) > 0).all()
        shares[n_tables] = np.mean(labels[:, :1] == exact)
    assert shares[2] < shares[64]
    assert shares[64] > 0.9


@pytest.fixture(scope="module")
def trained_on_all():
    """A model whose training looked at every class: others have no row that could be hashed."""
    return wide_model((32,), n_active=1000).fit(*wide_problem(3000))


@pytest.mark.parametrize("k", [1, 5, 300])
def test_lsh_is_exact_where_every_class_is_a_candidate(k, trained_on_all, simd_level):
    rows, model = wide_problem(300, seed=1)[0], copy.deepcopy(trained_on_all)
    assert model.coefs_[-1].any(axis=0).all()
    exact = model.predict_top_k(rows, k)
    found = model.set_params(prediction="lsh", n_bits=1, n_tables=64).predict_top_k(rows, k)
    assert_allclose(found[1], exact[1], rtol=1e-4, atol=1e-5)
    assert np.mean(found[0] == exact[0]) > 0.99  # but for ties up to rounding


def test_lsh_predicts_a_row_alone_as_in_a_batch_and_for_any_n_jobs(wide, simd_level):
    rows, model = wide
    model.set_params(prediction="lsh")
    together = model.predict_top_k(rows, 9)
    for one, other in zip(together, model.set_params(n_jobs=2).predict_top_k(rows, 9), strict=True):
        assert_array_equal(one, other)
    for i in (0, 150):
        alone = model.predict_top_k(rows[[i]], 9)
        assert_array_equal(alone[0][0], together[0][i])
        assert_array_equal(alone[1][0], together[1][i])


def test_predict_takes_the_way_of_predict_top_k():
    y = np.arange(2500) % 2300
    rows = np.random.RandomState(0).normal(size=(2500, 20)).astype(np.float32)
    model = make(max_iter=1, n_active=50, n_tables=1, bucket_size=6).fit(rows, y)
    exact = model.predict(rows)
    model.set_params(prediction="lsh")
    assert_array_equal(model.predict(rows), model.predict_top_k(rows, 1)[0][:, 0])
    assert 0.1 < np.mean(model.predict(rows) == exact) < 1


def test_tables_follow_the_weights_and_settings_and_are_not_stored():
    features, Y = wide_problem()
    model = wide_model(prediction="lsh").fit(features, Y)
    size = len(pickle.dumps(model))

    def fresh():
        """The tables of a model that never made any."""
        return pickle.loads(pickle.dumps(model)).predict_top_k(features, 4)

    for change in (
        lambda: None,
        lambda: model.partial_fit(features, Y),
        lambda: model.set_params(n_tables=3),
        lambda: model.set_params(warm_start=True).fit(features, Y),
        lambda: model.set_params(n_bits=4),
    ):
        change()
        for one, other in zip(model.predict_top_k(features, 4), fresh(), strict=True):
            assert_array_equal(one, other)
    assert abs(len(pickle.dumps(model)) - size) < 500


@pytest.mark.parametrize("y", [CLUSTER > 1, CLUSTER, CORNERS], ids=["two", "four", "indicator"])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_log_probabilities_are_logs_of_probabilities(y, loss):
    model = make(loss=loss, max_iter=5).fit(X, y)
    log_probabilities, probabilities = model.predict_log_proba(X), model.predict_proba(X)
    assert log_probabilities.dtype == np.float32
    assert log_probabilities.shape == probabilities.shape
    assert_allclose(np.exp(log_probabilities), probabilities, rtol=1e-4, atol=1e-7)
    likely = probabilities > 1e-3
    assert_allclose(log_probabilities[likely], np.log(probabilities[likely]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("y", [CLUSTER > 1, CLUSTER, CORNERS], ids=["two", "four", "indicator"])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_log_probabilities_stay_finite(y, loss):
    model = make(loss=loss).fit(X, y)
    far = 300 * X
    assert (model.predict_proba(far) == 0).any()
    log_probabilities = model.predict_log_proba(far)
    assert np.isfinite(log_probabilities).all()
    assert log_probabilities.min() < -200
    assert (log_probabilities <= 0).all()


def test_log_probabilities_do_not_depend_on_blocks(monkeypatch):
    model = make(max_iter=2).fit(X, CLUSTER)
    whole = model.predict_log_proba(X)
    monkeypatch.setattr("sklsh._prediction.BLOCK_BYTES", 1000)
    assert_array_equal(model.predict_log_proba(X), whole)


def test_a_frame_leaves_its_names():
    model = make(max_iter=2).fit(FRAME, CLUSTER)
    assert_array_equal(model.feature_names_in_, FRAME.columns)
    plain = make(max_iter=2).fit(X, CLUSTER)
    assert not hasattr(plain, "feature_names_in_")
    assert_same_weights(model, plain)
    assert_array_equal(model.predict_proba(FRAME), plain.predict_proba(X))
    for stored in (model.lean_copy(), pickle.loads(pickle.dumps(model))):
        assert_array_equal(stored.feature_names_in_, FRAME.columns)


@pytest.mark.parametrize(
    ["columns", "message"],
    [
        (["ash", "oak", "elm", "fir", "yew"], "must be in the same order"),
        (["oak", "ash", "elm", "fir"], "yew"),
        (["oak", "ash", "elm", "fir", "box"], "box"),
    ],
    ids=["order", "missing", "unknown"],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda model, frame: model.predict(frame), lambda model, frame: model.predict_top_k(frame),
        lambda model, frame: model.partial_fit(frame, CLUSTER),
    ],
    ids=["predict", "predict_top_k", "partial_fit"],
)  # fmt: skip
def test_a_frame_with_other_names_is_refused_in_scikit_learn_s_words(call, columns, message):
    model = make(max_iter=1).fit(FRAME, CLUSTER)
    frame = FRAME.rename(columns={"yew": "box"})[columns] if "box" in columns else FRAME[columns]
    with pytest.raises(ValueError, match=f"(?s)feature names should match.*{message}"):
        call(model, frame)


def test_rows_without_names_warn_where_names_were_seen():
    model = make(max_iter=1).fit(FRAME, CLUSTER)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


WEIGHT = np.where(CLUSTER == 0, 0.0, np.linspace(0.5, 2, 200))


def test_sample_weight_is_routed_through_a_pipeline(routing):
    scaled = StandardScaler().fit(X).transform(X)
    asked = make(max_iter=3).set_fit_request(sample_weight=True)
    pipeline = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=False)),
                         ("net", asked)])  # fmt: skip
    pipeline.fit(X, CLUSTER, sample_weight=WEIGHT)
    expected = make(max_iter=3).fit(scaled, CLUSTER, sample_weight=WEIGHT)
    assert_same_weights(pipeline[-1], expected)
    assert 0 not in pipeline.predict(X)


def test_sample_weight_is_routed_through_a_grid_search(routing):
    model = make(max_iter=3).set_fit_request(sample_weight=True).set_score_request(
        sample_weight=True
    )  # fmt: skip
    search = GridSearchCV(model, {"learning_rate_init": [1e-6, 0.05]}, cv=2)
    search.fit(X, CLUSTER, sample_weight=WEIGHT)
    assert search.best_params_ == {"learning_rate_init": 0.05}
    expected = make(max_iter=3, learning_rate_init=0.05).fit(X, CLUSTER, sample_weight=WEIGHT)
    assert_same_weights(search.best_estimator_, expected)


def test_sample_weight_that_nobody_asked_for_is_refused(routing):
    search = GridSearchCV(make(), {"max_iter": [1]}, cv=2)
    with pytest.raises(ValueError, match="sample_weight"):
        search.fit(X, CLUSTER, sample_weight=WEIGHT)


@pytest.mark.parametrize("scale", [1, 100, 1e4])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_probabilities_of_one_label_are_those_of_the_logarithms_and_rank_as_predict(loss, scale):
    model = make(loss=loss).fit(X, CLUSTER)
    probabilities = model.predict_proba(scale * X)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert_allclose(probabilities, np.exp(model.predict_log_proba(scale * X)), rtol=1e-5)
    best = model.classes_[probabilities.argmax(axis=1)]
    certain = np.sort(probabilities, axis=1)[:, -2] < 1 - 1e-6
    assert certain.any()
    assert_array_equal(best[certain], model.predict(scale * X)[certain])


def test_top_k_is_five_by_default_and_all_classes_of_fewer():
    assert make().fit(X, CLUSTER).predict_top_k(X)[0].shape[1] == min(5, len(set(CLUSTER)))
    many = np.arange(len(X)) % 9
    assert make().fit(X, many).predict_top_k(X)[0].shape[1] == 5


def test_rows_in_blocks_are_as_all_at_once(monkeypatch):
    model = make().fit(X, CLUSTER)
    whole = model.predict_top_k(X, 2)
    monkeypatch.setattr("sklsh._network.ROWS_AT_ONCE", 7)
    for now, then in zip(model.predict_top_k(X, 2), whole, strict=True):
        assert_array_equal(now, then)


def test_many_rows_are_ranked_as_few(wide, simd_level):
    rows, model = wide
    together = model.predict_top_k(rows, 9)
    for i in range(0, 300, 20):
        few = model.predict_top_k(rows[i : i + 20], 9)
        assert_array_equal(few[0], together[0][i : i + 20])
        assert_array_equal(few[1], together[1][i : i + 20])
