"""Small problems for SLIDEClassifier, and models that learn them in no time."""

import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import make_blobs

from sklsh import SLIDEClassifier

X, CLUSTER = make_blobs(200, n_features=5, centers=4, random_state=0)
X = X.astype(np.float32)
CORNERS = np.eye(4, dtype=int)[CLUSTER] | np.eye(4, dtype=int)[(CLUSTER + 1) % 4]


def make(**settings):
    """Estimator that learns the blobs in no time."""
    small = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0}
    return SLIDEClassifier(**(small | settings))


def wide_problem(n_rows=600, n_classes=3000, n_features=400, seed=0):
    """Two of many classes a row; each class lights up four features of its own."""
    rng = np.random.RandomState(seed)
    share = 1 / np.arange(1, n_classes + 1)
    words = np.random.RandomState(9).randint(n_features, size=(n_classes, 4))
    labels = rng.choice(n_classes, p=share / share.sum(), size=(n_rows, 2))
    rows = np.repeat(np.arange(n_rows), 8)
    features = sp.csr_array(
        (np.ones(8 * n_rows, dtype=np.float32), (rows, words[labels].ravel())),
        shape=(n_rows, n_features),
    )
    Y = sp.csr_array((np.ones(2 * n_rows), (rows[::4], labels.ravel())), (n_rows, n_classes))
    return features, (Y > 0).astype(np.int8)


def wide_model(hidden_layer_sizes=(16,), **settings):
    small = {"n_active": 100, "max_iter": 2, "rehash_every": 5, "batch_size": 32}
    return SLIDEClassifier(hidden_layer_sizes, **({"random_state": 0} | small | settings))


def assert_same_weights(first, second):
    arrays = zip(first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True)
    for a, b in arrays:
        assert_array_equal(a, b)
