"""Which features speak for a label, and which labels a feature speaks for."""

from numbers import Integral

import numpy as np
import scipy.sparse as sp

from sklsh._sklearn import check_is_fitted, check_k, effective_n_threads


class NetworkExplanations:
    """Mixin that explains a trained network by rows of a single feature.

    The weight of a feature for a label is what the label's logit gains when a row that has
    nothing else has the feature with value 1. In a network with hidden layers features act
    together, so this is a first look, not the whole of what it has learnt.
    """

    def top_features(self, label, k=10):
        """The features that speak most for a label.

        Parameters
        ----------
        label : object
            An entry of `classes_`, so a column number if multilabel.

        k : int, default=10
            Features wanted; all if there are fewer.

        Returns
        -------
        features : ndarray of shape (k,)
            Names where fit saw names, else column numbers; those that speak most for the
            label first.

        gains : ndarray of shape (k,), float32
            What each, alone in a row and with value 1, adds to the label's logit.
        """
        check_is_fitted(self)
        column = self._column_of(label)
        check_k(k)
        weights = self._network.output.parameter.as_float32(column)
        gains = np.empty(self.n_features_in_, dtype=np.float32)
        for block in self._network.row_blocks(self.n_features_in_):
            gains[block] = self._hidden_gain(np.arange(block.start, block.stop)) @ weights
        best = np.argsort(-gains, kind="stable")[:k]
        names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        return names[best], gains[best]

    def top_labels(self, feature, k=10):
        """The labels that a feature speaks most for.

        Parameters
        ----------
        feature : int or str
            Column number, or the name that fit saw.

        k : int, default=10
            Labels wanted; all if there are fewer.

        Returns
        -------
        labels : ndarray of shape (k,)
            Entries of `classes_`, those that gain most first.

        gains : ndarray of shape (k,), float32
            What the feature, alone in a row and with value 1, adds to the logit of each.
        """
        check_is_fitted(self)
        feature = self._feature_number(feature)
        check_k(k)
        gain = self._hidden_gain(np.array([feature]))
        output = self._network.output
        gains = output.logits(gain, effective_n_threads(self.n_jobs))[0] - output.bias
        best = np.argsort(-gains, kind="stable")[:k]
        return self.classes_[best], gains[best]

    def _hidden_gain(self, features):
        """Activations of rows of one feature, less those of a row of none."""
        n = len(features)
        ones = np.ones(n, dtype=np.float32)
        shape = (n + 1, self.n_features_in_)
        rows = sp.csr_array((ones, features, np.minimum(np.arange(n + 2), n)), shape=shape)
        hidden = self._network.hidden(rows, effective_n_threads(self.n_jobs))
        return hidden[:n] - hidden[n]

    def _column_of(self, label):
        columns = np.flatnonzero(self.classes_ == label) if np.isscalar(label) else []
        if len(columns) == 0:
            raise ValueError(f"label must be one of classes_; got {label!r}.")
        return columns[0]

    def _feature_number(self, feature):
        if isinstance(feature, str):
            names = getattr(self, "feature_names_in_", np.array([], dtype=object))
            found = np.flatnonzero(names == feature)
            if len(found) == 0:
                raise ValueError(f"feature must be a name that fit saw; got {feature!r}.")
            return found[0]
        is_number = isinstance(feature, Integral) and not isinstance(feature, bool)
        if not (is_number and 0 <= feature < self.n_features_in_):
            raise ValueError(
                f"feature must be a name or a column number in [0, {self.n_features_in_}); "
                f"got {feature!r}."
            )
        return feature
