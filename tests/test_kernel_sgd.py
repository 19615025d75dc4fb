"""KernelSampledSGD and its regressor: the right optimum, whatever draws the rows; attributes."""

import numpy as np
import pytest
import reference_rows as reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from reference_sketch import LOSSES
from row_problems import BY_SCORES, SAMPLERS, hard_region, make, make_regressor
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklsh import KernelSampledSGD, KernelSampledSGDRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 4)).astype(np.float32)
LOGITS = X @ [[1.0, 0, -1], [0, 1, 0], [0.5, 0, 0], [0, -0.5, 0.5]]
CLASS = (LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
BINARY = np.array(["no", "yes"])[(CLASS > 0).astype(int)]
NUMBERS = X @ [1.0, -2, 0, 0.5] + 3 + RNG.standard_normal(400) * (1 + (RNG.random(400) < 0.1) * 5)
WEIGHT = RNG.uniform(0.2, 2, 400) * (np.arange(400) % 7 > 0)
WEIGHT *= np.where((CLASS > 0) | (NUMBERS > 4), 3, 0.5)  # it moves the optimum
HARD_X, HARD_Y, HARD = hard_region()
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def converged(make, sampler, **settings):
    """Linear model, trained for long, by scores from the first step on."""
    defaults = {"max_iter": 40, "alpha": 0, "optimizer": "sgd", "batch_size": 20} | BY_SCORES
    return make((), sampler=sampler, **defaults | settings)


# ---- the optimum ----


@every_sampler
@pytest.mark.parametrize(
    "y, weight", [(BINARY, WEIGHT), (CLASS, None)], ids=["two classes, weighted", "three"]
)
def test_log_loss_ends_where_logistic_regression_does(y, weight, sampler):
    model = converged(make, sampler, learning_rate_init=0.2).fit(X, y, sample_weight=weight)
    wanted = LogisticRegression(C=np.inf, tol=1e-8).fit(X, y, sample_weight=weight)
    losses = [log_loss(y, m.predict_proba(X), sample_weight=weight) for m in (model, wanted)]
    assert losses[1] - 1e-6 < losses[0] < losses[1] + 2e-3
    scores = [s - s.mean(axis=-1, keepdims=y is CLASS) for s in (
        model.decision_function(X), wanted.decision_function(X)
    )]  # fmt: skip
    assert abs(scores[0] - scores[1]).max() < 0.4


@every_sampler
def test_squared_error_ends_where_least_squares_does(sampler):
    model = converged(make_regressor, sampler).fit(X, NUMBERS, sample_weight=WEIGHT)
    wanted = LinearRegression().fit(X, NUMBERS, sample_weight=WEIGHT)
    assert_allclose(model.coef_[0], wanted.coef_, atol=0.1)
    assert_allclose(model.intercept_, wanted.intercept_, atol=0.1)


def mean_loss(parameters, loss, targets, epsilon):
    scores = X @ parameters[:-1] + parameters[-1]
    return LOSSES[loss](scores, targets, epsilon)[0].mean()


@pytest.mark.parametrize(
    "loss, settings",
    [("hinge", {}), ("modified_huber", {}), ("huber", {"epsilon": 0.5, "learning_rate_init": 0.2})],
)
def test_other_losses_end_at_their_least(loss, settings):
    """As SciPy finds it, whatever draws the rows."""
    make_one, y = (make_regressor, NUMBERS) if settings else (make, BINARY)
    problem = loss, NUMBERS if settings else np.where(BINARY == "yes", 1, -1), 0.5
    least = min(minimize(mean_loss, np.zeros(5), problem, m).fun for m in ("BFGS", "Powell"))
    for sampler in SAMPLERS:
        model = converged(make_one, sampler, loss=loss, **settings).fit(X, y)
        reached = mean_loss(np.append(model.coef_[0], model.intercept_), *problem)
        assert least - 1e-3 < reached < 1.02 * least, sampler


def test_weight_decay_shrinks_towards_zero():
    norms = [
        np.linalg.norm(converged(make, "kernel", alpha=alpha, max_iter=30).fit(X, CLASS).coef_)
        for alpha in (0, 0.1, 10)
    ]
    assert norms[0] > 1.1 * norms[1] > 2 * norms[2]


# ---- what a score is ----


@pytest.mark.parametrize("sizes", [(), (12,), (12, 5)], ids=str)
@pytest.mark.parametrize("y", [BINARY, CLASS, NUMBERS], ids=["binary", "classes", "numbers"])
def test_predictions_are_those_of_the_weights(sizes, y):
    model = (make_regressor if y is NUMBERS else make)(sizes).fit(X, y)
    scores = reference.forward(X, model.coefs_, model.intercepts_)[-1]
    n_outputs = 3 if y is CLASS else 1
    widths = [4, *sizes, n_outputs]
    assert [c.shape for c in model.coefs_] == list(zip(widths, widths[1:], strict=False))
    assert [b.shape for b in model.intercepts_] == [(n,) for n in widths[1:]]
    if y is NUMBERS:
        assert_allclose(model.predict(X), scores[:, 0], rtol=1e-4, atol=1e-5)
        return
    if y is BINARY:
        assert_allclose(model.decision_function(X), scores[:, 0], rtol=1e-4, atol=1e-5)
        shares = np.hstack([1 - expit(scores), expit(scores)])
        wanted = model.classes_[(scores[:, 0] > 0).astype(int)]
    else:
        assert_allclose(model.decision_function(X), scores, rtol=1e-4, atol=1e-5)
        shares, wanted = softmax(scores, axis=1), scores.argmax(axis=1)
    assert_allclose(model.predict_proba(X), shares, rtol=1e-4, atol=1e-6)
    assert (model.predict(X) == wanted).mean() > 0.99  # but for ties that rounding decides


def test_weights_of_a_linear_model_have_scikit_learns_names():
    model = make(()).fit(X, CLASS)
    assert (model.coef_.shape, model.intercept_.shape) == ((3, 4), (3,))
    assert_array_equal(model.coef_, model.coefs_[0].T)
    assert_allclose(
        model.decision_function(X), X @ model.coef_.T + model.intercept_, rtol=1e-4, atol=1e-5
    )
    assert make_regressor(()).fit(X, NUMBERS).coef_.shape == (1, 4)


@pytest.mark.parametrize("name", ["coef_", "intercept_"])
def test_with_hidden_layers_there_is_no_one_matrix(name):
    model = make().fit(X, CLASS)
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="without hidden layers"):
        getattr(model, name)


