"""Tests of the scorers: with searches, pipelines, callbacks, weights, metadata routing."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import label_binarize

from sklsh import SLIDEClassifier
from sklsh.metrics import (
    ndcg_at_k,
    ndcg_at_k_scorer,
    precision_at_k,
    precision_at_k_scorer,
    psp_at_k,
    psp_at_k_scorer,
    recall_at_k,
    recall_at_k_scorer,
)

# two words say two labels: "a" + number one of the first seven, "b" + number one of three
DOCUMENTS = np.array([f"the a{i % 7} b{i % 3}" for i in range(140)])
TOPICS = sp.csr_matrix([np.eye(10, dtype=int)[[i % 7, 7 + i % 3]].sum(axis=0) for i in range(140)])
RATE = np.linspace(0.1, 1, 10)

X = np.random.RandomState(0).normal(size=(120, 6)).astype(np.float32)
CLASS = (X @ np.random.RandomState(1).normal(size=(6, 8))).argmax(axis=1)
NAME = np.array([f"class {i}" for i in range(8)])[CLASS]
LABELS = {
    "int": CLASS,
    "string": NAME,
    "object": NAME.astype(object),
    "float": 2.0 * CLASS,
    "column": CLASS[:, None],
}
WEIGHT = np.random.RandomState(2).uniform(size=120)

SCORERS = {
    "precision": (precision_at_k_scorer, precision_at_k, {}),
    "recall": (recall_at_k_scorer, recall_at_k, {}),
    "ndcg": (ndcg_at_k_scorer, ndcg_at_k, {}),
    "psp": (psp_at_k_scorer, psp_at_k, {"propensities": RATE}),
}
all_scorers = pytest.mark.parametrize(
    ["make_scorer", "metric", "settings"], SCORERS.values(), ids=SCORERS
)


def make_all(k, n_classes=10):
    plain = {name: make(k) for name, (make, _, settings) in SCORERS.items() if not settings}
    return plain | {"psp": psp_at_k_scorer(k, propensities=RATE[:n_classes])}


def text_pipeline(max_iter=30):
    model = SLIDEClassifier((16,), max_iter=max_iter, learning_rate_init=0.05, random_state=0)
    return make_pipeline(TfidfVectorizer(token_pattern=r"\w+"), model)


def small(**settings):
    return SLIDEClassifier((8,), max_iter=2, random_state=0, **settings)


# ---- what they ask of the estimator ----


@all_scorers
@pytest.mark.parametrize("k", [1, 3])
def test_scorer_asks_estimators_and_pipelines_for_their_top_k(make_scorer, metric, settings, k):
    pipeline = text_pipeline(max_iter=2).fit(DOCUMENTS[:70], TOPICS[:70])
    model, words = pipeline[-1], pipeline[:-1].transform(DOCUMENTS[70:])
    expected = metric(TOPICS[70:], model.predict_top_k(words, k)[0], k=k, **settings)
    scorer = make_scorer(k, **settings)
    assert scorer(model, words, TOPICS[70:]) == expected
    assert scorer(pipeline, DOCUMENTS[70:], TOPICS[70:].toarray()) == expected
    assert 0 < expected < 1


def test_scorer_works_on_a_pipeline_of_one_step():
    pipeline = make_pipeline(text_pipeline().fit(DOCUMENTS, TOPICS))
    assert precision_at_k_scorer()(pipeline, DOCUMENTS, TOPICS) > 0.95


@all_scorers
def test_scorer_passes_sample_weight(make_scorer, metric, settings):
    model = text_pipeline().fit(DOCUMENTS, TOPICS)
    wrong = np.roll(TOPICS.toarray(), 3, axis=1)
    wrong[70:] = TOPICS.toarray()[70:]
    weight = np.repeat([0, 1], 70)
    scorer = make_scorer(2, **settings)
    assert scorer(model, DOCUMENTS, wrong) < 0.9
    assert scorer(model, DOCUMENTS, wrong, sample_weight=weight) > 0.95


def test_scorer_refuses_estimators_without_top_k():
    with pytest.raises(TypeError, match="LogisticRegression has no method predict_top_k"):
        precision_at_k_scorer()(LogisticRegression(), X, CLASS)


# ---- one label a row ----


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("k", [1, 3])
def test_one_label_a_row_scores_as_its_indicator(y, k):
    model = small().fit(X, y.ravel())
    ranked = np.searchsorted(model.classes_, model.predict_top_k(X, k)[0])
    indicator = label_binarize(CLASS, classes=range(8), sparse_output=True)
    for name, scorer in make_all(k, n_classes=8).items():
        _, metric, settings = SCORERS[name]
        settings = {name: value[:8] for name, value in settings.items()}
        expected = metric(indicator, ranked, k=k, sample_weight=WEIGHT, **settings)
        assert scorer(model, X, y, sample_weight=WEIGHT) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_recall_of_one_label_a_row_is_top_k_accuracy(k):
    model = small().fit(X, CLASS)
    expected = top_k_accuracy_score(CLASS, model.decision_function(X), k=k)
    assert recall_at_k_scorer(k)(model, X, CLASS) == pytest.approx(expected)
    assert precision_at_k_scorer(k)(model, X, CLASS) == pytest.approx(expected / k)


def test_labels_unknown_to_the_estimator_are_misses():
    known = CLASS != 3
    model = small().fit(X[known], NAME[known])
    hits = model.predict(X) == NAME
    for scorer in (recall_at_k_scorer(), precision_at_k_scorer(), ndcg_at_k_scorer()):
        assert scorer(model, X, NAME) == pytest.approx(hits.mean())
    gain = 1 / RATE[CLASS]  # all eight labels have a propensity, those of classes_ and y
    expected = hits @ gain / gain.sum()
    assert psp_at_k_scorer(propensities=RATE[:8])(model, X, NAME) == pytest.approx(expected)


def test_labels_of_one_kind_in_two_types_are_the_same():
    model = small().fit(X, NAME)
    assert precision_at_k_scorer()(model, X, NAME.astype(object)) == model.score(X, NAME) > 0
    model = small().fit(X, CLASS)
    assert precision_at_k_scorer()(model, X, CLASS.astype(float)) == model.score(X, CLASS) > 0


@pytest.mark.parametrize(
    ["seen", "y", "dtype"],
    [
        pytest.param(CLASS, NAME, "int64", id="text for numbers"),
        pytest.param(CLASS, NAME.astype(object), "int64", id="objects for numbers"),
        pytest.param(NAME, CLASS, "<U7", id="numbers for text"),
    ],
)
def test_labels_of_another_kind_are_refused(seen, y, dtype):
    model = small().fit(X, seen)
    with pytest.raises(ValueError, match=f"y must hold labels like .* {dtype}; got array"):
        precision_at_k_scorer()(model, X, y)


# ---- model selection ----


def test_grid_search_over_a_text_pipeline():
    grid = {"slideclassifier__learning_rate_init": [1e-6, 0.05]}
    scorer = precision_at_k_scorer(1)
    search = GridSearchCV(text_pipeline(), grid, scoring=scorer, cv=2, n_jobs=2)
    search.fit(DOCUMENTS, TOPICS)
    assert search.best_params_["slideclassifier__learning_rate_init"] == 0.05
    assert search.best_score_ > 0.95
    assert search.score(DOCUMENTS, TOPICS) == scorer(search, DOCUMENTS, TOPICS) > 0.95


@pytest.mark.parametrize("y", [CLASS, label_binarize(CLASS, classes=range(8))], ids=["1-D", "2-D"])
def test_search_scores_by_several_scorers_at_once(y):
    scorers = make_all(2, n_classes=8) | {"P@1": precision_at_k_scorer(1), "accuracy": "accuracy"}
    grid = {"learning_rate_init": [1e-5, 0.05]}
    search = GridSearchCV(small(), grid, scoring=scorers, refit="ndcg", cv=KFold(2)).fit(X, y)
    train, test = next(iter(KFold(2).split(X)))
    model = small(learning_rate_init=1e-5).fit(X[train], y[train])
    for name in ("precision", "recall", "ndcg", "psp", "P@1"):
        score = scorers[name](model, X[test], y[test])
        assert search.cv_results_[f"split0_test_{name}"][0] == score
    best = scorers["ndcg"](search.best_estimator_, X, y)
    assert scorers["ndcg"](search, X, y) == best


@pytest.mark.parametrize("sparse", [sp.csr_matrix, sp.csr_array])
def test_searches_alone_take_a_sparse_y(sparse):
    scorer, y = precision_at_k_scorer(), sparse(label_binarize(CLASS, classes=range(8)))
    search = GridSearchCV(small(), {}, scoring=scorer, cv=KFold(2)).fit(X, y)
    for validate in (cross_validate, cross_val_score):
        with pytest.raises(ValueError, match="'y' parameter"):
            validate(small(), X, y, scoring=scorer)
    scores = cross_val_score(small(), X, y.toarray(), scoring=scorer, cv=KFold(2))
    assert search.best_score_ == scores.mean()


def test_several_scorers_reach_into_a_pipeline():
    scorers, topics = make_all(2), TOPICS.toarray()  # cross_validate takes no sparse y
    result = cross_validate(text_pipeline(5), DOCUMENTS, topics, scoring=scorers, cv=KFold(2))
    train, test = next(iter(KFold(2).split(DOCUMENTS)))
    pipeline = text_pipeline(5).fit(DOCUMENTS[train], topics[train])
    for name, scorer in scorers.items():
        assert result[f"test_{name}"][0] == scorer(pipeline, DOCUMENTS[test], topics[test])


def weighted_folds(scorer, fit_weight):
    """Scores of two folds, the test rows weighted."""
    for train, test in KFold(2).split(X):
        model = small().fit(X[train], CLASS[train], **fit_weight(train))
        yield scorer(model, X[test], CLASS[test], sample_weight=WEIGHT[test])


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("several", [False, True])
def test_sample_weight_is_routed(name, several):
    scorer = make_all(2, n_classes=8)[name]
    unweighted = precision_at_k_scorer(2)
    expected = list(weighted_folds(scorer, lambda rows: {}))
    plain = cross_validate(small(), X, CLASS, scoring=unweighted, cv=KFold(2))["test_score"]
    with config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=False)
        scorer.set_score_request(sample_weight=True)
        unweighted.set_score_request(sample_weight=False)
        scoring = {"score": scorer, "unweighted": unweighted} if several else scorer
        params = {"sample_weight": WEIGHT}
        result = cross_validate(model, X, CLASS, scoring=scoring, cv=KFold(2), params=params)
    assert result["test_score"].tolist() == expected
    if several:
        assert result["test_unweighted"].tolist() == plain.tolist()


def test_sample_weight_is_routed_in_a_search():
    expected = list(weighted_folds(recall_at_k_scorer(2), lambda r: {"sample_weight": WEIGHT[r]}))
    with config_context(enable_metadata_routing=True):
        scorer = recall_at_k_scorer(2).set_score_request(sample_weight="weight")
        model = small().set_fit_request(sample_weight="weight")
        search = GridSearchCV(model, {"max_iter": [2]}, scoring=scorer, cv=KFold(2))
        search.fit(X, CLASS, weight=WEIGHT)
    results = search.cv_results_
    assert [results[f"split{i}_test_score"][0] for i in range(2)] == expected


def test_weights_nobody_asked_for_are_refused():
    with config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=False)
        with pytest.raises(UnsetMetadataPassedError, match=r"precision_at_k_scorer\(k=1\)"):
            cross_validate(
                model,
                X,
                CLASS,
                scoring=precision_at_k_scorer(),
                params={"sample_weight": WEIGHT},
            )


@pytest.mark.parametrize("alone", [False, True])
def test_scoring_monitor_takes_one_or_several(alone):
    scorers = make_all(2, n_classes=8)
    monitor = ScoringMonitor(scoring=scorers["ndcg"] if alone else scorers)
    model = small().set_callbacks(monitor).fit(X, CLASS, sample_weight=WEIGHT)
    last = monitor.get_logs().data[-1]
    for name, scorer in {"score": scorers["ndcg"]}.items() if alone else scorers.items():
        expected = scorer(model, X, CLASS, sample_weight=WEIGHT.astype(np.float32))
        assert last[name] == pytest.approx(expected)


# ---- the scorers themselves ----


@all_scorers
def test_scorer_can_be_stored_and_cloned_with_a_search(make_scorer, metric, settings):
    model = text_pipeline(max_iter=1).fit(DOCUMENTS, TOPICS)
    scorer = make_scorer(2, **settings)
    stored = pickle.loads(pickle.dumps(scorer))
    cloned = clone(GridSearchCV(model, {}, scoring=scorer)).scoring
    for other in (stored, cloned):
        assert repr(other) == repr(scorer)
        assert other(model, DOCUMENTS, TOPICS) == scorer(model, DOCUMENTS, TOPICS)


def test_scorers_say_what_they_are():
    assert repr(recall_at_k_scorer()) == "recall_at_k_scorer(k=1)"
    expected = "psp_at_k_scorer(k=3, propensities=<array of shape (10,)>)"
    assert repr(psp_at_k_scorer(3, propensities=RATE)) == expected


@all_scorers
@pytest.mark.parametrize("k", [0, -1, 1.5, "1", None])
def test_scorer_refuses_k_at_once(make_scorer, metric, settings, k):
    with pytest.raises(ValueError, match="k must be"):
        make_scorer(k, **settings)


@pytest.mark.parametrize(
    ["propensities", "message"],
    [
        (0.5, "propensities must be a one-dimensional"),
        (RATE.astype(str), "propensities must .* dtype <U"),
        (RATE * 2, "propensities must be probabilities"),
        (RATE * np.nan, "propensities must be probabilities"),
    ],
    ids=["scalar", "strings", "above 1", "NaN"],
)
def test_scorer_refuses_propensities_at_once(propensities, message):
    with pytest.raises(ValueError, match=message):
        psp_at_k_scorer(propensities=propensities)


def test_scorer_refuses_propensities_of_other_classes():
    model = small().fit(X, CLASS)
    with pytest.raises(ValueError, match="propensities must be 8 numbers, .* got 10"):
        psp_at_k_scorer(propensities=RATE)(model, X, CLASS)
