"""Hidden layers of which each row computes a few units."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from models import CORNERS, make
from models import X as BLOBS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklsh import SLIDEClassifier, optimizers
from sklsh._network import Network, bytes_needed
from sklsh.hidden_sampling import SampledNetwork
from sklsh.negatives import Full
from sklsh.optimizers import make_optimizer

digits = load_digits()
DIGITS = train_test_split(digits.data / 16, digits.target, test_size=0.3, random_state=0)
SIZES = 20, 24, 18


def learn_digits(**settings):
    usual = {"hidden_layer_sizes": (300, 300), "max_iter": 2, "batch_size": 32}
    usual |= {"random_state": 0, "learning_rate_init": 0.003, "hidden_sampling": "lsh"}
    return SLIDEClassifier(**(usual | settings)).fit(DIGITS[0], DIGITS[2])


@pytest.fixture(scope="module")
def fitted():
    return learn_digits()


def small_batches():
    rng = np.random.default_rng(0)
    for _ in range(5):
        X = sp.random_array((16, SIZES[0]), density=0.5, rng=rng, format="csr", dtype=np.float32)
        Y = sp.csr_array(np.eye(6, dtype=np.float32)[rng.integers(6, size=16)])
        yield X, Y


@pytest.mark.parametrize("sampling", [("uniform", "uniform"), (None, "uniform"), ("uniform", None)])
def test_a_layer_whose_units_are_all_active_is_a_dense_layer(sampling):
    def made(network, **options):
        return network(
            SIZES[0], 6, SIZES[1:], optimizer=make_optimizer("sgd"),
            random_state=np.random.RandomState(0), **options,
        )  # fmt: skip

    dense = made(Network)
    sampled = made(SampledNetwork, sampling=sampling, n_active=SIZES[1:], tables={})
    for mine, theirs in zip(sampled.coefs, dense.coefs, strict=True):
        mine[:] = theirs
    weight = np.full(16, 1 / 16, np.float32)
    for X, Y in small_batches():
        losses = [network.train_step(X, Y, weight, Full(6), 0.5)[0] for network in (dense, sampled)]
        assert_allclose(*losses, rtol=1e-5)
    for mine, theirs in zip(
        sampled.coefs + sampled.intercepts, dense.coefs + dense.intercepts, strict=True
    ):
        assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    assert_allclose(sampled.logits(X), dense.logits(X), rtol=1e-4, atol=1e-5)


def test_a_few_units_do_nearly_as_well_as_all_and_random_ones_do_not():
    models = [
        learn_digits(hidden_sampling=kind, max_active=0.1, max_iter=8)
        for kind in (None, "lsh", "uniform")
    ]
    dense, hashed, random = (model.score(DIGITS[1], DIGITS[3]) for model in models)
    assert hashed > dense - 0.03 and hashed > random + 0.1
    dense, hashed, _ = models
    assert hashed.multiplications_["share"] < 0.25 and dense.multiplications_ is None


def test_rows_keep_no_more_units_than_asked(fitted):
    assert fitted.memory_usage_["tables"] > 0
    *_, last = fitted._network._rows_of_layers(
        sp.csr_array(DIGITS[1].astype(np.float32)), fitted._network.work, 1
    )
    assert 0 < np.diff(last.indptr).max() <= 15  # 5 % of 300
    assert (last.data > 0).all()


def test_operations_are_counted():
    X, y = DIGITS[0][:64], DIGITS[2][:64]
    model = make(
        hidden_layer_sizes=(40, 30), hidden_sampling=[None, "uniform"], max_active=[0.5, 6],
        batch_size=64, max_iter=1, hidden_dropout=0,
    ).fit(X, y)  # fmt: skip
    counted = model.multiplications_
    n, n_classes, nnz = 64, 10, np.count_nonzero(X)
    assert counted["dense"] == 2 * nnz * 40 + n * 3 * 30 * (40 + n_classes)
    assert counted["hashing"] == 0
    output = n * 3 * 30 * n_classes
    embedding = 2 * 40 * nnz
    # each row: six units by at most forty inputs, and back by those of them that are positive
    assert output + embedding < counted["products"] < output + embedding + n * 3 * 6 * 40
    assert counted["share"] == counted["products"] / counted["dense"]


def test_result_does_not_depend_on_threads_or_on_other_rows(fitted):
    again = learn_digits(n_jobs=2)
    for mine, theirs in zip(fitted.coefs_, again.coefs_, strict=True):
        assert_array_equal(mine, theirs)
    logits = fitted.decision_function(DIGITS[1])
    assert_array_equal(again.decision_function(DIGITS[1]), logits)
    order = np.random.RandomState(0).permutation(len(logits))
    assert_array_equal(fitted.decision_function(DIGITS[1][order]), logits[order])
    assert_allclose(fitted.decision_function(DIGITS[1][:1]), logits[:1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["lsh", "uniform"])
def test_copies_predict_the_same_and_train_on_alike(kind, tmp_path):
    model = learn_digits(hidden_sampling=kind)
    joblib.dump(model, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model", mmap_mode="r"),
        model.lean_copy(),
    ]  # fmt: skip
    logits = model.decision_function(DIGITS[1])
    for copy in copies:
        assert_array_equal(copy.decision_function(DIGITS[1]), logits)
    model.partial_fit(DIGITS[0], DIGITS[2])
    for copy in copies[:2]:
        copy.partial_fit(DIGITS[0], DIGITS[2])
        assert_array_equal(copy.decision_function(DIGITS[1]), model.decision_function(DIGITS[1]))
    copies[2].partial_fit(DIGITS[0], DIGITS[2])


def test_early_stopping_goes_back_to_the_weights_and_tables_it_scored():
    model = learn_digits(max_iter=4, early_stopping=True)
    for layer in model._network.hidden_layers:
        tables, weights = layer.units.tables, layer.units.pooled.of_units(layer.parameter)
        assert not tables.is_stale
        assert_array_equal(tables.tables.codes, tables.hasher.codes(weights))


@pytest.mark.parametrize("optimizer", sorted(optimizers.OPTIMIZERS))
def test_every_optimizer_moves_sampled_layers(optimizer):
    rate = {"sgd": 0.5, "momentum": 0.1, "cs_momentum": 0.1}.get(optimizer, 0.01)
    model = learn_digits(
        hidden_layer_sizes=(1100,), optimizer=optimizer, learning_rate_init=rate,
        hidden_sampling="uniform", max_active=0.5,
    )  # fmt: skip
    assert model.score(DIGITS[1], DIGITS[3]) > 0.8
    assert (model.memory_usage_["sketches"] > 0) == optimizer.startswith("cs_")


def test_multilabel_with_sampled_classes_above_sampled_units():
    model = make(
        hidden_layer_sizes=(32, 64), hidden_sampling=[None, "lsh"], max_active=0.25, n_active=2,
        active_set="sample", max_iter=30,
    ).fit(BLOBS, CORNERS)  # fmt: skip
    assert model.score(BLOBS, CORNERS) > 0.9


def test_rows_of_zeros_and_of_text_are_no_trouble():
    X = sp.random_array((60, 5000), density=0.0005, rng=np.random.default_rng(0), format="csr")
    y = np.arange(60) % 3
    assert np.diff(X.indptr).min() == 0
    model = make(hidden_sampling="lsh", hidden_layer_sizes=(50, 50), max_iter=2).fit(X, y)
    assert np.isfinite(model.decision_function(sp.csr_array((2, 5000)))).all()


def test_divergence_is_told_as_of_full_layers():
    with pytest.raises(ValueError, match="Training diverged"):
        learn_digits(optimizer="sgd", learning_rate_init=1e38, hidden_layer_sizes=(30,))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"hidden_sampling": "best"}, "hidden_sampling"),
        ({"hidden_sampling": ["lsh", None]}, r"hidden_sampling .* 1 hidden layers"),
        ({"hidden_sampling": ["best"]}, r"hidden_sampling must be one of .* got \['best'\]"),
        ({"hidden_sampling": "lsh", "max_active": 0.0}, "max_active"),
        ({"hidden_sampling": "lsh", "max_active": 1.5}, "max_active"),
        ({"hidden_sampling": "lsh", "max_active": [True]}, "max_active must be an integer"),
        ({"hidden_sampling": "lsh", "max_active": [0.1, 0.1]}, "max_active .* 1 hidden layers"),
    ],
)
def test_settings_that_layers_cannot_have_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings).fit(BLOBS, CORNERS)


@pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, {"optimizer": "cs_adam"}], ids=str)
@pytest.mark.parametrize("sizes", [(16, 20), (1040, 20)], ids=str)
def test_bytes_needed_are_the_bytes_taken(settings, sizes):
    X = sp.eye_array(1100, format="csr", dtype=np.float32)[:40]
    model = make(
        hidden_layer_sizes=sizes, hidden_sampling=["uniform", None], max_iter=1, **settings
    ).fit(X, np.arange(40) % 3)
    asked = bytes_needed(
        1100, sizes, 3, make_optimizer(model.optimizer), model.dtype, [True, False]
    )
    assert asked == model.memory_usage_["total"]


def test_tables_count_in_the_memory_that_is_asked_for(monkeypatch):
    monkeypatch.setattr("sklsh._memory.available_bytes", lambda: 40_000_000)
    make(hidden_layer_sizes=(100_000,), max_iter=1).fit(BLOBS, CORNERS)
    with pytest.raises(MemoryError, match="hash tables .* would take"):
        make(hidden_layer_sizes=(100_000,), hidden_sampling="lsh", max_iter=1).fit(BLOBS, CORNERS)