@pytest.mark.parametrize("loss", ["hinge", "modified_huber"])
def test_only_log_loss_has_probabilities(loss):
    model = make(loss=loss)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        model.fit(X, CLASS).predict_proba(X)
    assert hasattr(make(), "predict_proba")


def test_the_regressor_begins_at_the_weighted_mean():
    model = make_regressor((), learning_rate_init=1e-30, max_iter=1).fit(X, NUMBERS, WEIGHT)
    assert_allclose(model.predict(X), np.average(NUMBERS, weights=WEIGHT), rtol=1e-5)


# ---- what it says of the training ----


@every_sampler
@pytest.mark.parametrize("n, batch_size, epochs", [(400, 16, 3), (401, 16, 2), (50, 64, 2)])
def test_it_counts_epochs_and_steps(n, batch_size, epochs, sampler):
    model = make(sampler=sampler, batch_size=batch_size, max_iter=epochs, **BY_SCORES)
    model.fit(HARD_X[:n], HARD_Y[:n])
    assert (model.n_iter_, len(model.loss_curve_)) == (epochs, epochs)
    assert model.t_ == epochs * -(-n // batch_size)
    assert (model.sampled_share_ > 0) == (sampler != "uniform")
    assert np.isnan(model.sampling_gain_) == (sampler == "uniform")
    model.partial_fit(HARD_X[:n], HARD_Y[:n])
    assert (model.n_iter_, model.t_) == (epochs + 1, (epochs + 1) * -(-n // batch_size))


def test_auto_makes_about_three_thousand_steps():
    model = make((), batch_size=64, max_iter="auto", sampler="uniform")
    assert model.fit(X[:70], CLASS[:70]).n_iter_ == 200
    assert [model._n_epochs(n) for n in (64 * 50, 6400, 10**6)] == [60, 30, 10]


@every_sampler
def test_the_loss_curve_tells_of_the_mean_loss(sampler):
    """As the model was: with a rate of next to nothing that of all rows, whatever is drawn."""
    settings = {"learning_rate_init": 1e-12, "max_iter": 30, "alpha": 0} | BY_SCORES
    model = make(sampler=sampler, **settings)
    model.partial_fit(X, BINARY, classes=["no", "yes"]).set_params(warm_start=True)
    coef = np.random.default_rng(0).standard_normal(model.coefs_[-1].shape)
    model.coefs_[-1][:] = coef
    model.fit(X, BINARY, sample_weight=WEIGHT)
    wanted = log_loss(BINARY, model.predict_proba(X), sample_weight=WEIGHT)
    assert_allclose(np.mean(model.loss_curve_[1:]), wanted, rtol=0.03)


@every_sampler
def test_memory_usage_adds_up(sampler):
    model = make(sampler=sampler, n_rows=5, n_buckets=64).fit(X, CLASS)
    usage = model.memory_usage_
    assert usage["sampler"] == (24 * 5 * 64 if sampler == "kernel" else 0)
    assert usage["weights"] == usage["optimizer"] == 4 * (4 * 16 + 16 * 16 + 2 * 16)
    assert usage["total"] == sum(usage[name] for name in ("weights", "optimizer", "sampler"))


# ---- inputs ----


@every_sampler
def test_same_bits_for_any_n_jobs(sampler):
    for form in (np.asarray, sp.csr_array):
        models = [
            make((16, 9), sampler=sampler, n_jobs=n, max_iter=2, **BY_SCORES).fit(form(X), CLASS)
            for n in (1, 1, 2)
        ]
        for name in ("coefs_", "intercepts_", "loss_curve_"):
            for again in models[1:]:
                for a, b in zip(getattr(models[0], name), getattr(again, name), strict=True):
                    assert_array_equal(a, b)
        if sampler == "kernel":
            told = [model.estimate_loss(form(X), CLASS) for model in models]
            assert_array_equal(told[0], told[2])


@pytest.mark.parametrize("sampler", ["stale", "exact", "uniform"])  # hashing centres dense rows
@pytest.mark.parametrize("form", [sp.csr_array, sp.csr_matrix, sp.csc_matrix, sp.coo_array])
def test_dense_and_sparse_rows_give_the_same_model(sampler, form):
    rows = np.where(abs(X) < 0.5, 0, X)
    dense, sparse = (make(sampler=sampler).fit(f(rows), CLASS) for f in (np.asarray, form))
    assert_array_equal(dense.decision_function(X), sparse.decision_function(form(X)))


@every_sampler
def test_indices_may_be_int64(sampler):
    narrow, wide = sp.csr_array(X), sp.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    models = [make(sampler=sampler).fit(rows, CLASS) for rows in (narrow, wide)]
    assert wide.indices.dtype == np.int64
    assert_array_equal(models[0].decision_function(narrow), models[1].decision_function(wide))


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_row_is_told_the_same_alone_as_among_others(form):
    model = make((16, 9)).fit(form(X), CLASS)
    scores, losses = model.decision_function(form(X)), model.estimate_loss(form(X), CLASS)
    for i in (0, 17, 399):
        assert_array_equal(model.decision_function(form(X[i : i + 1]))[0], scores[i])
        alone = model.estimate_loss(form(X[i : i + 1]), CLASS[i : i + 1])
        assert_array_equal(alone, losses[i : i + 1])


def test_it_fits_in_pipelines_and_grids():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), make(max_iter=1)),
        {"kernelsampledsgd__sampler": SAMPLERS, "kernelsampledsgd__include_target": [True, False]},
        cv=2,
    )
    search.fit(100 * HARD_X[:1000] + 5, HARD_Y[:1000])
    assert search.best_score_ > 0.9
    assert search.predict(100 * HARD_X[:10] + 5).shape == (10,)


