"""Tests of the metrics of ranked labels and their scorers."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklsh import SLIDEClassifier
from sklsh.metrics import precision_at_k, precision_at_k_scorer

RNG = np.random.RandomState(0)
Y = (RNG.rand(50, 20) < 0.2).astype(int)
Y[3] = 0
RANKED = np.argsort(RNG.rand(50, 20), axis=1)[:, :7]
WEIGHT = RNG.uniform(size=50)
FORMS = [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array]

# two words say two labels: "a" + number one of the first seven, "b" + number one of three
DOCUMENTS = np.array([f"the a{i % 7} b{i % 3}" for i in range(140)])
TOPICS = sp.csr_matrix([np.eye(10, dtype=int)[[i % 7, 7 + i % 3]].sum(axis=0) for i in range(140)])


def naive(y, labels, k, weight):
    hits = [sum(y[i, label] for label in labels[i][:k]) / k for i in range(len(labels))]
    return sum(w * h for w, h in zip(weight, hits, strict=True)) / sum(weight)


def text_pipeline():
    model = SLIDEClassifier((16,), max_iter=30, learning_rate_init=0.05, random_state=0)
    return make_pipeline(TfidfVectorizer(token_pattern=r"\w+"), model)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("dtype", [bool, np.int8, float])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_precision_equals_the_naive_loop(form, dtype, k):
    y = form(Y.astype(dtype))
    assert precision_at_k(y, RANKED, k=k) == pytest.approx(naive(Y, RANKED, k, np.ones(50)))
    weighted = precision_at_k(y, RANKED, k=k, sample_weight=WEIGHT)
    assert weighted == pytest.approx(naive(Y, RANKED, k, WEIGHT))


def test_precision_of_perfect_and_of_wrong_labels():
    order = np.argsort(-Y, axis=1, kind="stable")
    has_two = Y.sum(axis=1) >= 2
    assert precision_at_k(Y[has_two], order[has_two], k=2) == 1
    assert precision_at_k(Y, order[:, ::-1], k=2) == 0


def test_entries_that_are_zero_but_stored_do_not_count():
    y = sp.csr_array(Y)
    y.data[:] = 0
    assert precision_at_k(y, RANKED) == 0


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        pytest.param({"y_true": Y[0]}, "y_true must be an indicator", id="1-D y"),
        pytest.param({"labels": RANKED[:, 0]}, "labels must be a two-dim", id="1-D labels"),
        pytest.param({"labels": RANKED / 2}, "labels must .* float64", id="float labels"),
        pytest.param({"labels": RANKED[:9]}, "labels must have 50 rows", id="too few rows"),
        pytest.param({"labels": RANKED + 15}, r"labels must lie in \[0, 20\)", id="above"),
        pytest.param({"labels": RANKED - 1}, r"labels must lie in \[0, 20\)", id="below"),
        pytest.param({"y_true": Y[:0], "labels": RANKED[:0]}, "one row", id="no rows"),
        pytest.param({"k": 0}, "k must be .*; got 0", id="k=0"),
        pytest.param({"k": 8}, "k must be .* columns of labels, 7; got 8", id="k=8"),
        pytest.param({"k": 1.5}, "k must be .*; got 1.5", id="k=1.5"),
        pytest.param({"sample_weight": WEIGHT[:9]}, r"sample_weight.shape == \(9,\)", id="short"),
        pytest.param({"sample_weight": -WEIGHT}, "Negative .* `sample_weight`", id="negative"),
        pytest.param({"sample_weight": 0 * WEIGHT}, "Sample weights .* non-zero", id="zero"),
        pytest.param({"sample_weight": WEIGHT * np.nan}, "sample_weight contains NaN", id="NaN"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        precision_at_k(**({"y_true": Y, "labels": RANKED} | arguments))


@pytest.mark.parametrize("k", [1, 2])
def test_scorer_asks_estimators_and_pipelines_for_their_top_k(k):
    pipeline = text_pipeline().fit(DOCUMENTS[:70], TOPICS[:70])
    model, words = pipeline[-1], pipeline[:-1].transform(DOCUMENTS[70:])
    expected = precision_at_k(TOPICS[70:], model.predict_top_k(words, k)[0], k=k)
    scorer = precision_at_k_scorer(k)
    assert scorer(model, words, TOPICS[70:]) == expected > 0.95
    assert scorer(pipeline, DOCUMENTS[70:], TOPICS[70:]) == expected


def test_scorer_works_on_a_pipeline_of_one_step():
    pipeline = make_pipeline(text_pipeline().fit(DOCUMENTS, TOPICS))
    assert precision_at_k_scorer()(pipeline, DOCUMENTS, TOPICS) > 0.95


def test_scorer_passes_sample_weight():
    model = text_pipeline().fit(DOCUMENTS, TOPICS)
    wrong = TOPICS.toarray()
    wrong[:70] = 0
    weight = np.repeat([0, 1], 70)
    scorer = precision_at_k_scorer(1)
    assert scorer(model, DOCUMENTS, wrong) <= 0.5
    assert scorer(model, DOCUMENTS, wrong, sample_weight=weight) > 0.95


def test_grid_search_over_a_text_pipeline():
    grid = {"slideclassifier__learning_rate_init": [1e-6, 0.05]}
    scorer = precision_at_k_scorer(1)
    search = GridSearchCV(text_pipeline(), grid, scoring=scorer, cv=2, n_jobs=2)
    search.fit(DOCUMENTS, TOPICS)
    assert search.best_params_["slideclassifier__learning_rate_init"] == 0.05
    assert search.best_score_ > 0.95
    assert search.score(DOCUMENTS, TOPICS) == scorer(search, DOCUMENTS, TOPICS) > 0.95


def test_scorer_refuses_estimators_without_top_k():
    with pytest.raises(TypeError, match="LogisticRegression has no method predict_top_k"):
        precision_at_k_scorer()(LogisticRegression(), Y, Y)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_scorer_refuses_k_at_once(k):
    with pytest.raises((TypeError, ValueError), match="k must be"):
        precision_at_k_scorer(k)
