"""Models whose weights are stored as bfloat16, and steps with classes of each row's own."""

import pickle

import joblib
import numpy as np
import pytest
from models import CLUSTER, CORNERS, X, assert_same_weights, make, wide_model, wide_problem
from numpy.testing import assert_array_equal

from sklsh.metrics import precision_at_k

NEGATIVES = ["lsh", "uniform"]


def margin_over_chance(**settings):
    """Precision at 1 on new rows, less that of always naming the commonest label."""
    train, test = wide_problem(3000), wide_problem(500, seed=1)
    model = wide_model(hidden_layer_sizes=(64,), max_iter=6, **settings).fit(*train)
    popular = np.argmax(train[1].sum(axis=0))
    chance = precision_at_k(test[1], np.full((500, 1), popular))
    return precision_at_k(test[1], model.predict_top_k(test[0], 1)[0]) - chance, model


@pytest.mark.parametrize("negatives", ["lsh", "full"])
@pytest.mark.parametrize("optimizer", ["adam", "rowwise_adam", "momentum"])
def test_bfloat16_learns(optimizer, negatives):
    rate = 1.0 if optimizer == "momentum" else 0.01
    margin, _ = margin_over_chance(
        dtype="bfloat16", optimizer=optimizer, learning_rate_init=rate, negatives=negatives
    )
    assert margin > 0.35


def test_bfloat16_learns_in_steps_too_small_to_round_to_nearest():
    """A step moves weights of about 0.05 by 1e-5, a tenth of half of their last place."""
    settings = {"learning_rate_init": 1e-5, "learning_rate": "constant", "max_iter": 100}
    model = make(dtype="bfloat16", **settings).fit(X, CLUSTER)
    exact = make(**settings).fit(X, CLUSTER)
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.005
    assert model.loss_curve_[-1] == pytest.approx(exact.loss_curve_[-1], abs=0.01)


def test_bfloat16_takes_half_the_memory():
    half, full = (wide_model(dtype=d).fit(*wide_problem()) for d in ("bfloat16", "float32"))
    biases = 4 * (16 + 3000)
    for usage, per_weight in [(half.memory_usage_, 2), (full.memory_usage_, 4)]:
        assert usage["weights"] == per_weight * 16 * (400 + 3000) + biases
    for part in ("optimizer", "tables"):
        assert half.memory_usage_[part] == full.memory_usage_[part]


def test_bfloat16_keeps_hidden_layers_in_float32():
    model = make(hidden_layer_sizes=(16, 8), dtype="bfloat16", max_iter=1).fit(X, CLUSTER)
    bits = [np.ascontiguousarray(w).view(np.uint32) & 0xFFFF for w in model.coefs_]
    assert [bool(b.any()) for b in bits] == [False, True, False]
    assert all(w.dtype == np.float32 for w in model.coefs_)


@pytest.mark.parametrize("active_set", ["batch", "sample", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_same_bits_for_any_n_jobs(negatives, dtype, active_set, simd_level):
    features, Y = wide_problem(300)
    settings = {"negatives": negatives, "dtype": dtype, "active_set": active_set}
    one, again, two = (wide_model(**settings, n_jobs=n).fit(features, Y) for n in (1, 1, 2))
    assert_same_weights(one, again)
    assert_same_weights(one, two)
    other = wide_model(**settings, random_state=1).fit(features, Y)
    assert not np.array_equal(other.coefs_[-1], one.coefs_[-1])


@pytest.mark.parametrize("y", [CLUSTER, CORNERS], ids=["one label", "indicator"])
def test_bfloat16_predicts_what_its_coefs_say(y, simd_level):
    model = make(dtype="bfloat16", max_iter=3).fit(X, y)
    exact = make(dtype="float32", max_iter=3).fit(X, y)
    for coef, bits in zip(exact.coefs_, model.coefs_, strict=True):
        coef[:] = bits
    for bias, other in zip(exact.intercepts_, model.intercepts_, strict=True):
        bias[:] = other
    exact._network.output.loss = model._network.output.loss
    assert_array_equal(model.predict_top_k(X, 4)[0], exact.predict_top_k(X, 4)[0])
    assert_array_equal(model.decision_function(X), exact.decision_function(X))


def test_bfloat16_is_stored_and_goes_on(tmp_path):
    features, Y = wide_problem()
    model = wide_model(dtype="bfloat16").fit(features, Y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    pickled = pickle.loads(pickle.dumps(model))
    model.partial_fit(features, Y)
    assert_same_weights(mapped.partial_fit(features, Y), model)
    assert_same_weights(pickled.partial_fit(features, Y), model)


@pytest.mark.parametrize("loss", ["auto", "softmax", "logistic"])
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("correction", ["none", "logq", "half_logq", "head_tail"])
def test_sets_of_a_rows_own_learn(loss, negatives, correction):
    margin, model = margin_over_chance(
        active_set="sample", loss=loss, negatives=negatives, correction=correction
    )
    assert margin > 0.3
    assert 100 < model.n_active_ <= 102  # n_active, and at most two labels


@pytest.mark.parametrize("settings", [{}, {"active_set": "sample"}], ids=["batch", "sample"])
def test_bucket_load_counts_hash_tables(settings):
    lsh, uniform = (wide_model(negatives=n, **settings).fit(*wide_problem()) for n in NEGATIVES)
    assert 1 <= lsh.bucket_load_ < 3000
    assert uniform.bucket_load_ == 0
    assert lsh.memory_usage_["tables"] > 0 == uniform.memory_usage_["tables"]


@pytest.mark.parametrize("n_active", [1501, 3000, 10**6])
def test_sets_of_half_the_classes_are_all_classes(n_active):
    settings = {"n_active": n_active, "max_iter": 1}
    features, Y = wide_problem(100)
    own = wide_model(active_set="sample", **settings).fit(features, Y)
    assert_same_weights(own, wide_model(active_set="full", **settings).fit(features, Y))
    assert own.n_active_ == 3000


def test_rows_without_labels_are_legal():
    features, Y = wide_problem(300)
    Y = Y.tolil()
    Y[60:] = 0
    model = wide_model(active_set="sample", batch_size=8).fit(features, Y)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.decision_function(features)).all()
