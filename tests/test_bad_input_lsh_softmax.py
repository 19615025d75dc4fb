"""Bad input to LSHSoftmaxClassifier: refused by name, and the fitted model stays as it was."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import LSHSoftmaxClassifier
from sklsh.optimizers import Adam

RNG = np.random.RandomState(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
LABEL = RNG.randint(4, size=40)
Y = (RNG.rand(40, 4) < 0.4).astype(int)
NAN, INF = float("nan"), float("inf")


def with_entry(array, value):
    changed = array.astype(float)
    changed[3, 2] = value
    return changed


def make(**settings):
    return LSHSoftmaxClassifier(**({"hidden_layer_sizes": (8,), "max_iter": 1} | settings))


def state_of(model):
    """Attributes, and copies of the weights if there are any."""
    weights = model.coefs_ + model.intercepts_ if hasattr(model, "coefs_") else []
    return dict(vars(model)), [w.copy() for w in weights], getattr(model, "t_", None)


def assert_unchanged(model, before):
    attributes, weights, steps = before
    now = state_of(model)
    assert now[0] == attributes
    assert now[2] == steps
    for then, array in zip(weights, now[1], strict=True):
        assert_array_equal(array, then)


def refuse(model, message, call=lambda model: model.fit(X, LABEL)):
    before = state_of(model)
    with pytest.raises((TypeError, ValueError, MemoryError), match=message):
        call(model)
    assert_unchanged(model, before)


# fmt: off
BAD_PARAMETERS = {
    "hidden_layer_sizes": [0, -1, None, (True,), 2.5, "8", (0,), (8, -1), (2.5,), ("8",)],
    "negatives": [
        "popular", "", None, 3, {"lsh"}, ("lsh",), (0, "lsh"),
        {}, {"lsh": 0}, {"lsh": -1, "uniform": 2}, {"lsh": NAN}, {"lsh": INF}, {"lsh": "1"},
        {"lsh": True}, {"lsh": None}, {"popular": 1}, {"lsh": 1, "popular": 1}, {"full": 1},
        {"in_batch": 1}, {1: 1}, {"lsh": 1e308}, {"lsh": 1, "uniform": 1e-320},
        [], ["lsh"], [0, "lsh"], [(0,)], [(0, "lsh", 1)], [(0.5, "lsh")], [(0.1, "lsh")],
        [(0, "lsh"), (0.5, "uniform"), (0.5, "lsh")], [(0, "lsh"), (0.5, "uniform"), (0.2, "lsh")],
        [(0, "lsh"), (1, "uniform")], [(0, "lsh"), (NAN, "uniform")], [(-0.1, "lsh")],
        [("0", "lsh")], [(False, "lsh")], [(0, "popular")], [(0, {})], [(0, {"lsh": NAN})],
        [(0, [(0, "lsh")])], [(0, None)],
    ],
    "n_active": [0, 2.5, "auto"],
    "share_negatives": ["yes", None],
    "query": ["row", None, True],
    "correction": ["full", True, None],
    "frequency_power": [-0.1, 1.1, NAN, INF, None],
    "temperature": [0, -1, NAN, INF, 1e-60, 1e60, "auto", None],
    "normalize": ["l2", None],
    "hash_family": ["minhash", None],
    "n_bits": [0, 25, 3.5, "few"],
    "n_tables": [0, 2.5],
    "bucket_size": [0, -3],
    "rehash_every": [0, 1.5],
    "rehash_growth": [0.9, NAN, INF, "1"],
    "redraw_every": [0, -1, 1.5, "auto"],
    "prediction": ["approximate", None],
    "input_dropout": [-0.1, 1, NAN, "none"],
    "hidden_dropout": [-0.1, 1, NAN, "none"],
    "optimizer": ["adamax", Adam, None],
    "learning_rate_init": [0, -1, NAN, INF, "auto"],
    "learning_rate": ["adaptive", 0.1, None],
    "power_t": [-0.5, NAN, "auto"],
    "beta_1": [-0.1, 1, NAN, None],
    "beta_2": [-0.1, 1, NAN, None],
    "epsilon": [0, -1e-8, 1e-300, 1e300, NAN, "auto"],
    "batch_size": [0, 2.5, "all"],
    "max_iter": [0, 2.5, "all"],
    "shuffle": ["yes", None],
    "class_weight": ["equal", [1, 1, 1, 1], {9: 1}, {0: -1}, {0: NAN}, dict.fromkeys(range(4), 0)],
    "early_stopping": ["yes", None],
    "validation_fraction": [0, 1, -0.1, NAN, "auto"],
    "n_iter_no_change": [0, 2.5, None],
    "tol": [-1e-4, NAN, "auto", None],
    "dtype": ["float16", np.float32, None],
    "product_dtype": ["int4", np.int8, None],
    "warm_start": ["yes", None],
    "verbose": ["yes", -1],
    "random_state": ["x", -1],
    "n_jobs": [0, 1.5, "2"],
}
# fmt: on


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
    refuse(model.set_params(**{name: value}), name)


def test_every_parameter_is_in_the_table():
    assert BAD_PARAMETERS.keys() == LSHSoftmaxClassifier().get_params().keys()


OWN = {"share_negatives": False}
GAUSSIAN = {"hash_family": "dense_simhash"}
BAD_TOGETHER = {
    "importance of a shared set": (
        {"correction": "importance"} | GAUSSIAN, 'wants .* hash_family="dense_simhash" and share_'
    ),
    "importance of rotations": (
        {"correction": "importance"} | OWN, 'wants .* hash_family="dense_simhash" and share_'
    ),
    "importance and draws": (
        {"correction": "importance", "negatives": {"lsh": 1, "uniform": 1}} | OWN | GAUSSIAN,
        "whole buckets and draws nothing"
    ),
    "auto in a list": ({"negatives": [(0, "lsh"), (0.5, "auto")]}, r"negatives from 0.5 on must"),
    "a list in a list": ({"negatives": [(0, [(0, "lsh")])]}, r"negatives from 0 on must be one of"),
    "importance in one of the stages": (
        {"correction": "importance", "negatives": [(0, "uniform"), (0.5, "lsh")]}, "importance"
    ),
    "frequency of a row's own": (OWN | {"negatives": "frequency"}, "share_negatives=False a row"),
    "log_uniform of a row's own": (OWN | {"negatives": "log_uniform"}, "negatives='log_uniform'"),
    "in_batch of a row's own": (OWN | {"negatives": "in_batch"}, "negatives='in_batch'"),
    "a mixture of a row's own": (OWN | {"negatives": {"lsh": 1, "frequency": 1}}, "negatives="),
    "a later stage of a row's own": (
        OWN | {"negatives": [(0, "lsh"), (0.5, "in_batch")]}, "share_negatives=False"
    ),
    "n_bits of dwta": ({"hash_family": "dwta", "n_bits": 4}, "n_bits"),
}  # fmt: skip


@pytest.mark.parametrize(["settings", "message"], BAD_TOGETHER.values(), ids=BAD_TOGETHER)
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_settings_that_do_not_go_together_are_refused(settings, message, fitted, monkeypatch):
    monkeypatch.setattr("sklsh._samplers.EXACT_BELOW", 0)
    model = make(n_active=1)
    if fitted:
        model.fit(X, LABEL)
    refuse(model.set_params(**settings), message)


FOR_A_FRESH_NETWORK = {
    "int8 without hidden layers": (
        {"hidden_layer_sizes": (), "product_dtype": "int8"}, r'int8" wants .*_sizes=\(\)'
    ),
    "bfloat16 rows of unit length": (
        {"normalize": True, "dtype": "bfloat16"}, 'normalize=True .* dtype="bfloat16"'
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ["settings", "message"], FOR_A_FRESH_NETWORK.values(), ids=FOR_A_FRESH_NETWORK
)
@pytest.mark.parametrize("y", [LABEL, Y], ids=["one label", "indicator"])
def test_storage_that_cannot_hold_the_network_is_refused(settings, message, y):
    for model in (make(), make().fit(X, y)):
        refuse(model.set_params(**settings), message, lambda model: model.fit(X, y))


@pytest.mark.parametrize(
    ["name", "value"],
    [("negatives", "popular"), ("negatives", {"lsh": -1}), ("negatives", [(0.5, "lsh")]),
     ("temperature", 0), ("query", "row"), ("redraw_every", 0), ("batch_size", 0)],
)  # fmt: skip
@pytest.mark.parametrize("method", ["partial_fit", "warm fit"])
def test_training_on_checks_parameters_set_after_fit(name, value, method):
    model = make().fit(X, LABEL).set_params(**{name: value}, warm_start=True)
    train = model.partial_fit if method == "partial_fit" else model.fit
    refuse(model, name, lambda model: train(X, LABEL))


BAD_DATA = [
    pytest.param(lambda m: m.fit(with_entry(X, np.nan), LABEL), "X contains NaN", id="NaN"),
    pytest.param(lambda m: m.fit(with_entry(X, np.inf), LABEL), "X contains inf", id="infinity"),
    pytest.param(
        lambda m: m.fit(sp.csr_array(with_entry(X, np.nan)), LABEL), "NaN", id="sparse NaN"
    ),
    pytest.param(lambda m: m.fit(X[0], LABEL), "Expected 2D array, got 1D", id="1-D X"),
    pytest.param(lambda m: m.fit(X, LABEL[:9]), r"samples: \[40, 9\]", id="short y"),
    pytest.param(lambda m: m.fit(X, LABEL + 0.5), "continuous", id="continuous y"),
    pytest.param(lambda m: m.fit(X, Y * 2), "0 and 1", id="twos"),
    pytest.param(lambda m: m.fit(X, LABEL, np.zeros(40)), "Sample weights", id="no weight"),
    pytest.param(lambda m: m.fit(X, LABEL, -np.ones(40)), "Negative", id="negative weight"),
    pytest.param(lambda m: m.partial_fit(X[:, :5], LABEL), "X has 5 features", id="partial_fit"),
    pytest.param(lambda m: m.partial_fit(X, LABEL + 1), "not in classes", id="unseen"),
    pytest.param(lambda m: m.predict_proba(X[:, :5]), "X has 5 features", id="predict_proba"),
    pytest.param(lambda m: m.predict_top_k(X, 5), "k must be .* 4; got 5", id="k=5"),
    pytest.param(lambda m: m.log_loss(X[:, :5], LABEL), "X has 5 features", id="log_loss width"),
    pytest.param(lambda m: m.log_loss(X * np.nan, LABEL), "X contains NaN", id="log_loss NaN"),
    pytest.param(lambda m: m.log_loss(X, LABEL + 1), r"not in classes.*4", id="log_loss unseen"),
    pytest.param(lambda m: m.log_loss(X, LABEL.astype(str)), "not in classes", id="log_loss str"),
    pytest.param(lambda m: m.log_loss(X, Y), "one label a row", id="log_loss indicator"),
    pytest.param(lambda m: m.log_loss(X, LABEL[:9]), r"samples: \[40, 9\]", id="log_loss short"),
    pytest.param(lambda m: m.log_loss(X[:0], LABEL[:0]), r"0 sample\(s\)", id="log_loss no rows"),
    pytest.param(lambda m: m.log_loss(X, None), "y", id="log_loss y=None"),
    pytest.param(
        lambda m: m.log_loss(X, LABEL, np.ones(9)), r"sample_weight.shape == \(9,\)", id="length"
    ),
    pytest.param(lambda m: m.log_loss(X, LABEL, -np.ones(40)), "Negative", id="log_loss negative"),
    pytest.param(lambda m: m.log_loss(X, LABEL, np.zeros(40)), "weights", id="log_loss zero"),
]


@pytest.mark.parametrize(["call", "message"], BAD_DATA)
def test_bad_data_are_refused_and_leave_the_model_as_it_was(call, message):
    refuse(make().fit(X, LABEL), message, call)


def test_labels_of_log_loss_have_the_form_of_those_of_fit():
    model = make().fit(X, Y)
    refuse(model, "y must", lambda m: m.log_loss(X, LABEL))
    refuse(model, "y must", lambda m: m.log_loss(X, Y[:, :3]))


WIDE = sp.csr_matrix((40, 10**7))


@pytest.mark.parametrize(
    ["settings", "X", "y"],
    [
        pytest.param({"hidden_layer_sizes": ()}, WIDE, sp.csr_matrix((40, 10**7)), id="linear"),
        pytest.param(
            {"hidden_layer_sizes": (), "normalize": True}, WIDE, sp.csr_matrix((40, 10**6)),
            id="linear, of unit length",
        ),
        pytest.param({"hidden_layer_sizes": (10**6,)}, WIDE, LABEL, id="embedding"),
        pytest.param({"hidden_layer_sizes": (4096,)}, X, sp.csr_matrix((40, 2**31 - 2)), id="rows"),
        pytest.param({"n_tables": 10**7}, X, sp.csr_matrix((40, 10**6)), id="tables"),
    ],
)  # fmt: skip
def test_memory_that_will_not_fit_is_refused_with_its_bytes(settings, X, y):
    fitted = make().fit(RNG.normal(size=(40, 6)), LABEL)
    for model in (make(**settings), fitted.set_params(**settings)):
        refuse(model, r"would take [\d,]+ bytes", lambda model: model.fit(X, y))


@pytest.mark.parametrize(
    ["method", "arguments"],
    [("log_loss", (X, LABEL)), ("predict_proba", (X,)), ("predict_top_k", (X,)), ("predict", (X,)),
     ("decision_function", (X,)), ("lean_copy", ()), ("top_features", (0,))],
)  # fmt: skip
def test_unfitted_model_says_so(method, arguments):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(*arguments)


def test_training_that_diverges_says_so():
    refuse(make(learning_rate_init=1e30, max_iter=3), "learning_rate_init")
