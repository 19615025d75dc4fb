"""KernelSampledSGD refuses bad input by name, and stays as it was."""

import re
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from row_problems import make, make_regressor
from sklearn.exceptions import NotFittedError

from sklsh import KernelSampledSGD, KernelSampledSGDRegressor, _memory
from sklsh.optimizers import Adam

X = np.random.RandomState(0).normal(size=(60, 6)).astype(np.float32)
Y = np.arange(60) % 3
NUMBERS = X[:, 0] - X[:, 1]
NAN, INF = float("nan"), float("inf")

SHARED = {
    "hidden_layer_sizes": [0, -1, None, 8, 2.5, "8", (0,), (8, -1), (2.5,), ("8",), (True,)],
    "sampler": ["nw", None],
    "n_rows": [0, 2.5, "auto"],
    "n_bits": [0, 25, 3.5, "auto"],
    "n_buckets": [0, 1, 3, 1000, 2.0**12, 2**32, None],
    "include_target": ["yes", None],
    "row_score": ["gradient", None],
    "pool_factor": [0, 0.9, NAN, INF, "auto"],
    "subsample": [0, -0.1, 1.1, NAN, None],
    "floor": [0, -0.1, 1.1, NAN, None],
    "importance_power": [-0.1, 1.1, NAN, None],
    "decay": [0, -0.5, 1.1, NAN, None],
    "warmup": [-1, 2.5, None],
    "min_gain": [-0.1, NAN, INF, "auto"],
    "alpha": [-1e-4, NAN, INF, None],
    "optimizer": ["adamax", Adam, None],
    "learning_rate_init": [0, -1, NAN, INF, "scale"],
    "learning_rate": ["adaptive", 0.1, None, "vsgd"],  # the last is for linear models
    "power_t": [-0.5, NAN, "auto"],
    "batch_size": [0, 2.5, "auto"],
    "max_iter": [0, 2.5, "all"],
    "early_stopping": ["yes", None],
    "validation_fraction": [0, 1, -0.1, NAN, "auto"],
    "n_iter_no_change": [0, 2.5, None],
    "tol": [-1e-4, NAN, "auto", None],
    "warm_start": ["yes", None],
    "verbose": ["yes", -1],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
}
OF_THE_CLASSIFIER = SHARED | {
    "loss": ["squared_error", "softmax", None],
    "class_weight": ["equal", [1, 1, 1], {9: 1}, {0: -1}, {0: "2"}, {0: NAN}, {0: 0, 1: 0, 2: 0}],
}
OF_THE_REGRESSOR = SHARED | {
    "loss": ["log_loss", "epsilon_insensitive", None],
    "epsilon": [0, -1, NAN, "auto"],
}
BAD_PARAMETERS = {KernelSampledSGD: OF_THE_CLASSIFIER, KernelSampledSGDRegressor: OF_THE_REGRESSOR}


def small(cls, **settings):
    return (make if cls is KernelSampledSGD else make_regressor)(**{"max_iter": 1} | settings)


def target_of(cls):
    return Y if cls is KernelSampledSGD else NUMBERS


def weights_of(model):
    return [w.copy() for w in model.coefs_ + model.intercepts_]


def assert_refused(model, call, message, error=(TypeError, ValueError)):
    """By name, and the model is as it was: it trains on as if nothing had happened."""
    before, weights = dict(vars(model)), weights_of(model)
    steps, drawn = model.t_, model._draws.n_drawn
    with pytest.raises(error, match=message):
        call(model)
    assert vars(model) == before
    assert (model.t_, model._draws.n_drawn) == (steps, drawn)
    for now, then in zip(weights_of(model), weights, strict=True):
        assert_array_equal(now, then)


@pytest.mark.parametrize(
    "cls, name, value",
    [
        pytest.param(cls, name, value, id=f"{cls.__name__[16:]} {name}={value!r}")
        for cls, table in BAD_PARAMETERS.items()
        for name, bad in table.items()
        for value in (bad if cls is KernelSampledSGD or name not in SHARED else bad[:1])
    ],
)
def test_parameters_out_of_range_are_refused_by_name(cls, name, value):
    y = target_of(cls)
    unfitted = small(cls, **{name: value})
    before = dict(vars(unfitted))
    with pytest.raises((TypeError, ValueError), match=name):
        unfitted.fit(X, y)
    assert vars(unfitted) == before
    fitted = small(cls).fit(X, y).set_params(**{name: value})
    assert_refused(fitted, lambda m: m.fit(X, y), name)
    assert_refused(fitted, lambda m: m.partial_fit(X, y), name)


