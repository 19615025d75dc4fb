"""PECOS XLinear: a tree of linear rankers over clusters of labels.

As in the library's own example: label features are sums of their rows (PIFA), clustered by
hierarchical spherical k-means; all else at its defaults.
"""

import numpy as np
from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel
from scipy.sparse import csc_matrix, csr_matrix

from systems.lists import listed


class Model:
    """PIFA, hierarchical k-means, linear rankers."""

    def __init__(self, *, seed, folder):
        self.seed, self.folder = seed, folder

    def fit_input(self, X, Y):
        """Matrix classes and types that PECOS asks for."""
        return csr_matrix(X), csc_matrix(Y, dtype=np.float32)

    def fit(self, X, Y):
        """Cluster the labels, then train."""
        features = LabelEmbeddingFactory.create(Y.tocsr(), X, method="pifa", threads=1)
        clusters = Indexer.gen(
            features, indexer_type="hierarchicalkmeans", seed=self.seed, threads=1
        )
        self.model = XLinearModel.train(X, Y, C=clusters, threads=1)

    def rows(self, X):
        """CSR."""
        return csr_matrix(X)

    def predict(self, X, k):
        """Beam search, beam 10."""
        labels = np.full((X.shape[0], k), -1)
        for i, (best, _) in enumerate(self._best_first(X, k)):
            labels[i, : len(best)] = best
        return labels

    def candidates(self, X, k):
        """What its hinge makes of the margins, a number between 0 and 1, as logits."""
        found = (list(zip(*row, strict=True)) for row in self._best_first(X, k))
        return listed(found, X.shape[0], k)

    def _best_first(self, X, k):
        """Labels and scores of each row."""
        found = self.model.predict(X, beam_size=10, only_topk=k, threads=1)
        for i in range(X.shape[0]):
            part = slice(found.indptr[i], found.indptr[i + 1])
            order = np.argsort(-found.data[part], kind="stable")
            yield found.indices[part][order], found.data[part][order]

    def save(self):
        """PECOS's own files."""
        self.model.save(str(self.folder))
