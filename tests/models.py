"""Small problems, and models that learn them in no time."""

import numpy as np
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs

from sklsh import NeighborBlendClassifier, SLIDEClassifier

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
    small |= {"hidden_dropout": 0}  # of so few units each is needed
    return SLIDEClassifier(hidden_layer_sizes, **({"random_state": 0} | small | settings))


class Popular(ClassifierMixin, BaseEstimator):
    """Ranks labels by how often they occur, whatever the row; keeps what `fit` was given."""

    def fit(self, X, y, sample_weight=None, note=None):
        self.seen_ = {"n": X.shape[0], "sample_weight": sample_weight, "note": note}
        self.multilabel_ = np.ndim(y) == 2 or sp.issparse(y)
        if self.multilabel_:
            self.classes_, counts = np.arange(y.shape[1]), np.asarray(y.sum(axis=0)).ravel()
        else:
            self.classes_, counts = np.unique(y, return_counts=True)
        self.order_ = np.argsort(-counts, kind="stable")
        self.scores_ = np.log((counts[self.order_] + 1) / counts.sum())
        return self

    def predict_top_k(self, X, k):
        shape = (X.shape[0], 1)
        return np.tile(self.classes_[self.order_[:k]], shape), np.tile(self.scores_[:k], shape)

    def predict(self, X):
        if not self.multilabel_:
            return self.predict_top_k(X, 1)[0][:, 0]
        best = np.isin(self.classes_, self.order_[:2]).astype(int)
        return np.tile(best, (X.shape[0], 1))


def blend(estimator=None, **settings):
    estimator = make(max_iter=3) if estimator is None else estimator
    return NeighborBlendClassifier(estimator, **({"random_state": 0} | settings))


def assert_same_weights(first, second):
    arrays = zip(first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True)
    for a, b in arrays:
        assert_array_equal(a, b)
