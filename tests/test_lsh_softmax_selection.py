"""LSHSoftmaxClassifier among scikit-learn's tools: searches, pipelines, callbacks, stopping."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklsh import LSHSoftmaxClassifier
from sklsh._network import Network
from sklsh._scores import LogLikelihood

N_CLASSES = 60
rng = np.random.RandomState(0)
CENTERS = rng.normal(size=(N_CLASSES, 12))
LABEL = np.arange(600) % N_CLASSES
X = (CENTERS[LABEL] + 0.3 * rng.normal(size=(600, 12))).astype(np.float32)
Y = np.eye(N_CLASSES, dtype=np.int8)[LABEL] | np.eye(N_CLASSES, dtype=np.int8)[LABEL // 2]
NEGATIVES = ["lsh", "uniform", {"lsh": 1, "frequency": 1}, [(0, "lsh"), (0.5, "full")]]


@pytest.fixture(autouse=True)
def few_classes_are_sampled(monkeypatch):
    monkeypatch.setattr("sklsh._samplers.EXACT_BELOW", 0)


def make(**settings):
    small = {"hidden_layer_sizes": (24,), "n_active": 20, "bucket_size": 4, "rehash_every": 5}
    small |= {"batch_size": 32, "max_iter": 6, "learning_rate_init": 0.02, "random_state": 0}
    return LSHSoftmaxClassifier(**(small | settings))


@pytest.mark.parametrize("negatives", NEGATIVES, ids=str)
def test_clone_and_parameters_keep_what_they_are_given(negatives):
    model = make(negatives=negatives, n_bits=3).fit(X, LABEL)
    params = clone(model).get_params()
    assert params == model.get_params()
    assert params["negatives"] == negatives
    assert not hasattr(clone(model), "coefs_")
    assert model.set_params(max_iter=2, negatives="uniform").fit(X, LABEL).n_iter_ == 2
    assert model.bucket_load_ == 0


@pytest.mark.parametrize("negatives", NEGATIVES[2:], ids=str)
def test_fit_leaves_the_settings_as_they_were(negatives):
    before = repr(negatives)
    make(negatives=negatives).fit(X, LABEL)
    assert repr(negatives) == before


def search(X, y, n_jobs=None, **settings):
    pipeline = make_pipeline(StandardScaler(), make(**settings))
    grid = {
        "lshsoftmaxclassifier__negatives": NEGATIVES,
        "lshsoftmaxclassifier__correction": ["head_tail", "logq"],
    }
    return GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(X, y)


def test_grid_searches_negatives_and_corrections():
    found = search(X, LABEL)
    scores = found.cv_results_["mean_test_score"]
    assert scores.shape == (8,)
    assert scores.min() > 0.4
    assert found.best_params_["lshsoftmaxclassifier__negatives"] in NEGATIVES
    assert found.score(X, LABEL) > 0.8


@pytest.mark.slow  # two processes
def test_grid_in_processes_finds_the_same(monkeypatch):
    monkeypatch.undo()  # other processes know nothing of it
    y = np.arange(4400) % 2200
    rows = rng.normal(size=(2200, 12))[y] + 0.1 * rng.normal(size=(4400, 12))
    one, two = search(rows, y, max_iter=1), search(rows, y, n_jobs=2, max_iter=1)
    scores = one.cv_results_["mean_test_score"]
    assert_array_equal(scores, two.cv_results_["mean_test_score"])
    assert len(set(scores)) > 2


# ---- early stopping ----


@pytest.mark.parametrize("y", [LABEL, sp.csr_array(Y)], ids=["one label", "several"])
def test_early_stopping_goes_by_the_log_likelihood(y, monkeypatch):
    held_out = []

    class Recorded(LogLikelihood):
        def __init__(self, X, Y, sample_weight):
            held_out.extend([X, Y.indices if y is LABEL else Y > 0, sample_weight])
            super().__init__(X, Y, sample_weight)

    monkeypatch.setattr(LSHSoftmaxClassifier, "_validation_score", Recorded)
    settings = {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 40, "tol": 0.01}
    model = make(**settings, validation_fraction=0.25)
    model.fit(X, y, sample_weight=np.linspace(1, 2, 600))
    scores = model.validation_scores_
    assert len(held_out[2]) == 150
    assert len(scores) == model.n_iter_ < 40
    assert -np.log(N_CLASSES) < scores[0] < max(scores) < 0
    # the weights are those of the best epoch
    assert max(scores) == model.best_validation_score_ == -model.log_loss(*held_out)


def test_early_stopping_leaves_out_class_weights_and_counts_sample_weights():
    settings = {"early_stopping": True, "max_iter": 1, "learning_rate_init": 1e-9}
    weight = np.ones(600)
    plain = make(**settings).fit(X, LABEL, sample_weight=weight)
    balanced = make(**settings, class_weight={0: 50.0}).fit(X, LABEL, sample_weight=weight)
    assert_allclose(balanced.validation_scores_, plain.validation_scores_, rtol=1e-4)
    assert_allclose(plain.validation_scores_, -np.log(N_CLASSES), rtol=0.01)


# ---- callbacks ----


class Recorder:
    """Callback that notes the losses of what it is given, and stops where it is told."""

    def __init__(self, stop_at=None):
        self.stop_at, self.losses = stop_at, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.losses.append(fitted_estimator.log_loss(X, LABEL))
        return len(self.losses) == self.stop_at


@pytest.mark.parametrize("negatives", NEGATIVES, ids=str)
def test_callbacks_are_given_a_model_of_each_epoch(negatives):
    recorder = Recorder(stop_at=4)
    model = make(negatives=negatives).set_callbacks(recorder).fit(X, LABEL)
    assert model.n_iter_ == len(recorder.losses) == 4
    assert recorder.losses[-1] == pytest.approx(model.log_loss(X, LABEL), rel=1e-6)
    assert recorder.losses[-1] < recorder.losses[0]


def test_scoring_monitor_sees_the_log_loss_fall():
    monitor = ScoringMonitor(scoring="neg_log_loss")
    model = make(max_iter=3).set_callbacks(monitor).fit(X, LABEL)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 3
    assert scores[0] < scores[1] < scores[2] == pytest.approx(-model.log_loss(X, LABEL), rel=1e-4)


def test_verbose_prints_each_loss(capsys):
    model = make(max_iter=2, verbose=True, early_stopping=True).fit(X, LABEL)
    pairs = zip(model.loss_curve_, model.validation_scores_, strict=True)
    lines = [
        f"Epoch {i}, loss = {loss:.6f}, validation score = {score:.6f}"
        for i, (loss, score) in enumerate(pairs, 1)
    ]
    assert capsys.readouterr().out.splitlines() == lines


# ---- what is mixed in ----


@pytest.mark.parametrize(
    "settings",
    [{}, {"normalize": True, "temperature": 0.2}, {"hidden_layer_sizes": ()},
     {"hidden_layer_sizes": (), "normalize": True, "temperature": 0.2},
     {"dtype": "bfloat16", "temperature": 2.0}],
    ids=str,
)  # fmt: skip
def test_predictions_of_every_kind_go_through_the_head(settings):
    model = make(**settings, max_iter=3).fit(X, LABEL)
    logits = model.decision_function(X)
    labels, scores = model.predict_top_k(X, 7)
    assert_array_equal(labels, np.argsort(-logits, axis=1, kind="stable")[:, :7])
    assert_array_equal(model.predict(X), labels[:, 0])
    assert_allclose(scores, np.take_along_axis(logits, labels, axis=1), rtol=1e-6)
    near = clone(model).set_params(prediction="lsh", n_bits=1, n_tables=40).fit(X, LABEL)
    exact = clone(near).set_params(prediction="exact").fit(X, LABEL)
    assert np.mean(near.predict(X) == exact.predict(X)) > 0.95


@pytest.mark.parametrize("sizes", [(24,), ()], ids=str)
@pytest.mark.parametrize("head", [{}, {"normalize": True, "temperature": 0.2}], ids=str)
def test_features_are_explained_by_what_they_add_to_a_logit(sizes, head):
    model = make(hidden_layer_sizes=sizes, **head, max_iter=3).fit(X, LABEL)
    alone = model.decision_function(np.vstack([np.eye(12), np.zeros((1, 12))]))
    gains = alone[:12] - alone[12]
    features, found = model.top_features(5, k=12)
    assert_allclose(found, gains[features, 5], rtol=1e-3, atol=1e-4)
    labels, found = model.top_labels(3, k=N_CLASSES)
    assert_allclose(found, gains[3, labels], rtol=1e-3, atol=1e-4)
    assert (np.diff(found) <= 0).all()


def test_names_of_features_and_classes_come_back():
    pandas = pytest.importorskip("pandas")
    names = np.array([f"class {c}" for c in range(N_CLASSES)])
    frame = pandas.DataFrame(X, columns=[f"feature {i}" for i in range(12)])
    model = make().fit(frame, names[LABEL])
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert_array_equal(model.classes_, np.sort(names))
    assert model.score(frame, names[LABEL]) > 0.8
    assert model.log_loss(frame, names[LABEL]) < 1.5


def test_wide_rows_of_a_linear_model_are_few_at_a_time(monkeypatch):
    wide = sp.csr_array(np.tile(X[:60], (1, 100)))
    model = make(hidden_layer_sizes=(), max_iter=1).fit(wide, LABEL[:60])
    ask = (
        model.decision_function, model.predict_proba, model.predict,
        lambda rows: [model.log_loss(rows, LABEL[:60])],
        lambda rows: model.partition_estimate(rows, "importance"),
        lambda rows: model.top_features(LABEL[0], k=50)[1],
    )  # fmt: skip
    expected = [method(wide) for method in ask]
    for module in ("_prediction", "_scores", "_network"):
        monkeypatch.setattr(f"sklsh.{module}.BLOCK_BYTES", 4 * 7 * 1200)
    most, hidden = [], Network.hidden

    def counted(network, rows, n_threads=1):
        most.append(rows.shape[0])
        return hidden(network, rows, n_threads)

    monkeypatch.setattr(Network, "hidden", counted)
    for method, before in zip(ask, expected, strict=True):
        assert_array_equal(method(wide), before)
    assert max(most) <= 8  # seven, or as many features and a row of none


def test_memory_counts_the_dense_rows_of_a_linear_step(monkeypatch):
    wide = sp.csr_array((40, 10**6), dtype=np.float32)
    y = np.arange(40) % 2
    monkeypatch.setattr("sklsh._memory.available_bytes", lambda: 150 * 10**6)
    settings = {"hidden_layer_sizes": (), "optimizer": "sgd", "negatives": "full"}
    with pytest.raises(MemoryError, match="would take"):
        make(**settings, batch_size=32).fit(wide, y)
    make(**settings, batch_size=1, max_iter=1).partial_fit(wide[:2], y[:2], classes=[0, 1])


def test_memory_usage_adds_up():
    model = make(hidden_layer_sizes=(), negatives="lsh").fit(X, LABEL)
    usage = model.memory_usage_
    assert usage["weights"] == 4 * N_CLASSES * (16 + 1)  # 12 features, padded
    assert usage["optimizer"] == 2 * usage["weights"]
    assert usage["total"] == usage["weights"] + usage["optimizer"] + usage["tables"]
    assert usage["tables"] > 0
