"""Training on drawn rows: call after call, weighted, watched, stored; and what it gains."""

import math
import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from models import assert_same_weights
from numpy.testing import assert_allclose, assert_array_equal
from row_problems import BY_SCORES, SAMPLERS, hard_region, make, make_regressor
from sklearn.callback import ScoringMonitor
from sklearn.metrics import log_loss
from test_callbacks import Recorder

from sklsh.kernel_sgd import _estimator
from sklsh.row_sampling import RowDraws

X, Y, HARD = hard_region(600)
CLASS = Y + (X[:, 3] > 1)
NUMBERS = X[:, 0] - X[:, 1] * X[:, 2]
WEIGHT = np.random.default_rng(0).uniform(0.2, 2, 600)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


@pytest.fixture
def watched(monkeypatch):
    """The EarlyStopping objects of the fits of a test."""
    made = []

    class Watched(_estimator.EarlyStopping):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(_estimator, "EarlyStopping", Watched)
    return made


@pytest.fixture
def drawn(monkeypatch):
    """The draws of the fits of a test."""
    taken, note = [], RowDraws.note

    def noted(draws, these, observed):
        taken.append(these)
        note(draws, these, observed)

    monkeypatch.setattr(RowDraws, "note", noted)
    return taken


# ---- calls one after the other ----


def test_a_stream_is_drawn_by_what_was_learnt_of_earlier_rows(drawn):
    """The table of scores knows nothing of rows that it has not seen; the sketch does."""
    share = {}
    for sampler in ("kernel", "stale"):
        model = make((32,), sampler=sampler, n_bits=8, **BY_SCORES)
        for seed in range(3):
            rows, y, hard = hard_region(4000, seed=seed)
            drawn.clear()
            model.partial_fit(rows, y, classes=[0, 1])
        first = np.concatenate([d.rows for d in drawn])[:800]
        share[sampler] = hard[first].mean() / hard.mean()
    assert share["stale"] < 1.5
    assert share["kernel"] > 4


def test_losses_of_a_later_chunk_are_told_before_it_is_trained_on():
    model = make((32,), n_bits=8)
    for seed in range(2):
        rows, y, _ = hard_region(4000, seed=seed)
        model.partial_fit(rows, y, classes=[0, 1])
    rows, y, hard = hard_region(4000, seed=2)
    told = model.estimate_loss(rows, y)
    true = -np.log(model.predict_proba(rows)[np.arange(4000), y])
    assert told[hard].mean() > 3 * told[~hard].mean()
    assert np.corrcoef(told, true)[0, 1] > 0.3


@every_sampler
def test_partial_fit_keeps_the_rate_and_goes_on(sampler):
    model = make(sampler=sampler)
    for epoch in range(1, 6):
        assert model.partial_fit(X, Y, classes=[0, 1]) is model
        assert model.n_iter_ == epoch
        assert model.t_ == epoch * 38
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]


@every_sampler
def test_warm_start_goes_on(sampler):
    model = make(sampler=sampler, warm_start=True, max_iter=2).fit(X, Y)
    network, first = model._network, list(model.loss_curve_)
    model.fit(X, Y)
    assert model._network is network
    assert (model.n_iter_, model.loss_curve_[:2]) == (4, first)
    assert model.loss_curve_[2] < first[0]
    assert model.set_params(warm_start=False).fit(X, Y).loss_curve_ == first


def test_fit_begins_anew_and_ends_the_same():
    model = make().fit(X, Y)
    again = pickle.loads(pickle.dumps(model)).fit(X, Y)
    assert_same_weights(model, again)
    assert model.sampling_gain_ == again.sampling_gain_
    assert not np.array_equal(model.coefs_[0], make(random_state=1).fit(X, Y).coefs_[0])


