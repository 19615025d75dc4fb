"""Ours."""

import numpy as np

from feature_selectors.tokens import id_of, tokens_of
from sklsh import MISSIONHashSelector, MISSIONSelector


class Matrix:
    """MISSIONSelector on CSR rows."""

    kind = MISSIONSelector

    def __init__(self, *, n_features_to_select, passes, seed, n_jobs=1, **settings):
        self.selector = self.kind(
            n_features_to_select=n_features_to_select, random_state=seed, n_jobs=n_jobs,
            **{"max_iter": passes} | settings,
        )  # fmt: skip

    def inputs(self, data):
        """Rows and labels as they are."""
        return data.X, data.y

    def fit(self, rows, y):
        """One fit."""
        self.selector.fit(rows, y)

    def ranked(self, data):
        """Best first."""
        return self.names()[np.argsort(self.selector.ranking_, kind="stable")]

    def names(self):
        """Ids in the order of the selector's attributes."""
        return self.selector.feature_ids_

    @property
    def n_bytes(self):
        """All that the selector holds."""
        return self.selector.memory_usage_["total"]


class Tokens(Matrix):
    """MISSIONHashSelector on lists of strings, hashing included."""

    kind = MISSIONHashSelector

    def inputs(self, data):
        """Lists of names."""
        return tokens_of(data.X), data.y

    def names(self):
        """Ids in the names."""
        return np.array([id_of(name) for name in self.selector.get_feature_names_out()])
