"""Features that speak for a label: planted ones are found, and gains are logit differences."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from models import CLUSTER, X, make, wide_model
from numpy.testing import assert_allclose, assert_array_equal

N_CLASSES, N_FEATURES = 40, 120
WORDS = np.random.RandomState(0).permutation(N_FEATURES)[:N_CLASSES]  # word of each class


def planted(n_rows=1500):
    """Rows of three words at random and one that gives the label away."""
    rng = np.random.RandomState(1)
    label = rng.randint(N_CLASSES, size=n_rows)
    noise = np.setdiff1d(np.arange(N_FEATURES), WORDS)
    features = np.zeros((n_rows, N_FEATURES), np.float32)
    np.put_along_axis(features, rng.choice(noise, size=(n_rows, 3)), 1, axis=1)
    features[np.arange(n_rows), WORDS[label]] = 1
    return sp.csr_array(features), label


def names():
    return np.array([f"word {i}" for i in range(N_FEATURES)], dtype=object)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("hidden_layer_sizes", [(32,), (32, 16)], ids=str)
def test_planted_words_are_found(hidden_layer_sizes, loss, dtype):
    features, label = planted()
    settings = {"hidden_layer_sizes": hidden_layer_sizes, "loss": loss, "dtype": dtype}
    model = make(**settings, max_iter=12).fit(features, label)
    best_words = [model.top_features(c, 1)[0][0] for c in range(N_CLASSES)]
    assert np.mean(best_words == WORDS) > 0.9
    best_labels = [model.top_labels(word, 1)[0][0] for word in WORDS]
    assert np.mean(best_labels == np.arange(N_CLASSES)) > 0.9


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("hidden_layer_sizes", [(16,), (16, 7)], ids=str)
def test_gains_are_differences_of_logits(hidden_layer_sizes, dtype):
    """Of a row that has only the feature and a row that has none."""
    settings = {"hidden_layer_sizes": hidden_layer_sizes, "dtype": dtype, "max_iter": 3}
    model = make(**settings).fit(X, CLUSTER)
    logits, nothing = (model.decision_function(rows) for rows in (np.eye(5), np.zeros((1, 5))))
    gains = logits - nothing
    for label in range(4):
        features, found = model.top_features(label, 5)
        assert_array_equal(features, np.argsort(-gains[:, label]))
        assert_allclose(found, gains[features, label], rtol=1e-4, atol=1e-5)
    for feature in range(5):
        labels, found = model.top_labels(feature, 4)
        assert_array_equal(labels, np.argsort(-gains[feature]))
        assert_allclose(found, gains[feature, labels], rtol=1e-4, atol=1e-5)


def test_names_of_a_frame_come_back_and_go_in():
    features, label = planted(300)
    plain = make(max_iter=2, input_dropout=0).fit(features.toarray(), label)
    frame = pd.DataFrame(features.toarray(), columns=names())
    model = make(max_iter=2, input_dropout=0).fit(frame, label)
    numbers, gains = plain.top_features(3, 20)
    found, same_gains = model.top_features(3, 20)
    assert_array_equal(found, names()[numbers])
    assert_array_equal(gains, same_gains)
    for by_name, by_number in zip(model.top_labels("word 17"), model.top_labels(17), strict=True):
        assert_array_equal(by_name, by_number)


def test_labels_of_any_type():
    names_of_classes = np.array(["oak", "ash", "elm", "fir"])
    model = make().fit(X, names_of_classes[CLUSTER])
    assert set(model.top_labels(0, 4)[0]) == set(names_of_classes)
    by_number = make().fit(X, np.argsort(np.argsort(names_of_classes))[CLUSTER])
    for one, other in zip(model.top_features("ash", 3), by_number.top_features(0, 3), strict=True):
        assert_array_equal(one, other)


def test_more_features_than_a_block():
    """Features are embedded 4,096 at a time."""
    rng = np.random.RandomState(0)
    features = sp.random_array((50, 9000), density=0.01, format="csr", random_state=rng)
    model = wide_model(max_iter=1).fit(features, np.arange(50) % 3)
    best, gains = model.top_features(1, 9000)
    assert_array_equal(np.sort(best), np.arange(9000))
    assert (np.diff(gains) <= 0).all()
    for feature in (0, 4095, 4096, 8191, 8192, 8999):
        labels, gain = model.top_labels(feature, 3)
        place = np.flatnonzero(best == feature)[0]
        assert gains[place] == pytest.approx(gain[labels == 1][0], abs=1e-5)
