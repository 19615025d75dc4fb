"""Early stopping: rows held out, the best weights kept, an end when nothing gets better."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem
from numpy.testing import assert_allclose, assert_array_equal

from sklsh import _classifier
from sklsh._network import Network
from sklsh.metrics import precision_at_k

NOISY = np.where(np.arange(200) % 3, CLUSTER, (CLUSTER + np.arange(200)) % 4)

NOISE = np.random.RandomState(1).randint(4, size=(200, 4))


@pytest.fixture
def watched(monkeypatch):
    """The EarlyStopping objects of the fits of a test."""
    made = []

    class Watched(_classifier.EarlyStopping):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(_classifier, "EarlyStopping", Watched)
    return made


def stopping(**settings):
    return make(**{"early_stopping": True, "max_iter": 60} | settings)


@pytest.mark.parametrize("patience", [1, 4])
@pytest.mark.parametrize("tol", [0, 0.06])
def test_stops_when_no_epoch_was_better_for_long(patience, tol):
    model = stopping(n_iter_no_change=patience, tol=tol, validation_fraction=0.3)
    scores = model.fit(X, NOISY).validation_scores_
    assert len(scores) == model.n_iter_ == len(model.loss_curve_) < 60
    waited = 0
    for epoch, score in enumerate(scores):
        assert waited < patience
        waited = 0 if score > max(scores[:epoch], default=-1) + tol else waited + 1
    assert waited == patience


def test_patience_without_end_runs_all_epochs():
    model = stopping(n_iter_no_change=60, max_iter=7).fit(X, NOISY)
    assert len(model.validation_scores_) == model.n_iter_ == 7


@pytest.mark.parametrize("y", [NOISE[:, 0], NOISE % 2], ids=["one label", "indicator"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_those_of_the_best_epoch(y, dtype, watched):
    """Labels are noise, so that scores go up and down."""
    model = stopping(validation_fraction=0.25, dtype=dtype, learning_rate_init=0.1).fit(X, y)
    held_out = watched[0].score.X
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in held_out]
    assert len(set(rows)) == 50
    if y.ndim == 1:
        score = np.mean(model.predict(held_out) == y[rows])
    else:
        score = precision_at_k(y[rows], model.predict_top_k(held_out, 1)[0])
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert score == pytest.approx(model.best_validation_score_)
    assert model.n_iter_ > 1 + np.argmax(model.validation_scores_)  # there was something to restore


@pytest.mark.parametrize("fraction", [0.1, 0.33])
def test_rows_held_out_are_not_trained_on(fraction, watched):
    model = stopping(validation_fraction=fraction, max_iter=1, batch_size=1)
    model.fit(X, CLUSTER)
    n_held_out = math.ceil(fraction * 200)
    assert watched[0].score.X.shape[0] == n_held_out
    assert model.t_ == 200 - n_held_out


def test_held_out_rows_are_drawn_anew_by_random_state(watched):
    stopping(max_iter=1).fit(X, CLUSTER)
    stopping(max_iter=1).fit(X, CLUSTER)
    stopping(max_iter=1, random_state=1).fit(X, CLUSTER)
    first, same, other = (w.score.X for w in watched)
    assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("active_set", ["batch", "sample"])
def test_same_bits_for_any_n_jobs(active_set):
    features, Y = wide_problem()
    settings = {"early_stopping": True, "max_iter": 5, "active_set": active_set}
    one, again, two = (wide_model(**settings, n_jobs=n).fit(features, Y) for n in (1, 1, 2))
    assert one.validation_scores_ == again.validation_scores_ == two.validation_scores_
    assert_same_weights(one, again)
    assert_same_weights(one, two)


def test_dense_and_sparse_rows_give_the_same_model():
    dense, sparse = (
        stopping(input_dropout=0, hidden_dropout=0).fit(form(X), NOISY)
        for form in (np.copy, sp.csr_array)
    )
    assert dense.validation_scores_ == sparse.validation_scores_
    assert_same_weights(dense, sparse)


def test_score_weighs_rows_and_leaves_out_rows_without_weight(watched):
    weight = np.where(np.arange(200) < 150, np.linspace(0.1, 5, 200), 0)
    model = stopping(validation_fraction=0.4, max_iter=1).fit(X, NOISY, sample_weight=weight)
    held_out = watched[0].score
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in held_out.X]
    assert len(rows) == 60 and max(rows) < 150
    assert_allclose(held_out.sample_weight, weight[rows], rtol=1e-6)
    right = model.predict(held_out.X) == NOISY[rows]
    assert model.best_validation_score_ == pytest.approx(np.average(right, weights=weight[rows]))
    assert model.t_ == math.ceil(90 / 16)


def test_warm_start_goes_on_and_remembers_all_scores():
    model = stopping(warm_start=True, max_iter=3, n_iter_no_change=9).fit(X, NOISY)
    first = list(model.validation_scores_)
    model.fit(X, NOISY)
    assert model.validation_scores_[:3] == first
    assert len(model.validation_scores_) == model.n_iter_ == 6


def test_loss_goes_back_with_the_weights():
    """The best epoch came before "softmax_logistic" switched; so predictions are a softmax's."""
    model = stopping(loss="softmax_logistic", n_iter_no_change=60, max_iter=40, tol=0)
    model.fit(X, CORNERS)
    best = int(np.argmax(model.validation_scores_))
    assert best < 4  # a tenth of 40
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_classes_put_back_are_hashed_again():
    features, Y = wide_problem()
    settings = {"early_stopping": True, "max_iter": 12, "n_iter_no_change": 12, "rehash_every": 1}
    model = wide_model(learning_rate_init=0.1, **settings).fit(features, Y)
    assert np.argmax(model.validation_scores_) < 11  # so there was something to put back
    tables, output = model._negatives.tables, model._network.output
    tables.rehash(output.weights, 1)
    assert_array_equal(tables.tables.codes, tables.hasher.codes(output.weights))


