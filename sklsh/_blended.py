"""How a classifier blended with its neighbours' votes predicts."""

import copy

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches
from sklearn.utils.metaestimators import available_if

from sklsh._memory import require_bytes
from sklsh._sklearn import check_is_fitted, check_k, checked_csr, effective_n_threads, validate_data

ROWS_AT_ONCE = 4096


def estimator_is_lean(blend):
    """Whether its estimator has a lean copy."""
    return hasattr(getattr(blend, "estimator_", blend.estimator), "lean_copy")


class BlendedPredictions:
    """Mixin of the predicting methods; every row's result depends on that row alone."""

    def predict_top_k(self, X, k=None):
        """The k labels of largest score + weight * vote, without an n x C array.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        k : int, default=None
            Labels wanted for each row; by default 5, or all if there are fewer.

        Returns
        -------
        labels : ndarray of shape (n_samples, k)
            Labels, best first: entries of `classes_`, so column numbers if multilabel.
            Ties go to the smaller class.

        scores : ndarray of shape (n_samples, k), float32
            Their blended scores; with ``weight_ == 0`` those of the estimator.

        Raises
        ------
        MemoryError
            If the result would not fit.
        """
        X = self._checked(X)
        n_classes = len(self.classes_)
        k = min(5, n_classes) if k is None else k
        check_k(k, n_classes, "classes")
        if self.weight_ == 0:
            return self.estimator_.predict_top_k(X, k)
        self._require_result(X.shape[0], k)
        ids, scores = self._top_k(X, k)
        return self.classes_[ids], scores

    def predict(self, X):
        """Predicted labels, in the form of the y seen in fit.

        With one label a row, that of the largest blended score. Multilabel, as many labels
        as the estimator predicts for the row, those of largest blended score.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or {ndarray, sparse matrix} of shape \
(n_samples, n_classes)
            Labels, or an indicator matrix, sparse where that of fit was.
        """
        X = self._checked(X)
        if self.weight_ == 0:
            return self.estimator_.predict(X)
        if not self._format.multilabel:
            ids, _ = self._top_k(X, 1)
            return self.classes_[ids[:, 0]]
        predicted = sp.csr_array(self.estimator_.predict(X))
        n_labels = np.diff((predicted != 0).indptr)
        k = max(1, n_labels.max())
        self._require_result(X.shape[0], k)
        ids, _ = self._top_k(X, k)
        chosen = ids[np.arange(k) < n_labels[:, None]]
        indptr = np.concatenate([[0], np.cumsum(n_labels)])
        ones = np.ones(len(chosen), dtype=bool)
        labels = sp.csr_array((ones, chosen, indptr), shape=predicted.shape)
        labels.sort_indices()
        return self._format.decode_indicator(labels)

    @available_if(estimator_is_lean)
    def lean_copy(self):
        """Copy that predicts the same, with a lean copy of the estimator.

        The neighbours are shared with it. Only where the fitted
        estimator has `lean_copy`.

        Returns
        -------
        lean : NeighborBlendClassifier
            Fitted.
        """
        check_is_fitted(self)
        lean = copy.copy(self)
        lean.estimator_ = self.estimator_.lean_copy()
        return lean

    @property
    def memory_usage_(self):
        """Bytes of neighbours, labels, estimator where it tells, and their total."""
        check_is_fitted(self)
        usage = {"neighbors": 0, "labels": 0}
        if self._electorate is not None:
            usage = {"neighbors": self._electorate.neighbors.nbytes}
            usage["labels"] = self._electorate.nbytes - usage["neighbors"]
        if hasattr(self.estimator_, "memory_usage_"):
            usage["estimator"] = self.estimator_.memory_usage_["total"]
        return usage | {"total": sum(usage.values())}

    def _checked(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return checked_csr(X) if sp.issparse(X) else X

    def _top_k(self, X, k):
        """The k best labels: (class ids, blended scores)."""
        n_threads = effective_n_threads(self.n_jobs)
        ids = np.empty((X.shape[0], k), dtype=np.int32)
        scores = np.empty((X.shape[0], k), dtype=np.float32)
        for rows in gen_batches(X.shape[0], ROWS_AT_ONCE):
            listed = self._listed(self.estimator_, X[rows], k)
            poll = self._electorate.poll(X[rows], n_threads)
            ids[rows], scores[rows] = poll.blend(*listed, self.weight_, k, n_threads)
        return ids, scores

    def _listed(self, estimator, X, k):
        """The estimator's own list, of k classes at least: (class ids, scores)."""
        n_listed = min(max(k, self.n_candidates), len(self.classes_))
        labels, scores = estimator.predict_top_k(X, n_listed)
        if not self._format.multilabel:
            labels = np.searchsorted(self.classes_, labels)
        return (
            np.ascontiguousarray(labels, dtype=np.int32),
            np.ascontiguousarray(scores, dtype=np.float32),
        )

    def _require_result(self, n_rows, k):
        require_bytes(
            16 * n_rows * k,
            f"The {k:,} best labels of {n_rows:,} rows",
            "Fewer rows at a time, or a smaller k, take less.",
        )