@pytest.mark.parametrize("cls", BAD_PARAMETERS)
def test_every_parameter_is_in_the_table(cls):
    assert BAD_PARAMETERS[cls].keys() == cls().get_params().keys()


def with_entry(array, value):
    array = np.array(array, dtype=float)
    array[3, 1] = value
    return array


def damaged(index):
    rows = sp.csr_array(np.where(abs(X) < 0.5, 0, X))
    rows.indices[3] = index
    return rows


BAD_X = [
    pytest.param(with_entry(X, NAN), "X contains NaN", id="NaN"),
    pytest.param(with_entry(X, INF), "X contains infinity", id="infinity"),
    pytest.param(with_entry(X, 1e300), "X contains infinity or a value too large", id="1e300"),
    pytest.param(sp.csr_array(with_entry(X, NAN)), "X contains NaN", id="sparse NaN"),
    pytest.param(X[0], "Expected 2D array, got 1D", id="1-D"),
    pytest.param(X[None], "Found array with dim 3", id="3-D"),
    pytest.param(X[:30], r"inconsistent numbers of samples: \[30, 60\]", id="short"),
    pytest.param(X.astype(complex), "Complex data not supported", id="complex"),
    pytest.param(X.astype(str) + np.array("a"), "string to float", id="strings"),
    pytest.param(damaged(-1), "X is no valid CSR matrix", id="negative index"),
    pytest.param(damaged(10**8), "X is no valid CSR matrix", id="index too large"),
]
BAD_WEIGHTS = [
    pytest.param(np.ones(9), r"sample_weight.shape == \(9,\)", id="length"),
    pytest.param(np.ones((60, 2)), "[Ss]ample.weights", id="2-D"),
    pytest.param(-np.ones(60), "Negative .* `sample_weight`", id="negative"),
    pytest.param(np.zeros(60), "Sample weights .* non-zero", id="all zero"),
    pytest.param(np.full(60, np.nan), "sample_weight .* NaN", id="NaN"),
]
every_estimator = pytest.mark.parametrize("cls", BAD_PARAMETERS)


@every_estimator
@pytest.mark.parametrize("rows, message", BAD_X)
def test_bad_rows_are_refused(cls, rows, message):
    model, y = small(cls).fit(X, target_of(cls)), target_of(cls)
    for call in (
        lambda m: m.fit(rows, y), lambda m: m.partial_fit(rows, y),
        lambda m: m.estimate_loss(rows, y),
    ):  # fmt: skip
        assert_refused(model, call, message)
    if "inconsistent" not in message:
        assert_refused(model, lambda m: m.predict(rows), message)
    unfitted = small(cls)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(rows, y)
    assert vars(unfitted) == vars(small(cls))