def test_without_it_there_are_no_scores():
    model = make(max_iter=1).fit(X, CLUSTER)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None


def test_verbose_prints_each_score(capsys):
    model = stopping(max_iter=2, verbose=True).fit(X, CLUSTER)
    pairs = zip(model.loss_curve_, model.validation_scores_, strict=True)
    lines = [
        f"Epoch {i}, loss = {loss:.6f}, validation score = {score:.6f}"
        for i, (loss, score) in enumerate(pairs, 1)
    ]
    assert capsys.readouterr().out.splitlines() == lines


def test_verbose_prints_no_score_of_an_earlier_call(capsys):
    model = stopping(max_iter=1, warm_start=True).fit(X, CLUSTER)
    model.set_params(early_stopping=False, verbose=True).fit(X, CLUSTER)
    assert capsys.readouterr().out == f"Epoch 2, loss = {model.loss_curve_[-1]:.6f}\n"


@pytest.mark.parametrize("class_weight", [{0: 0, 1: 0, 2: 0}, {0: 9}, "balanced"], ids=str)
def test_score_counts_labels_whatever_they_weigh(class_weight, watched):
    settings = {"loss": "logistic", "validation_fraction": 0.5, "n_iter_no_change": 60}
    model = stopping(class_weight=class_weight, **settings)
    model.fit(X, CORNERS)
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in watched[0].score.X]
    score = precision_at_k(CORNERS[rows], model.predict_top_k(X[rows], 1)[0])
    assert model.best_validation_score_ == pytest.approx(score)
    assert np.isin(model.predict_top_k(X[rows], 1)[0], [0, 1, 2]).any()


def test_no_second_copy_of_the_best_weights_is_held(watched, monkeypatch):
    frozen, held = Network.frozen, []

    def spy(network):
        held.append(watched[0].best_network)
        return frozen(network)

    monkeypatch.setattr(Network, "frozen", spy)
    model = stopping(n_iter_no_change=60, max_iter=20, learning_rate_init=0.1)
    model.fit(X, NOISE[:, 0])
    n_bests = len(np.unique(np.maximum.accumulate(model.validation_scores_)))
    assert held == [None] * n_bests
    assert n_bests > 1


@pytest.mark.parametrize("class_weight", [{0: 9}, {0: 0}, "balanced"], ids=str)
def test_score_of_one_label_a_row_is_the_accuracy_whatever_classes_weigh(class_weight, watched):
    model = stopping(class_weight=class_weight, validation_fraction=0.5).fit(X, CLUSTER)
    held_out = watched[0].score.X
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in held_out]
    accuracy = np.mean(model.predict(held_out) == CLUSTER[rows])
    assert model.best_validation_score_ == pytest.approx(accuracy)