@pytest.mark.parametrize("cls", [KernelSampledSGD, KernelSampledSGDRegressor])
def test_clones_have_all_parameters(cls):
    values = {name: object() for name in cls().get_params()}
    model = cls(**values)
    assert model.get_params() == values
    plain = cls((3,), sampler="stale", alpha=0.5, random_state=4)
    assert clone(plain).get_params() == plain.get_params()


# ---- estimate_loss ----


def test_estimated_losses_are_high_where_rows_are_hard():
    later_x, later_y, later = hard_region(seed=1)
    model = make((32,), n_bits=8, max_iter=4).fit(HARD_X, HARD_Y)
    told = model.estimate_loss(later_x, later_y)
    assert told.shape == (4000,) and (told >= 0).all()
    assert told[later].mean() > 3 * told[~later].mean()


def test_estimated_losses_go_by_labels_only_if_those_count():
    rows = X[:50]
    for include_target in (True, False):
        model = make((), include_target=include_target).fit(X, BINARY)
        as_no, as_yes = (model.estimate_loss(rows, [label] * 50) for label in ("no", "yes"))
        assert np.array_equal(as_no, as_yes) != include_target


@pytest.mark.parametrize("offset", [1e6, 1.7e9])
def test_targets_far_from_zero_are_learnt_as_well(offset):
    near = make_regressor().fit(X, NUMBERS)
    far = make_regressor().fit(X, NUMBERS + offset)
    assert_allclose(far.predict(X) - offset, near.predict(X), atol=1e-3)
    assert_allclose(far.intercepts_[-1] - offset, near.intercepts_[-1], atol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1e9 / 3])
def test_equal_targets_have_no_unit_of_their_own(value):
    model = make_regressor(learning_rate_init=1e-4).partial_fit(X[:7], np.full(7, value))
    assert_allclose(model.predict(X), value, rtol=1e-12)
    assert np.isfinite(model.partial_fit(X, value + NUMBERS).predict(X)).all()