@every_estimator
@pytest.mark.parametrize("weight, message", BAD_WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_weights_are_refused(cls, weight, message, method):
    y = target_of(cls)
    model = small(cls).fit(X, y)
    assert_refused(model, lambda m: getattr(m, method)(X, y, sample_weight=weight), message)


@every_estimator
def test_other_features_are_refused(cls):
    y = target_of(cls)
    model = small(cls).fit(X, y)
    for call in (
        lambda m: m.partial_fit(X[:, :5], y), lambda m: m.predict(X[:, :5]),
        lambda m: m.estimate_loss(X[:, :5], y),
        lambda m: m.set_params(warm_start=True).fit(X[:, :5], y),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="X has 5 features, .* expecting 6"):
            call(model)
    assert model.set_params(warm_start=False).fit(X[:, :5], y).n_features_in_ == 5


INDICATOR = np.eye(3, dtype=int)[Y] | np.eye(3, dtype=int)[(Y + 1) % 3]


@pytest.mark.parametrize(
    "y, message",
    [
        pytest.param(np.zeros(60), "y must have at least 2 classes; got one class", id="one class"),
        pytest.param(INDICATOR, r"y should be a 1d array, .* \(60, 3\)", id="multilabel"),
        pytest.param(sp.csr_array(INDICATOR), "Sparse .* y", id="sparse multilabel"),
        pytest.param(Y + 0.5 * (Y == 1), "continuous", id="continuous"),
        pytest.param(np.where(Y, Y, np.nan), "y contains NaN", id="NaN"),
        pytest.param(None, "requires y", id="None"),
        pytest.param(Y[:30], r"inconsistent numbers of samples: \[60, 30\]", id="short"),
    ],
)
def test_bad_labels_are_refused(y, message):
    model = make().fit(X, Y)
    assert_refused(model, lambda m: m.fit(X, y), message)
    unfitted = make()
    for call in (unfitted.fit, partial(unfitted.partial_fit, classes=[0])):
        with pytest.raises((TypeError, ValueError), match=message):
            call(X, y)
    assert vars(unfitted) == vars(make())


@pytest.mark.parametrize(
    "y, message",
    [
        pytest.param(np.array(["a"] * 60), "y must be numbers; got dtype <U1", id="strings"),
        pytest.param(np.append(NUMBERS[1:], NAN), "y contains NaN", id="NaN"),
        pytest.param(np.append(NUMBERS[1:], INF), "y contains infinity", id="infinity"),
        pytest.param(np.append(NUMBERS[1:], 1e39), "y must be within the range of f", id="1e39"),
        pytest.param(np.c_[NUMBERS, NUMBERS], r"y should be a 1d array, .* \(60, 2\)", id="two"),
        pytest.param(NUMBERS * 1j, "Complex data", id="complex"),
        pytest.param(None, "requires y", id="None"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "estimate_loss"])
def test_bad_numbers_are_refused(y, message, method):
    model = make_regressor().fit(X, NUMBERS)
    assert_refused(model, lambda m: getattr(m, method)(X, y), message)


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param({}, "classes must be passed on the first call", id="none"),
        pytest.param({"classes": [0, 1]}, r"not in classes: array\(\[2\]\)", id="too few"),
        pytest.param({"classes": []}, "not empty", id="empty"),
        pytest.param({"classes": [[0, 1], [2, 3]]}, "one-dimensional", id="2-D"),
        pytest.param({"classes": [0, 1, NAN]}, "none of them missing", id="NaN"),
    ],
)
def test_bad_classes_are_refused_in_the_first_partial_fit(arguments, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, Y, **arguments)
    assert vars(model) == vars(make())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.partial_fit(X, Y + 1), r"not in classes: array\(\[3\]\)"),
        (lambda m: m.partial_fit(X, Y.astype(str)), "not in classes"),
        (lambda m: m.partial_fit(X, Y, classes=[0, 1]), r"classes must be as .*; got \[0, 1\]"),
        (lambda m: m.estimate_loss(X, Y + 5), r"not in classes: array\(\[5, 6, 7\]\)"),
        (lambda m: m.set_params(warm_start=True).fit(X, Y + 1), r"not in classes: array\(\[3\]\)"),
    ],
)
def test_labels_of_no_class_are_refused_later(call, message):
    model = make(max_iter=1).fit(X, Y)
    weights = weights_of(model)
    with pytest.raises(ValueError, match=message):
        call(model)
    for now, then in zip(weights_of(model), weights, strict=True):
        assert_array_equal(now, then)


@every_estimator
def test_a_loss_changed_between_calls_is_refused(cls):
    y, first, second = (
        (Y, "log_loss", "hinge") if cls is KernelSampledSGD else (NUMBERS, "huber", "squared_error")
    )
    model = small(cls, loss=first).fit(X, y).set_params(loss=second)
    message = f"loss must stay '{first}', as in the first call; got '{second}'"
    assert_refused(model, lambda m: m.partial_fit(X, y), message)
    model.set_params(warm_start=True)
    assert_refused(model, lambda m: m.fit(X, y), message)
    model.set_params(warm_start=False).fit(X, y).partial_fit(X, y)
    assert model.t_ == 2 * 4


@pytest.mark.parametrize("sampler", ["stale", "exact", "uniform"])
def test_only_a_sketch_estimates_losses(sampler):
    model = make(sampler=sampler).fit(X, Y)
    assert_refused(model, lambda m: m.estimate_loss(X, Y), f'sampler="kernel"; got {sampler!r}')


@every_estimator
@pytest.mark.parametrize("sizes, rate", [((), 1e38), ((8,), 1e20)], ids=str)
@pytest.mark.filterwarnings("ignore:.* encountered in")  # on the way to infinity
def test_training_that_diverges_says_so_and_keeps_the_earlier_model(cls, sizes, rate):
    y = target_of(cls)
    model = small(cls, hidden_layer_sizes=sizes).fit(X, y)
    model.set_params(learning_rate_init=rate, max_iter=3)
    message = f"Training diverged: .*learning_rate_init={re.escape(str(rate))}"
    for rows in (1000 * X, sp.csr_array(1000 * X)):
        assert_refused(model, lambda m, rows=rows: m.fit(rows, y), message, ValueError)
    unfitted = small(cls, hidden_layer_sizes=sizes, learning_rate_init=rate, max_iter=3)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(1000 * X, y)
    assert not hasattr(unfitted, "coefs_")