def test_rows_may_change_their_form_between_calls():
    model = make(**BY_SCORES).fit(X, Y)
    sparse = sp.csr_array(X)
    assert_array_equal(model.estimate_loss(sparse, Y), model.estimate_loss(X, Y))
    dense, other = pickle.loads(pickle.dumps(model)), model
    assert_same_weights(dense.partial_fit(X, Y), other.partial_fit(sparse, Y))


def test_rows_all_alike_teach_the_mean_and_no_more():
    model = make(max_iter=60, **BY_SCORES).fit(np.ones((60, 3)), np.arange(60) % 3 == 0)
    assert_allclose(model.predict_proba(np.ones((1, 3)))[0, 1], 1 / 3, atol=0.1)
    assert np.isnan(model.estimate_loss(np.ones((2, 3)), [True, False])).all()
    assert model.sampled_share_ == 0


# ---- weights ----


@every_sampler
@pytest.mark.parametrize(
    "y, form", [(CLASS, np.asarray), (NUMBERS, sp.csr_array)], ids=["classes", "numbers"]
)
def test_rows_of_weight_zero_are_as_if_not_there(y, form, sampler):
    rng = np.random.default_rng(0)
    make_one = make if y is CLASS else make_regressor
    garbage = np.vstack([X, 1000 * rng.standard_normal((200, 8))])
    targets = np.append(y, y[:200][::-1])
    order = rng.permutation(800)
    order = np.append(np.sort(order[order < 600]), order[order >= 600])  # the others in between
    where = np.argsort(rng.permutation(800), kind="stable")
    where = np.sort(where[:600])  # places of the rows that count
    rows, mixed, weight = np.empty((800, 8)), np.empty(800, targets.dtype), np.zeros(800)
    others = np.setdiff1d(np.arange(800), where)
    rows[where], rows[others] = garbage[:600], garbage[600:]
    mixed[where], mixed[others] = targets[:600], targets[600:]
    weight[where] = WEIGHT
    for early_stopping in (False, True):
        settings = {"sampler": sampler, "early_stopping": early_stopping, "max_iter": 2}
        settings |= BY_SCORES
        clean = make_one(**settings).fit(form(X), y, sample_weight=WEIGHT)
        model = make_one(**settings).fit(form(rows), mixed, sample_weight=weight)
        assert_same_weights(model, clean)
        assert model.loss_curve_ == clean.loss_curve_
        assert_same_weights(
            model.partial_fit(form(rows), mixed, sample_weight=weight),
            clean.partial_fit(form(X), y, sample_weight=WEIGHT),
        )


@every_sampler
@pytest.mark.parametrize("class_weight", [{0: 3, 2: 0.5}, {1: 0}, "balanced"], ids=str)
def test_weights_of_classes_multiply_those_of_rows(sampler, class_weight):
    counts = np.bincount(CLASS, WEIGHT)
    of_class = counts.sum() / (3 * counts)
    if class_weight != "balanced":
        of_class = np.array([class_weight.get(c, 1.0) for c in range(3)])
    plain, weighted = make(sampler=sampler), make(sampler=sampler, class_weight=class_weight)
    weighted.fit(X, CLASS, sample_weight=WEIGHT)
    plain.fit(X, CLASS, sample_weight=WEIGHT * of_class[CLASS])
    if class_weight == {1: 0}:  # such rows are drawn, if uniformly, and teach nothing
        assert (weighted.predict(X) != 1).all()
    else:
        for one, other in zip(weighted.coefs_, plain.coefs_, strict=True):
            assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_weight_of_two_is_worth_two_rows():
    """In the loss that is minimised."""
    settings = {"max_iter": 40, "alpha": 0, "optimizer": "sgd", "learning_rate_init": 0.2}
    settings |= BY_SCORES
    noisy = np.where(np.arange(300) % 3, Y[:300], 1 - Y[:300])
    weight = 1 + noisy
    rows = np.repeat(np.arange(300), weight)
    once = make((), **settings).fit(X[:300], noisy, weight)
    twice = make((), **settings).fit(X[rows], noisy[rows])
    plain = make((), **settings).fit(X[:300], noisy)
    of_one, of_two, without = (m.predict_proba(X)[:, 1] for m in (once, twice, plain))
    assert_allclose(of_one, of_two, atol=0.12)
    assert abs(np.mean(of_one - of_two)) < 0.2 * np.mean(of_one - without)


