"""Putting together what several models have learnt."""

from dataclasses import replace

import numpy as np

from sklsh._sklearn import check_is_fitted

_MERGEABLE = {  # what models that are merged have in common, and how it is called
    "mode": "mode",
    "n_outputs": "number of outputs",
    "keep": "size of the active set (see n_features_to_select)",
    "width": "width",
    "depth": "depth",
    "seed": "seed (see random_state)",
}


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
        others = list(others) if isinstance(others, (list, tuple)) else [others]
        for other in others:
            self._check_mergeable(other)
        if weights is None:
            weights = [model._progress.weight_sum for model in (self, *others)]
        self._take_merged(others, self._shares(weights, 1 + len(others)))
        weight_sum = sum(model._progress.weight_sum for model in (self, *others))
        self._progress = replace(self._progress, weight_sum=weight_sum)
        return self

    @staticmethod
    def _shares(weights, n):
        """Weights of models, as shares of their sum."""
        try:
            shares = np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError):
            shares = np.array(np.nan)
        if shares.shape != (n,) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
            raise ValueError(
                f"weights must be {n} non-negative numbers, not all zero; got {weights!r}."
            )
        return shares / shares.sum()

    def _take_merged(self, others, shares):
        self._model = self._model.merged([other._model for other in others], shares)

    def _check_mergeable(self, other):
        if type(other) is not type(self):
            raise ValueError(
                f"others must be of class {type(self).__name__}; got {type(other).__name__}."
            )
        check_is_fitted(other)
        for name, what in _MERGEABLE.items():
            ours, theirs = getattr(self._model, name), getattr(other._model, name)
            if ours != theirs:
                raise ValueError(
                    f"others must have the same {what} as this model, {ours}; got {theirs}. Give "
                    "all the same parameters and the same integer random_state."
                )
        ours, theirs = getattr(self, "classes_", None), getattr(other, "classes_", None)
        if not np.array_equal(ours, theirs):
            raise ValueError(
                f"others must have the same classes as this model, {ours!r}; got {theirs!r}."
            )
        ours, theirs = getattr(self, "n_features_in_", 0), getattr(other, "n_features_in_", 0)
        if ours != theirs:
            raise ValueError(f"others must have n_features_in_={ours}; got {theirs}.")
        ours, theirs = (getattr(model, "feature_names_in_", None) for model in (self, other))
        if not np.array_equal(ours, theirs):
            raise ValueError(
                "others must have the same feature_names_in_ as this model, in the same order."
            )
        if other._kernel_loss != self._kernel_loss:
            raise ValueError(
                f"others must have been trained with the same loss as this model, "
                f"{self._kernel_loss!r}; got {other._kernel_loss!r}."
            )
