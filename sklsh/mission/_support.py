"""The features that a MISSION model has selected, without an array of all there are."""

import numpy as np

from sklsh._memory import require_bytes
from sklsh._sklearn import check_is_fitted

MOST_MASKED = 2**31  # features of which a boolean mask is made


class Support:
    """Mixin: ids, weights and ranks of the selected features."""

    def _selected(self):
        """(ids, weights) of the selected features, best first."""
        check_is_fitted(self)
        return self._model.largest(self.n_features_to_select)

    def _ascending(self):
        """Ids in order, the place of each in the ranking, and weights."""
        ids, weights = self._selected()
        order = np.argsort(ids)
        return ids[order], order, weights[order]

    @property
    def feature_ids_(self):
        """Selected features, (n_selected,) int64, ascending."""
        return self._ascending()[0]

    @property
    def feature_weights_(self):
        """Their weights: (n_selected,), or (n_selected, n_classes) with several classes."""
        weights = self._ascending()[2]
        return weights[:, 0] if weights.shape[1] == 1 else weights

    @property
    def ranking_(self):
        """Their ranks, (n_selected,), 1 for the feature of the largest weight."""
        return self._ascending()[1] + 1

    @property
    def supports_per_class_(self):
        """For each class, ids of up to `n_features_to_select` features that matter most for it.

        Those of the active set with the largest weights of that class, best first; of two
        classes, or in a regression, there is one support.
        """
        check_is_fitted(self)
        ids, weights = self._model.active_ids, np.abs(self._model.table)
        best = np.argsort(-weights, axis=0, kind="stable")[: self.n_features_to_select]
        return [ids[rows[weights[rows, c] > 0]] for c, rows in enumerate(best.T)]


def support_mask(ids, n_features):
    """Boolean mask of the selected among all features; refused where there are too many."""
    if n_features > MOST_MASKED:
        raise ValueError(
            f"A boolean mask of {n_features:,} features would take {n_features:,} bytes; more than "
            f"{MOST_MASKED:,} are not made. Use get_support(indices=True) or feature_ids_."
        )
    require_bytes(
        n_features, f"A boolean mask of {n_features:,} features", "Use get_support(indices=True)."
    )
    mask = np.zeros(n_features, dtype=bool)
    mask[ids] = True
    return mask


def columns_of(X, ids):
    """Columns `ids`, ascending, of a CSR matrix: CSR with as many columns. O(nnz log k)."""
    places = np.searchsorted(ids, X.indices)
    places[places == len(ids)] = 0
    kept = ids[places] == X.indices if len(ids) else np.zeros(X.nnz, dtype=bool)
    ends = np.concatenate([[0], np.cumsum(kept)])[X.indptr]
    width = np.int32 if len(ids) <= np.iinfo(np.int32).max else np.int64
    parts = (X.data[kept], places[kept].astype(width), ends.astype(width))
    return type(X)(parts, shape=(X.shape[0], len(ids)))