@every_estimator
def test_training_that_diverges_in_its_only_step_says_so(cls):
    model = small(cls, hidden_layer_sizes=(), learning_rate_init=1e38, batch_size=60)
    with pytest.raises(ValueError, match="Training diverged: weights are infinite"):
        model.fit(1000 * X, target_of(cls))


@every_estimator
@pytest.mark.filterwarnings("ignore:.* encountered in")  # on the way to infinity
def test_training_that_diverges_before_exact_draws_says_so(cls):
    settings = {"sampler": "exact", "warmup": 0, "min_gain": 0, "pool_factor": 1000}
    model = small(cls, **settings, hidden_layer_sizes=(8,), learning_rate_init=1e3, max_iter=5)
    with pytest.raises(ValueError, match="Training diverged: scores of rows are infinite"):
        model.fit(X, target_of(cls))


@pytest.mark.parametrize("fraction, weight, n", [(0.99, None, 60), (0.01, np.arange(60) == 7, 1)])
def test_holding_out_all_rows_is_refused(fraction, weight, n):
    model = make().fit(X, Y).set_params(early_stopping=True, validation_fraction=fraction)
    message = f"validation_fraction={fraction} .* n_samples={n} "
    assert_refused(model, lambda m: m.fit(X, Y, sample_weight=weight), message)


def test_a_regressor_that_holds_out_one_row_is_refused():
    model = make_regressor(early_stopping=True, validation_fraction=0.01)
    with pytest.raises(ValueError, match="validation_fraction=0.01 holds out one row"):
        model.fit(X, NUMBERS)


@every_estimator
def test_what_does_not_fit_is_refused_with_its_size(cls, monkeypatch):
    y = target_of(cls)
    settings = {"n_rows": 3, "n_buckets": 64, "early_stopping": True}
    model = small(cls, **settings).fit(X, y)
    usage = model.memory_usage_
    total = usage["total"] + usage["weights"] + 4 * 3 * len(X)  # the best weights, and codes
    monkeypatch.setattr(_memory, "available_bytes", lambda: total - 1)
    message = rf"6 features, hidden layers \(16,\) .* 60 rows would take {total:,} bytes, but"
    assert_refused(model, lambda m: m.fit(X, y), message, MemoryError)
    unfitted = small(cls, **settings)
    with pytest.raises(MemoryError, match="bytes"):
        unfitted.fit(X, y)
    assert vars(unfitted) == vars(small(cls, **settings))
    monkeypatch.setattr(_memory, "available_bytes", lambda: total)
    model.fit(X, y)


@pytest.mark.parametrize("sampler", ["kernel", "stale"])
def test_a_later_chunk_that_will_not_fit_is_refused(sampler, monkeypatch):
    model = make(sampler=sampler, n_buckets=64).partial_fit(X[:10], Y[:10], classes=[0, 1, 2])
    needed = 4 * 60 * (10 if sampler == "kernel" else 1)
    needed += 8 * 3 * 10 * 64 if sampler == "kernel" else 0
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed - 1)
    assert_refused(model, lambda m: m.partial_fit(X, Y), "scores of 60 rows", MemoryError)
    monkeypatch.setattr(_memory, "available_bytes", lambda: needed)
    model.partial_fit(X, Y)


@every_estimator
@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba"])
def test_an_unfitted_model_says_so(cls, method):
    model = cls()
    if hasattr(model, method):
        with pytest.raises(NotFittedError):
            getattr(model, method)(X)
    with pytest.raises(NotFittedError):
        model.estimate_loss(X, target_of(cls))


@every_estimator
@pytest.mark.parametrize(
    "attribute",
    [
        "coefs_", "intercepts_", "coef_", "intercept_", "n_iter_", "t_", "loss_curve_",
        "sampling_gain_", "sampled_share_", "memory_usage_", "validation_scores_",
        "best_validation_score_", "classes_",
    ],
)  # fmt: skip
def test_an_unfitted_model_has_no_fitted_attributes(cls, attribute):
    assert not hasattr(cls(), attribute)
