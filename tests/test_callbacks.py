"""Tests of SLIDEClassifier under scikit-learn's callbacks."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import make_multilabel_classification
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import make_pipeline

from sklsh import SLIDEClassifier
from sklsh.metrics import precision_at_k, precision_at_k_scorer

X, Y = make_multilabel_classification(100, n_features=12, n_classes=6, random_state=0)
LABEL = Y.argmax(axis=1)


class Recorder:
    """Callback that notes its hooks and keeps what it is given; stops or fails if told."""

    def __init__(self, stop_at=None, fail_at=None):
        self.stop_at, self.fail_at = stop_at, fail_at
        self.hooks, self.fitted, self.data = [], [], {}

    def setup(self, estimator, context):
        self.hooks.append("setup")

    def teardown(self, estimator, context):
        self.hooks.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.hooks.append(f"{context.task_name} begins")
        self.data = {"X": X, "y": y, "metadata": metadata}

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.hooks.append(f"{context.task_name} ends")
        if context.task_name == "epoch":
            self.fitted.append(fitted_estimator)
            if len(self.fitted) == self.fail_at:
                raise RuntimeError("as told")
        return len(self.fitted) == self.stop_at


def make(*callbacks, **settings):
    small = {"hidden_layer_sizes": (8,), "max_iter": 4, "random_state": 0}
    small["learning_rate_init"] = 0.01
    return SLIDEClassifier(**(small | settings)).set_callbacks(*callbacks)


def test_each_epoch_is_a_task():
    recorder = Recorder()
    make(recorder, max_iter=2).fit(X, Y)
    epoch = ["epoch begins", "epoch ends"]
    assert recorder.hooks == ["setup", "fit begins", *epoch, *epoch, "fit ends", "teardown"]


def test_callback_gets_the_data_of_fit():
    recorder, weight = Recorder(), np.arange(100)
    make(recorder).fit(X, Y, sample_weight=weight)
    assert_array_equal(recorder.data["X"], X)
    assert_array_equal(recorder.data["y"], Y)
    assert_array_equal(recorder.data["metadata"]["sample_weight"], weight)


def test_callbacks_do_not_change_the_model():
    plain, watched = make().fit(X, Y), make(Recorder()).fit(X, Y)
    assert_array_equal(watched.decision_function(X), plain.decision_function(X))


def test_callback_stops_training():
    model = make(Recorder(stop_at=2), max_iter=10).fit(X, Y)
    assert (model.n_iter_, len(model.loss_curve_)) == (2, 2)
    assert model.predict(X).shape == Y.shape


def test_progress_bar_counts_epochs(capsys):
    make(ProgressBar()).fit(X, Y)
    printed = capsys.readouterr().out
    assert "SLIDEClassifier" in printed
    assert "100%" in printed


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("scoring", ["accuracy", {"P@2": precision_at_k_scorer(2)}], ids=str)
def test_scoring_monitor_scores_each_epoch(scoring, form):
    monitor = ScoringMonitor(scoring=scoring)
    model = make(monitor, loss="softmax").fit(form(X), form(Y))
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    name = "P@2" if "P@2" in scoring else "accuracy"
    last = precision_at_k(Y, model.predict_top_k(X, 2)[0], k=2)
    assert len(rows) == 4
    assert rows[-1][name] == (last if name == "P@2" else model.score(X, Y))
    assert rows[0][name] != rows[-1][name]


def test_scoring_monitor_weighs_rows():
    monitor = ScoringMonitor(scoring={"P@1": precision_at_k_scorer(1)})
    weight = np.arange(100)
    model = make(monitor).fit(X, Y, sample_weight=weight)
    expected = precision_at_k(Y, model.predict_top_k(X, 1)[0], sample_weight=weight)
    assert monitor.get_logs().data[-1]["P@1"] == pytest.approx(expected)


@pytest.mark.parametrize("y", [Y, sp.csr_array(Y), LABEL], ids=["dense", "sparse", "labels"])
def test_fitted_estimator_predicts_as_if_fit_had_ended_then(y):
    recorder = Recorder()
    model = make(recorder, loss="softmax").fit(X, y)
    stopped = make(Recorder(stop_at=2), loss="softmax").fit(X, y)
    at_two = recorder.fitted[1]
    assert_array_equal(at_two.decision_function(X), stopped.decision_function(X))
    assert_array_equal(*(sp.csr_array(m.predict(X)).toarray() for m in (at_two, stopped)))
    assert not np.array_equal(at_two.decision_function(X), model.decision_function(X))


def test_fitted_estimator_does_not_follow_the_training():
    recorder = Recorder()
    make(recorder).fit(X, Y)
    assert [len(fitted.loss_curve_) for fitted in recorder.fitted] == [1, 2, 3, 4]
    assert [fitted.n_iter_ for fitted in recorder.fitted] == [1, 2, 3, 4]


def test_fitted_estimator_can_be_stored():
    recorder = Recorder()
    make(recorder).fit(X, Y)
    fitted = recorder.fitted[1]
    stored = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(stored.decision_function(X), fitted.decision_function(X))


def test_fitted_estimator_can_train_on():
    recorder = Recorder()
    make(recorder, learning_rate_init=1e-3).fit(X, Y)
    fitted = recorder.fitted[0]
    before = fitted.decision_function(X)
    fitted.partial_fit(X, Y)
    assert 0 < abs(fitted.decision_function(X) - before).max() < 1


def test_clone_keeps_callbacks():
    recorder = Recorder()
    clone(make(recorder)).fit(X, Y)
    assert recorder.hooks.count("epoch ends") == 4


def test_callbacks_work_inside_a_pipeline():
    recorder = Recorder()
    make_pipeline(TfidfTransformer(), make(recorder)).fit(X, Y)
    assert recorder.hooks.count("epoch ends") == 4


def test_callback_can_be_taken_off():
    recorder = Recorder()
    make(recorder).set_callbacks().fit(X, Y)
    assert recorder.hooks == []


@pytest.mark.parametrize("fitted_before", [False, True])
def test_failing_callback_tears_down_and_leaves_the_model_as_it_was(fitted_before):
    recorder = Recorder(fail_at=2)
    model = make()
    if fitted_before:
        model.fit(X, LABEL)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="as told"):
        model.set_callbacks(recorder).fit(X, Y)
    assert recorder.hooks[-2:] == ["epoch ends", "teardown"]
    assert vars(model.set_callbacks()) == before


def test_partial_fit_calls_no_callbacks():
    recorder = Recorder()
    make(recorder).partial_fit(X, Y)
    assert recorder.hooks == []
