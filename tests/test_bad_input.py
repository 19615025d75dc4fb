"""Bad input to SLIDEClassifier: refused by name, and the fitted model stays as it was."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import SLIDEClassifier
from sklsh._sklearn import effective_n_threads
from sklsh.optimizers import Adam

RNG = np.random.RandomState(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
LABEL = RNG.randint(4, size=40)
Y = (RNG.rand(40, 4) < 0.4).astype(int)


def with_entry(array, value):
    changed = array.astype(float)
    changed[3, 2] = value
    return changed


def make(**settings):
    return SLIDEClassifier(**({"hidden_layer_sizes": (8,), "max_iter": 1} | settings))


def fit(X=X, y=LABEL, **kwargs):
    return lambda model: model.fit(X, y, **kwargs)


def partial_fit(X=X, y=LABEL, **kwargs):
    return lambda model: model.partial_fit(X, y, **kwargs)


def assert_unchanged(model, before, weights):
    assert vars(model) == before
    for now, then in zip(model.coefs_ + model.intercepts_, weights, strict=True):
        assert_array_equal(now, then)


def damaged_indicator():
    """Sparse y whose rows end beyond its entries, which looks sorted."""
    y = sp.csr_matrix(Y)
    y.sort_indices()
    y.indptr[1] = 10 * y.nnz
    return y


BAD_FIT = [
    pytest.param(fit(y=damaged_indicator()), "y is no valid CSR matrix", id="damaged y"),
    pytest.param(fit(y=sp.csr_matrix((40, 0))), "y must have at least one column", id="no column"),
    pytest.param(
        fit(y=sp.csr_matrix((40, 2**31 - 2))), "would take .* bytes", id="two billion classes"
    ),
    pytest.param(fit(with_entry(X, np.nan)), "X contains NaN", id="NaN"),
    pytest.param(fit(with_entry(X, np.inf)), "X contains infinity", id="infinity"),
    pytest.param(
        fit(with_entry(X, 1e300)),
        "X contains infinity or a value too large",
        id="1e300",
        marks=pytest.mark.filterwarnings("ignore:overflow encountered in cast"),
    ),
    pytest.param(fit(sp.csr_array(with_entry(X, np.nan))), "X contains NaN", id="sparse NaN"),
    pytest.param(fit(X[0]), "Expected 2D array, got 1D", id="1-D X"),
    pytest.param(fit(X[None]), "Found array with dim 3", id="3-D X"),
    pytest.param(fit(X[:0], LABEL[:0]), r"0 sample\(s\)", id="no rows"),
    pytest.param(fit(X[:, :0]), r"0 feature\(s\)", id="no features"),
    pytest.param(fit(X.astype(complex)), "Complex data not supported", id="complex X"),
    pytest.param(fit(X.astype(str) + np.array("a")), "string to float", id="string X"),
    pytest.param(fit(X[:30]), r"inconsistent numbers of samples: \[30, 40\]", id="short X"),
    pytest.param(fit(y=Y[:30]), r"inconsistent numbers of samples: \[40, 30\]", id="short y"),
    pytest.param(fit(y=None), "requires y", id="y=None"),
    pytest.param(fit(y=LABEL + 0.5), "continuous", id="continuous y"),
    pytest.param(fit(y=np.where(LABEL, LABEL, np.nan)), "y contains NaN", id="NaN in y"),
    pytest.param(fit(y=Y * 2), "y with several columns .* 0 and 1", id="twos"),
    pytest.param(fit(y=sp.csr_matrix(Y * 2)), "y must be .* 0 and 1", id="sparse twos"),
    pytest.param(fit(y=with_entry(Y, np.nan)), "y contains NaN", id="NaN in indicator"),
    pytest.param(
        fit(y=np.c_[LABEL, LABEL]), "y with several columns .*multioutput", id="multioutput"
    ),
    pytest.param(fit(y=Y.astype(str)), "y with several columns", id="string indicator"),
    pytest.param(fit(y=Y[:, None]), "dim 3", id="3-D y"),
    pytest.param(fit(sample_weight=np.ones(9)), r"sample_weight.shape == \(9,\)", id="length"),
    pytest.param(fit(sample_weight=np.ones((40, 2))), "[Ss]ample.weights", id="2-D weight"),
    pytest.param(fit(sample_weight=-np.ones(40)), "Negative .* `sample_weight`", id="negative"),
    pytest.param(fit(sample_weight=np.zeros(40)), "Sample weights .* non-zero", id="all zero"),
    pytest.param(fit(sample_weight=np.full(40, np.nan)), "sample_weight .* NaN", id="NaN weight"),
]
BAD_PARTIAL_FIT = [
    pytest.param(partial_fit(X[:, :5]), "X has 5 features, .* expecting 6", id="fewer features"),
    pytest.param(partial_fit(with_entry(X, np.nan)), "X contains NaN", id="NaN"),
    pytest.param(partial_fit(y=LABEL + 1), r"not in classes: array\(\[4\]\)", id="unseen"),
    pytest.param(partial_fit(y=LABEL.astype(str)), "not in classes", id="strings"),
    pytest.param(partial_fit(y=Y), "y must be one label a row", id="indicator"),
    pytest.param(partial_fit(classes=[0, 1]), r"classes must be .*; got \[0, 1\]", id="classes"),
    pytest.param(partial_fit(sample_weight=np.zeros(40)), "Sample weights", id="zero weight"),
]
BAD_PREDICT = [
    pytest.param(lambda m: m.predict(X[:, :5]), "5 features", id="predict"),
    pytest.param(lambda m: m.predict_proba(X[0]), "1D array", id="predict_proba"),
    pytest.param(lambda m: m.decision_function(X * np.nan), "NaN", id="decision_function"),
    pytest.param(lambda m: m.predict_top_k(X[:0], 1), r"0 sample\(s\)", id="predict_top_k"),
    pytest.param(lambda m: m.predict_top_k(X, 0), "k must be .* 4; got 0", id="k=0"),
    pytest.param(lambda m: m.predict_top_k(X, 5), "k must be .* 4; got 5", id="k=5"),
    pytest.param(lambda m: m.predict_top_k(X, 1.5), "k must be .* 1.5", id="k=1.5"),
    pytest.param(lambda m: m.predict_top_k(X, "2"), "k must be .* '2'", id="k='2'"),
    pytest.param(lambda m: m.predict_log_proba(X[:, :5]), "5 features", id="predict_log_proba"),
]
BAD_EXPLANATION = [
    pytest.param(lambda m: m.top_features(4), "label must be .* classes_; got 4", id="label"),
    pytest.param(lambda m: m.top_features("a"), "label must be .* got 'a'", id="label='a'"),
    pytest.param(lambda m: m.top_features(None), "label must be .* got None", id="label=None"),
    pytest.param(lambda m: m.top_features([0, 1], 2), r"label .* got \[0, 1\]", id="two labels"),
    pytest.param(lambda m: m.top_features([0, 1, 2, 3], 2), "label must be one", id="four labels"),
    pytest.param(lambda m: m.top_features(0, 0), "k must be .* at least 1; got 0", id="k=0"),
    pytest.param(lambda m: m.top_features(0, 1.5), "k must be .* got 1.5", id="k=1.5"),
    pytest.param(lambda m: m.top_labels(6, 1), r"feature must be .*\[0, 6\); got 6", id="feature"),
    pytest.param(lambda m: m.top_labels(-1, 1), "feature must be .* got -1", id="feature=-1"),
    pytest.param(lambda m: m.top_labels(1.5, 1), "feature must be .* got 1.5", id="feature=1.5"),
    pytest.param(lambda m: m.top_labels(True, 1), "feature must be .* got True", id="a bool"),
    pytest.param(lambda m: m.top_labels("oak", 1), "a name that fit saw; got 'oak'", id="name"),
    pytest.param(lambda m: m.top_labels([1], 1), r"feature must be .* got \[1\]", id="a list"),
    pytest.param(lambda m: m.top_labels(0, -1), "k must be .* got -1", id="k=-1"),
    pytest.param(lambda m: m.top_labels(0, True), "k must be .* got True", id="k=True"),
]


@pytest.mark.parametrize(
    ["call", "message"], BAD_FIT + BAD_PARTIAL_FIT + BAD_PREDICT + BAD_EXPLANATION
)
def test_bad_data_are_refused_and_leave_the_model_as_it_was(call, message):
    model = make().fit(X, LABEL)
    before, weights = dict(vars(model)), [w.copy() for w in model.coefs_ + model.intercepts_]
    with pytest.raises((TypeError, ValueError, MemoryError), match=message):
        call(model)
    assert_unchanged(model, before, weights)


@pytest.mark.parametrize(["call", "message"], BAD_FIT)
def test_bad_data_leave_an_unfitted_model_unfitted(call, message):
    model = make()
    with pytest.raises((TypeError, ValueError, MemoryError), match=message):
        call(model)
    assert vars(model) == vars(make())


@pytest.mark.parametrize(
    ["call", "message"],
    [
        pytest.param(partial_fit(), "classes must be passed", id="no classes"),
        pytest.param(partial_fit(classes=[0, 1]), "not in classes", id="too few classes"),
        pytest.param(partial_fit(classes=[]), "not empty", id="empty"),
        pytest.param(partial_fit(classes=[0, 1, np.nan]), "none of them missing", id="NaN class"),
        pytest.param(partial_fit(classes=["a", 1, None]), "none of them missing", id="mixed"),
        pytest.param(partial_fit(classes=[[0, 1], [2, 3]]), "one-dimensional", id="2-D"),
        pytest.param(partial_fit(y=Y, classes=[0, 1]), r"arange\(4\)", id="indicator"),
    ],
)
def test_bad_classes_are_refused_in_the_first_partial_fit(call, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        call(model)
    assert vars(model) == vars(make())


# fmt: off
BAD_PARAMETERS = {
    "hidden_layer_sizes": [
        0, -1, None, (True,), 2.5, "8", (), (0,), (8, -1), (2.5,), ("8",), [[3, 4]],
    ],
    "loss": ["hinge", None],
    "active_set": ["row", None],
    "negatives": ["popular", None],
    "n_active": [0, 2.5, "auto"],
    "correction": ["full", True],
    "hash_family": ["minhash", None],
    "n_bits": [0, 25, 3.5, "few"],
    "n_tables": [0, 2.5],
    "bucket_size": [0, -3],
    "rehash_every": [0, 1.5],
    "rehash_growth": [0.9, float("nan"), float("inf"), "1"],
    "prediction": ["approximate", None],
    "input_dropout": [-0.1, 1, float("nan"), "none"],
    "hidden_dropout": [-0.1, 1, float("nan"), "none"],
    "hidden_sampling": ["best", ["lsh"] * 2, [1]],
    "max_active": [0, 0.0, 1.5, -3, [0.5] * 2, [float("nan")]],
    "optimizer": ["adadelta", Adam, None],
    "learning_rate_init": [0, -1, float("nan"), float("inf"), "auto"],
    "learning_rate": ["adaptive", 0.1, None],
    "power_t": [-0.5, float("nan"), "auto"],
    "beta_1": [-0.1, 1, float("nan"), None],
    "beta_2": [-0.1, 1, float("nan"), None],
    "epsilon": [0, -1e-8, 1e-300, 1e300, float("nan"), "auto"],
    "batch_size": [0, 2.5, "all"],
    "max_iter": [0, 2.5, "all"],
    "shuffle": ["yes", None],
    "class_weight": [
        "equal", [1, 1, 1, 1], {9: 1}, {"a": 1}, {0: -1}, {0: "2"}, {0: None}, {0: float("nan")},
        {0: float("inf")}, dict.fromkeys(range(4), 0),
    ],
    "early_stopping": ["yes", None],
    "validation_fraction": [0, 1, -0.1, float("nan"), "auto"],
    "n_iter_no_change": [0, 2.5, None],
    "tol": [-1e-4, float("nan"), "auto", None],
    "dtype": ["float16", np.float32, None],
    "product_dtype": ["int4", np.int8, None],
    "warm_start": ["yes", None],
    "verbose": ["yes", -1],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
}
# fmt: on


def test_layers_too_wide_for_int8_are_refused_by_name():
    wide = make(hidden_layer_sizes=(8, 2**16 + 1), product_dtype="int8")
    with pytest.raises(ValueError, match="at most 65,536 units; hidden_layer_sizes ends with 65,5"):
        wide.fit(X, LABEL)
    assert vars(wide) == vars(make(hidden_layer_sizes=(8, 2**16 + 1), product_dtype="int8"))


@pytest.mark.parametrize(
    ["name", "value"],
    [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, bad in BAD_PARAMETERS.items()
        for value in bad
    ],
)
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_parameters_out_of_range_are_refused_by_name(name, value, fitted):
    model = make(random_state=0)
    if fitted:
        model.fit(X, LABEL)
    model.set_params(**{name: value})
    before = dict(vars(model))
    with pytest.raises((TypeError, ValueError), match=name):
        model.fit(X, LABEL)
    assert vars(model) == before


@pytest.mark.parametrize(["name", "value"], [("loss", "hinge"), ("batch_size", 0), ("max_iter", 0)])
def test_partial_fit_checks_parameters_set_after_fit(name, value):
    model = make().fit(X, LABEL).set_params(**{name: value})
    before, weights = dict(vars(model)), [w.copy() for w in model.coefs_ + model.intercepts_]
    with pytest.raises(ValueError, match=name):
        model.partial_fit(X, LABEL)
    assert_unchanged(model, before, weights)


@pytest.mark.parametrize(
    ["settings", "message"],
    [
        pytest.param({"class_weight": {7: 1}}, "class_weight names 7, which is not", id="unknown"),
        pytest.param({"n_jobs": 0}, "n_jobs must be", id="n_jobs"),
    ],
)
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_settings_that_do_not_fit_the_data_are_refused_by_partial_fit(settings, message, fitted):
    model = make().fit(X, LABEL) if fitted else make()
    model.set_params(**settings)
    before, steps = dict(vars(model)), getattr(model, "t_", None)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, LABEL, classes=range(4))
    assert vars(model) == before
    assert getattr(model, "t_", None) == steps


@pytest.mark.parametrize(
    ["fraction", "weight", "n"], [(0.99, None, 40), (0.01, np.arange(40) == 7, 1)]
)
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_holding_out_all_rows_is_refused(fraction, weight, n, fitted):
    model = make().fit(X, LABEL) if fitted else make()
    model.set_params(early_stopping=True, validation_fraction=fraction)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} .* n_samples={n} "):
        model.fit(X, LABEL, sample_weight=weight)
    assert vars(model) == before


def test_negatives_of_the_batch_do_not_go_with_sets_of_a_row_s_own():
    model = make(active_set="sample", negatives="in_batch")
    with pytest.raises(ValueError, match="negatives='in_batch' .* active_set=\"sample\""):
        model.fit(X, LABEL)
    assert vars(model) == vars(make(active_set="sample", negatives="in_batch"))


@pytest.mark.parametrize(
    ["name", "value"], [("prediction", "approximate"), ("n_bits", 0), ("hash_family", "minhash")]
)
def test_prediction_checks_parameters_set_after_fit(name, value):
    model = make(prediction="lsh").fit(X, LABEL).set_params(**{name: value})
    for method in (model.predict, lambda X: model.predict_top_k(X, 2)):
        with pytest.raises(ValueError, match=name):
            method(X)


def test_every_parameter_is_in_the_table():
    assert BAD_PARAMETERS.keys() == SLIDEClassifier().get_params().keys()


def test_training_that_diverges_says_so():
    model = make(learning_rate_init=1e30, max_iter=3)
    with pytest.raises(ValueError, match="learning_rate_init"):
        model.fit(X, LABEL)


@pytest.mark.parametrize(
    ["method", "arguments"],
    [
        ("predict", (X,)), ("predict_top_k", (X,)), ("predict_proba", (X,)),
        ("predict_log_proba", (X,)), ("decision_function", (X,)), ("top_features", (0,)),
        ("top_labels", (0,)), ("lean_copy", ()),
    ],
)  # fmt: skip
def test_unfitted_model_says_so(method, arguments):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(*arguments)


@pytest.mark.parametrize(
    "attribute",
    [
        "classes_", "coefs_", "intercepts_", "n_iter_", "t_", "loss_curve_", "n_active_",
        "bucket_load_", "memory_usage_", "validation_scores_", "best_validation_score_",
    ],
)  # fmt: skip
def test_unfitted_model_has_no_fitted_attributes(attribute):
    assert not hasattr(make(), attribute)


@pytest.mark.parametrize("index", [-1, 10**8])
def test_damaged_csr_is_refused(index):
    X = sp.random_array((50, 20), density=0.2, format="csr", random_state=0)
    y = np.arange(50) % 3
    model = SLIDEClassifier(max_iter=1).fit(X, y)
    X.indices[3] = index
    for call in (lambda: model.predict(X), lambda: SLIDEClassifier().fit(X, y)):
        with pytest.raises(ValueError, match="X is no valid CSR matrix"):
            call()


def test_huge_n_jobs_is_held_to_the_machine():
    assert effective_n_threads(10**6) == effective_n_threads(-1)