# ---- early stopping ----


def stopping(**settings):
    return make(**{"early_stopping": True, "max_iter": 30, "validation_fraction": 0.25} | settings)


@every_sampler
@pytest.mark.parametrize("y", [Y, CLASS], ids=["binary", "classes"])
def test_weights_are_those_of_the_best_epoch(y, sampler, watched):
    noise = np.random.default_rng(1).permutation(y)  # so that scores go up and down
    model = stopping(sampler=sampler, learning_rate_init=0.2).fit(X, noise, sample_weight=WEIGHT)
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in watched[0].score.X]
    assert len(set(rows)) == 150
    score = model.score(X[rows], noise[rows], sample_weight=WEIGHT[rows].astype(np.float32))
    assert score == pytest.approx(model.best_validation_score_)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.n_iter_ == len(model.validation_scores_) > 1 + np.argmax(model.validation_scores_)


def test_the_regressor_watches_its_score(watched):
    model = make_regressor(early_stopping=True, max_iter=8).fit(X, NUMBERS)
    rows = [np.flatnonzero((X == row).all(axis=1))[0] for row in watched[0].score.X]
    assert model.score(X[rows], NUMBERS[rows]) == pytest.approx(model.best_validation_score_)


@every_sampler
def test_rows_held_out_are_not_trained_on(sampler, watched, drawn):
    model = stopping(sampler=sampler, max_iter=1, batch_size=1, **BY_SCORES).fit(X, Y)
    n_held_out = math.ceil(0.25 * 600)
    assert watched[0].score.X.shape[0] == n_held_out
    assert model.t_ == sum(len(d.rows) for d in drawn) == 600 - n_held_out
    assert max(d.rows.max() for d in drawn) < 600 - n_held_out


def test_it_stops_when_nothing_gets_better():
    model = stopping(n_iter_no_change=2, tol=0.5, max_iter=30).fit(X, Y)
    assert model.n_iter_ == 3  # the first is the best, and two are not better by so much
    assert make(max_iter=1).fit(X, Y).validation_scores_ is None


# ---- callbacks ----


def test_each_epoch_is_a_task_and_fit_gets_its_data():
    recorder = Recorder()
    model = make(max_iter=2).set_callbacks(recorder)
    model.fit(X, Y, sample_weight=np.where(np.arange(600) < 9, 0, WEIGHT))
    epoch = ["epoch begins", "epoch ends"]
    assert recorder.hooks == ["setup", "fit begins", *epoch, *epoch, "fit ends", "teardown"]
    assert_array_equal(recorder.data["X"], X)
    assert len(recorder.data["metadata"]["sample_weight"]) == 600
    model.partial_fit(X, Y)
    assert recorder.hooks.count("epoch ends") == 2


def test_callbacks_stop_training_and_change_nothing_else():
    plain = make(max_iter=2).fit(X, Y)
    assert_same_weights(make(max_iter=2).set_callbacks(Recorder()).fit(X, Y), plain)
    assert make(max_iter=9).set_callbacks(Recorder(stop_at=2)).fit(X, Y).n_iter_ == 2


