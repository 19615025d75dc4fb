"""Bad input to MISSION estimators: refused by name, and a fitted model stays as it was."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import (
    MISSIONClassifier,
    MISSIONHashSelector,
    MISSIONRegressor,
    MISSIONSelector,
    _memory,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6))
Y = (X[:, 0] > 0).astype(int)
WORDS = [["up" if label else "down", f"w{i}"] for i, label in enumerate(Y)]
KINDS = [MISSIONSelector, MISSIONClassifier, MISSIONRegressor, MISSIONHashSelector]
ALL = pytest.mark.parametrize("kind", KINDS)
MATRIX = pytest.mark.parametrize("kind", KINDS[:3])
CLASSIFYING = pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONClassifier])

# fmt: off
BAD_PARAMETERS = {
    "n_features_to_select": [0, -1, 1.5, "10", None],
    "mode": ["awm", None],
    "width": [0, -8, 1.5, "wide", None],
    "depth": [0, 17, 1.5, "deep", None],
    "loss": ["poisson", None],
    "learning_rate_init": [0, -0.1, float("nan"), float("inf"), "fast", None],
    "learning_rate": ["adaptive", None],
    "power_t": [-0.5, float("inf"), float("nan"), "half"],
    "alpha": [-1e-5, float("inf"), float("nan"), None],
    "l1_ratio": [-0.1, 1.1, float("nan"), None],
    "epsilon": [0, -1, float("inf"), None],
    "batch_size": [0, -1, 1.5, "all", None],
    "max_iter": [0, -1, 1.5, "many", None],
    "shuffle": ["yes", None, 2],
    "normalize": ["l2", None],
    "class_weight": ["equal", 1, {0: -1}, {0: np.nan}, {0: 1e300}, {7: 1}, {0: 0, 1: 0}],
    "verbose": ["yes", -1],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
    "input_type": ["words", None],
}
# fmt: on


ARRAYS = "weights", "ids", "slots", "intercept", "status", "n_active"


def make(kind=MISSIONSelector, **settings):
    small = {"n_features_to_select": 3, "width": 2**6, "max_iter": 2, "random_state": 0}
    return kind(**(small | settings))


def rows_for(kind):
    return WORDS if kind is MISSIONHashSelector else X


def fitted(kind=MISSIONSelector, **settings):
    return make(kind, **settings).fit(rows_for(kind), Y)


def refused(model, error, message, method, *arguments, **named):
    """Check that a method fails with this message and leaves attributes and weights alone."""
    before = dict(vars(model))
    if "_model" in before:
        stored = {name: np.copy(getattr(model._model, name)) for name in ARRAYS}
        progress = str(model._progress)
    with pytest.raises(error, match=message):
        getattr(model, method)(*arguments, **named)
    assert vars(model) == before
    if "_model" in before:
        for name, array in stored.items():
            assert_array_equal(getattr(model._model, name), array)
        assert str(model._progress) == progress


@pytest.mark.parametrize(
    ["name", "value"],
    [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, bad in BAD_PARAMETERS.items()
        for value in bad
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_out_of_range_are_refused_by_name(name, value, method):
    for kind in [kind for kind in KINDS if name in kind().get_params()]:
        of_first = method == "partial_fit" and kind is MISSIONClassifier
        named = {"classes": [0, 1]} if of_first else {}
        for model in (make(kind), fitted(kind)):
            model.set_params(**{name: value})
            error = (TypeError, ValueError)
            refused(model, error, name, method, rows_for(kind), Y, **named)


def test_every_parameter_is_in_the_table():
    known = {name for kind in KINDS for name in kind().get_params()}
    assert known == BAD_PARAMETERS.keys()


@ALL
@pytest.mark.parametrize("width", [3, 100, 2**20 - 1])
def test_widths_that_are_no_power_of_two_are_refused(kind, width):
    above = 1 << width.bit_length()
    message = f"width must be a power of two, such as {above}; got {width}"
    refused(fitted(kind).set_params(width=width), ValueError, message, "fit", rows_for(kind), Y)


@ALL
@pytest.mark.parametrize("sizes", [{"width": 2**40}, {"n_features_to_select": 10**9, "width": 8}])
def test_sizes_that_cannot_be_counted_are_refused(kind, sizes):
    message = "depth . width and n_features_to_select must come to less than 1,073,741,824"
    refused(fitted(kind).set_params(**sizes), ValueError, message, "fit", rows_for(kind), Y)


@ALL
def test_models_that_do_not_fit_are_refused_with_their_bytes(kind, monkeypatch):
    model = fitted(kind)
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    needed = 4 * (2**6 + 1024) + 8 * 1024 + 4 * 4096
    message = f"A model of 3 features and 1 x 64 cells .* would take {needed:,} bytes"
    refused(model, MemoryError, message, "fit", rows_for(kind), Y)


def test_masks_that_do_not_fit_are_refused_with_their_bytes(monkeypatch):
    model = fitted()
    monkeypatch.setattr(_memory, "available_bytes", lambda: 5)
    refused(model, MemoryError, "mask of 6 features would take 6 bytes", "get_support")
    message = "dense array of 2 x 6 would take 96 bytes"
    refused(model, MemoryError, message, "inverse_transform", np.ones((2, 3)))


def damaged(indices=(0, 1), indptr=(0, 1, 2), data=(1.0, 1.0)):
    """CSR of two rows of which parts are broken after it was made."""
    A = sp.csr_matrix(np.eye(2, 6))
    A.indices, A.indptr, A.data = np.array(indices), np.array(indptr), np.array(data, np.float32)
    return A


HALF = np.resize([np.nan, 1], X.shape)
BAD_ROWS = {
    "NaN": (HALF, "NaN"),
    "infinity": (np.where(X > 0, np.inf, X), "infinity"),
    "beyond float32": (np.abs(X) * 1e300, "infinity|too large"),
    "sparse NaN": (sp.csr_array(HALF), "NaN"),
    "one dimension": (X[0], "Expected 2D array"),
    "three dimensions": (X[None], "dim 3"),
    "no rows": (X[:0], r"0 sample\(s\)"),
    "no columns": (X[:, :0], r"0 feature\(s\)"),
    "fewer rows": (X[:30], "inconsistent numbers of samples"),
    "text": (np.full((60, 6), "a"), "could not convert string to float"),
    "complex": (X * 1j, "Complex data not supported"),
    "column too large": (damaged(indices=(0, 6)), "X is no valid CSR matrix"),
    "negative column": (damaged(indices=(0, -1)), "X is no valid CSR matrix"),
    "falling indptr": (damaged(indptr=(0, 3, 2)), "X is no valid CSR matrix"),
}

TAKEN_AS_THEY_ARE = "text", "beyond float32"  # by `transform`


@MATRIX
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused(kind, case):
    rows, message = BAD_ROWS[case]
    y = Y[:2] if isinstance(rows, sp.csr_matrix) else Y
    for method in ("fit", "partial_fit"):
        refused(fitted(kind), ValueError, message, method, rows, y)


@MATRIX
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("case", sorted(BAD_ROWS.keys() - {"fewer rows"}))
def test_bad_rows_are_refused_after_fit_too(kind, case):
    rows, message = BAD_ROWS[case]
    model, message = fitted(kind), f"{message}|features"
    if kind is not MISSIONSelector:
        refused(model, ValueError, message, "predict", rows)
    elif case not in TAKEN_AS_THEY_ARE:
        refused(model, ValueError, message, "transform", rows)


@MATRIX
@pytest.mark.parametrize("n_features", [5, 7])
def test_other_numbers_of_features_are_refused(kind, n_features):
    rows = np.ones((60, n_features))
    message = f"X has {n_features} features, but {kind.__name__} is expecting 6"
    use = "transform" if kind is MISSIONSelector else "predict"
    refused(fitted(kind), ValueError, message, use, rows)
    refused(fitted(kind), ValueError, message, "partial_fit", rows, Y)


@ALL
@pytest.mark.parametrize(
    ["weight", "message"],
    [
        (-np.ones(60), "sample_weight"),
        (np.zeros(60), "sample weights must contain at least one non-zero"),
        (np.full(60, np.nan), "sample_weight contains NaN"),
        (np.full(60, np.inf), "sample_weight contains infinity"),
        (np.ones(59), "sample_weight.shape"),
        (np.ones((60, 2)), "[Ss]ample_?.?weights? must be 1D"),
        (["heavy"] * 60, "could not convert string to float"),
    ],
    ids=["negative", "zero", "NaN", "infinite", "short", "two columns", "text"],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_sample_weights_are_refused(kind, weight, message, method):
    refused(
        fitted(kind), ValueError, f"(?i){message}", method, rows_for(kind), Y, sample_weight=weight
    )


@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONClassifier, MISSIONHashSelector])
@pytest.mark.parametrize(
    ["y", "message"],
    [
        (None, "requires y to be passed|y should be a 1d array"),
        (np.ones(60, int), "y must have at least 2 classes; got one class, .*1"),
        (Y + 0.5, "continuous"),
        (np.where(Y, np.nan, 1), "y contains NaN"),
        (np.array([None] * 60), "Unknown label type"),
        (np.column_stack([Y, 1 - Y]), r"y should be a 1d array, .* \(60, 2\)"),
        (np.column_stack([Y, Y + 1]), r"y should be a 1d array, .* \(60, 2\)"),
        (Y[:59], "inconsistent numbers of samples"),
    ],
    ids=["none", "one class", "continuous", "NaN", "Nones", "multilabel", "multioutput", "short"],
)
def test_bad_labels_are_refused(kind, y, message):
    refused(fitted(kind), ValueError, f"(?s){message}", "fit", rows_for(kind), y)


@CLASSIFYING
@pytest.mark.parametrize(
    ["y", "classes", "message"],
    [
        (Y + 5, None, "y holds labels that are not in classes: .*5"),
        (np.where(Y, "b", "a"), None, "y holds labels that are not in classes"),
        (Y, [0, 1, 2], "classes must be as in the first call"),
        (Y, [1, 2], "classes must be as in the first call"),
        (np.column_stack([Y, 1 - Y]), None, "y should be a 1d array"),
        (Y + 0.5, None, "continuous"),
    ],
)
def test_labels_outside_of_classes_are_refused(kind, y, classes, message):
    refused(fitted(kind), ValueError, message, "partial_fit", X, y, classes=classes)


@pytest.mark.parametrize(
    ["classes", "message"],
    [
        (None, "classes must be passed on the first call to partial_fit"),
        ([0], "at least 2 classes; got one class, .*0"),
        ([], "classes must be one-dimensional and not empty"),
        ([[0, 1]], "classes must be one-dimensional"),
        ([0, np.nan], "classes must be labels of one type, none of them missing"),
        ([2, 3], "y holds labels that are not in classes"),
    ],
)
def test_bad_classes_of_a_first_call_are_refused(classes, message):
    refused(make(MISSIONClassifier), ValueError, message, "partial_fit", X, Y, classes=classes)


@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONRegressor, MISSIONHashSelector])
@pytest.mark.parametrize(
    ["y", "message"],
    [
        (np.where(Y, "b", "a"), "y must be numbers .* could not convert string to float"),
        (np.where(Y, np.nan, 1), "y contains NaN"),
        (np.where(Y, np.inf, 1), "y contains infinity"),
        (np.column_stack([Y, Y]), "y should be a 1d array"),
        (Y[:30], "inconsistent numbers of samples"),
        (np.full(60, 1e300), "y must be within the range of float32; got 1e.300"),
    ],
    ids=["text", "NaN", "infinity", "two columns", "short", "beyond float32"],
)
def test_bad_numbers_are_refused(kind, y, message):
    model = fitted(kind, loss="huber")
    for method in ("fit", "partial_fit"):
        refused(model, ValueError, message, method, rows_for(kind), y)


@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONHashSelector])
def test_classes_are_refused_with_a_loss_of_regression(kind):
    refused(
        fitted(kind, loss="huber"),
        ValueError,
        "classes must be None for loss='huber'",
        "partial_fit",
        rows_for(kind),
        Y,
        classes=[0, 1],
    )


@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONHashSelector])
@pytest.mark.parametrize(
    ["before", "after"], [("log_loss", "huber"), ("huber", "hinge"), ("hinge", "log_loss")]
)
def test_a_model_does_not_change_its_loss(kind, before, after):
    model = fitted(kind, loss=before).set_params(loss=after)
    message = f"loss must stay '{before}', as in the first call; got '{after}'"
    refused(model, ValueError, message, "partial_fit", rows_for(kind), Y)


@ALL
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_is_noticed(kind, method):
    loss = "squared_error" if kind is MISSIONRegressor else "log_loss"
    model = fitted(kind, loss=loss, alpha=0.0)
    rows = WORDS if kind is MISSIONHashSelector else X * 1e19
    if method == "partial_fit":  # it keeps the rate of fit
        model._progress.rate = 3e38
    else:
        model.set_params(learning_rate_init=3e38)
    refused(
        model,
        ValueError,
        "Training diverged: .* Lower learning_rate_init",
        method,
        rows,
        Y,
        sample_weight=np.full(60, 1e9),
    )


BAD_TOKENS = {
    "a string for rows": ("string", "up down", ValueError, "Samples can not be a single string"),
    "rows that are strings": ("string", ["up"] * 60, ValueError, "single string.* sample 0"),
    "no rows": ("string", [], ValueError, "raw_X must hold at least one sample"),
    "no iterable": ("string", 7, TypeError, "raw_X must be an iterable of samples"),
    "rows of none": ("string", [None] * 60, TypeError, "Sample 0 must be an iterable"),
    "numbers for tokens": ("string", [[1, 2]] * 60, TypeError, "Token 0 of sample 0 must be a str"),
    "pairs for tokens": (
        "string",
        [[("a", 1)]] * 60,
        TypeError,
        "Token 0 of sample 0 must be a str",
    ),
    "tokens for pairs": ("pair", [["a"]] * 60, TypeError, "Token 0 of sample 0 must be a pair"),
    "triples for pairs": (
        "pair",
        [[("a", 1, 2)]] * 60,
        TypeError,
        "Token 0 of sample 0 must be a pair",
    ),
    "lists for dicts": ("dict", [["a"]] * 60, TypeError, "Sample 0 must map tokens to values"),
    "NaN": ("dict", [{"a": np.nan}] * 60, ValueError, "token 0 of sample 0 must be finite"),
    "infinity": ("pair", [[("a", np.inf)]] * 60, ValueError, "token 0 of sample 0 must be finite"),
    "none for a value": (
        "dict",
        [{"a": None}] * 60,
        TypeError,
        "value of token 0 of sample 0 must be a number",
    ),
    "half a character": ("string", [["\ud800"]] * 60, ValueError, "Token 0 of sample 0, .* UTF-8"),
    "fewer rows": ("string", WORDS[:30], ValueError, "inconsistent numbers of samples"),
    "the last one bad": ("string", [*WORDS[:-1], "up"], ValueError, "sample 59"),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_tokens_are_refused_with_their_place(case):
    input_type, rows, error, message = BAD_TOKENS[case]
    model = fitted(MISSIONHashSelector).set_params(input_type=input_type)
    refused(model, error, message, "fit", rows, Y)
    refused(model, error, message, "partial_fit", rows, Y)
    if case != "fewer rows":
        refused(model, error, message, "transform", rows)


@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONHashSelector])
@pytest.mark.parametrize("columns", [0, 2, 4])
def test_other_numbers_of_selected_columns_are_refused(kind, columns):
    refused(
        fitted(kind),
        ValueError,
        "X must have 3 columns, those selected",
        "inverse_transform",
        np.ones((2, columns)),
    )


@ALL
def test_unfitted_models_say_so(kind):
    model = make(kind)
    methods = {"merge", "predict", "transform", "inverse_transform", "get_feature_names_out"}
    for method in sorted(methods & set(dir(kind))):
        with pytest.raises(NotFittedError):
            getattr(model, method)(*([] if method == "get_feature_names_out" else [X]))
    for name in ("n_iter_", "sketch_", "intercept_", "feature_ids_", "memory_usage_"):
        assert not hasattr(model, name)
