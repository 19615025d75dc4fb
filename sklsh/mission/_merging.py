"""Putting together what several models have learnt."""

import numpy as np

from sklsh._sklearn import check_is_fitted


class Merging:
    """Mixin: weighted means of fitted models."""

    def merge(self, others, weights=None):
        """Replace the model by the weighted mean of itself and others.

        Models are linear in their weights and sketches with equal hash functions add up, so
        what several machines have learnt, each on rows of its own, is put together by a
        message of the size of a model.

        Parameters
        ----------
        others : estimator or list of estimators
            Fitted estimators of this class with the same sizes, seed and classes: give all
            the same integer `random_state` and parameters.

        weights : array-like of shape (1 + len(others),), default=None
            What this model and each other count. By default the summed weights of the rows
            that they have been trained on.

        Returns
        -------
        self : object
            The merged estimator.

        Raises
        ------
        ValueError
            If the models do not go together, with what differs; this one stays as it was.
        """
        check_is_fitted(self)
        others = [others] if isinstance(others, Merging) else list(others)
        for other in others:
            self._check_mergeable(other)
        if weights is None:
            weights = [model._progress.weight_sum for model in (self, *others)]
        shares = np.asarray(weights, dtype=np.float64)
        if shares.shape != (1 + len(others),) or not (shares >= 0).all() or not shares.sum() > 0:
            raise ValueError(
                f"weights must be {1 + len(others)} non-negative numbers, not all zero; got "
                f"{weights!r}."
            )
        self._take_merged(others, shares / shares.sum())
        self._progress.weight_sum += sum(other._progress.weight_sum for other in others)
        return self

    def _take_merged(self, others, shares):
        self._model = self._model.merged([other._model for other in others], shares)

    def _check_mergeable(self, other):
        if type(other) is not type(self):
            raise ValueError(
                f"others must be of class {type(self).__name__}; got {type(other).__name__}."
            )
        check_is_fitted(other)
        for name in ("mode", "n_outputs", "keep", "width", "depth", "seed"):
            ours, theirs = getattr(self._model, name), getattr(other._model, name)
            if ours != theirs:
                raise ValueError(
                    f"others must have the same {name} as this model, {ours}; got {theirs}. Give "
                    "all the same parameters and the same integer random_state."
                )
        if not np.array_equal(getattr(self, "classes_", ()), getattr(other, "classes_", ())):
            raise ValueError(
                f"others must have the same classes as this model, {self.classes_!r}; got "
                f"{other.classes_!r}."
            )
        ours, theirs = getattr(self, "n_features_in_", 0), getattr(other, "n_features_in_", 0)
        if ours != theirs:
            raise ValueError(f"others must have n_features_in_={ours}; got {theirs}.")
