"""napkinXC: a probabilistic label tree, or one linear model a label, at its defaults.

It writes the model while it trains; what `fit` takes includes that.
"""

import numpy as np
from napkinxc.models import BR, PLT
from scipy.sparse import csr_matrix

from systems.lists import listed


class Model:
    """A PLT or BR."""

    def __init__(self, *, seed, folder, kind):
        tree = {"seed": seed} if kind == "PLT" else {}
        self.model = {"PLT": PLT, "BR": BR}[kind](str(folder), threads=1, **tree)

    def fit_input(self, X, Y):
        """CSR, and lists of labels."""
        labels = [Y.indices[Y.indptr[i] : Y.indptr[i + 1]].tolist() for i in range(Y.shape[0])]
        return csr_matrix(X), labels

    def fit(self, X, labels):
        """Train."""
        self.model.fit(X, labels)

    def rows(self, X):
        """CSR; the model is read back from the files that training wrote."""
        self.model.load()
        return csr_matrix(X)

    def predict(self, X, k):
        """Exact top k."""
        found = self.model.predict(X, top_k=k)
        labels = np.full((X.shape[0], k), -1)
        for i, row in enumerate(found):
            labels[i, : len(row)] = row
        return labels

    def candidates(self, X, k):
        """Its probabilities as logits."""
        return listed(self.model.predict_proba(X, top_k=k), X.shape[0], k)

    def save(self):
        """Nothing: training has written the model."""
