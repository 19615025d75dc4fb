"""What scikit-learn has for it."""

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_selection import SelectFromModel, SelectKBest, chi2
from sklearn.linear_model import SGDClassifier
from sklearn.svm import LinearSVC

from feature_selectors.tokens import NAME, tokens_of


def largest(scores, n):
    """Places of the n largest, best first."""
    return np.argsort(-scores, kind="stable")[:n]


class Descent:
    """SGDClassifier on all columns; its largest weights."""

    def __init__(self, *, n_features_to_select, passes, seed, **settings):
        self.n = n_features_to_select
        self.model = SGDClassifier(max_iter=passes, tol=None, random_state=seed, **settings)

    def inputs(self, data):
        """Rows and labels as they are."""
        return data.X, data.y

    def fit(self, X, y):
        """One fit."""
        self.model.fit(X, y)

    def ranked(self, data):
        """Best first."""
        return largest(np.abs(self.model.coef_[0]), self.n)

    @property
    def n_bytes(self):
        """The weights."""
        return self.model.coef_.nbytes


class HashedDescent(Descent):
    """The same on FeatureHasher's columns, hashing included."""

    def __init__(self, *, n_hashed=2**20, **settings):
        super().__init__(**settings)
        self.hasher = FeatureHasher(n_hashed, input_type="string")

    def inputs(self, data):
        """Lists of names."""
        return tokens_of(data.X), data.y

    def fit(self, rows, y):
        """Hash, and fit."""
        super().fit(self.hasher.transform(rows), y)

    def ranked(self, data):
        """Best first among all names, which have to be kept apart for this."""
        ids = np.unique(data.X.indices)
        hashed = self.hasher.transform([NAME + str(i)] for i in ids.tolist())
        return ids[largest(np.abs(hashed @ self.model.coef_[0]), self.n)]


class Chosen:
    """A selector of scikit-learn, with a score for each column."""

    def inputs(self, data):
        """Rows and labels as they are."""
        return data.X, data.y

    def fit(self, X, y):
        """One fit."""
        self.selector.fit(X, y)

    def ranked(self, data):
        """Best first."""
        ids = self.selector.get_support(indices=True)
        return ids[largest(self.scores()[ids], len(ids))]

    @property
    def n_bytes(self):
        """A score for each column."""
        return self.scores().nbytes


class ChiSquared(Chosen):
    """SelectKBest with chi2."""

    def __init__(self, *, n_features_to_select, passes, seed):
        self.selector = SelectKBest(chi2, k=n_features_to_select)

    def scores(self):
        """Statistics; nothing is known of columns that are empty."""
        return np.nan_to_num(self.selector.scores_)


class Liblinear(Chosen):
    """SelectFromModel with the l1 LinearSVC of its user guide."""

    def __init__(self, *, n_features_to_select, passes, seed):
        model = LinearSVC(penalty="l1", dual=False, C=0.01, random_state=seed)
        self.selector = SelectFromModel(
            model, max_features=n_features_to_select, threshold=-np.inf
        )  # fmt: skip

    def fit(self, X, y):
        """One fit; liblinear takes no sparse arrays of 64-bit indices."""
        super().fit(sp.csr_matrix(X), y)

    def scores(self):
        """Sizes of the weights."""
        return np.abs(self.selector.estimator_.coef_[0])