def test_a_monitor_scores_each_epoch():
    monitor = ScoringMonitor(scoring="accuracy")
    model = make(max_iter=3).set_callbacks(monitor).fit(X, Y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 3
    assert rows[-1]["accuracy"] == model.score(X, Y)


class Keeper(Recorder):
    """Stores each epoch's model as a pickle, at once."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.hooks.append(pickle.dumps(fitted_estimator))
        super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)


@every_sampler
def test_an_epochs_model_is_one_of_its_own(sampler):
    keeper = Keeper()
    model = make(sampler=sampler, max_iter=3).set_callbacks(keeper).fit(X, Y)
    stored = [pickle.loads(p) for p in keeper.hooks if isinstance(p, bytes)]
    for epoch, (kept, one) in enumerate(zip(keeper.fitted, stored, strict=True), 1):
        alone = make(sampler=sampler, max_iter=3).set_callbacks(Recorder(stop_at=epoch)).fit(X, Y)
        for other in (kept, one):
            assert_same_weights(other, alone)
            assert other.n_iter_ == epoch
            assert other.sampled_share_ == alone.sampled_share_
            assert_array_equal(other.sampling_gain_, alone.sampling_gain_)
        if sampler == "kernel":
            assert_array_equal(kept.estimate_loss(X, Y), alone.estimate_loss(X, Y))
    gain, weights = model.sampling_gain_, [c.copy() for c in model.coefs_]
    keeper.fitted[-1].partial_fit(X, Y)
    assert_array_equal(model.sampling_gain_, gain)
    for now, then in zip(model.coefs_, weights, strict=True):
        assert_array_equal(now, then)


# ---- storage ----


@every_sampler
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_stored_model_goes_on_bit_for_bit(sampler, form, tmp_path):
    model = make((16, 5), sampler=sampler, max_iter=2).fit(form(X), CLASS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(model))
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped.coefs_[0].flags.writeable
    for other in (again, mapped):
        assert_array_equal(other.decision_function(form(X)), model.decision_function(form(X)))
        if sampler == "kernel":
            told = model.estimate_loss(form(X), CLASS)
            assert_array_equal(other.estimate_loss(form(X), CLASS), told)
    for one in (model, again, mapped):
        one.partial_fit(form(X), CLASS)
    assert_same_weights(again, model)
    assert_same_weights(mapped, model)
    assert again.loss_curve_ == mapped.loss_curve_ == model.loss_curve_


def test_a_pickle_holds_no_rows():
    """Neither they, nor their codes, nor their weights."""
    few = len(pickle.dumps(make(max_iter=1).fit(X[:100], Y[:100])))
    many = len(pickle.dumps(make(max_iter=1).fit(np.tile(X, (20, 1)), np.tile(Y, 20))))
    assert abs(many - few) < 1000


# ---- what it gains ----


def test_a_loss_is_lower_after_equal_steps_where_few_rows_teach():
    """Where the noise of batches is what limits training: at a constant rate."""
    rows, y, hard = hard_region(6000, share=0.05)
    others, wanted, _ = hard_region(4000, share=0.05, seed=9)
    settings = {
        "batch_size": 32, "warmup": 50, "max_iter": 8, "n_bits": 8, "min_gain": 1.2,
        "learning_rate": "constant", "learning_rate_init": 0.1,
    }  # fmt: skip
    ratio = []
    for seed in range(2):
        models = [
            make((64, 64), sampler=sampler, random_state=seed, **settings).fit(rows, y)
            for sampler in ("kernel", "uniform")
        ]
        assert models[0].t_ == models[1].t_
        assert models[0].sampling_gain_ > 1.5
        assert models[0].sampled_share_ > 0.8
        losses = [log_loss(wanted, m.predict_proba(others)) for m in models]
        ratio.append(losses[0] / losses[1])
    assert np.mean(ratio) < 0.75


def test_rows_of_the_hard_region_are_drawn_more_often(drawn):
    rows, y, hard = hard_region(4000)
    for sampler, least in [("kernel", 4), ("exact", 8)]:
        drawn.clear()
        make((32,), sampler=sampler, n_bits=8, **BY_SCORES).fit(rows, y)
        last = np.concatenate([d.rows for d in drawn])[-4000:]
        assert hard[last].mean() > least * hard.mean()
