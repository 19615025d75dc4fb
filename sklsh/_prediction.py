"""How classifiers on the shared network predict: labels, logits, probabilities."""

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.utils import gen_batches

from sklsh._memory import padded, require_bytes
from sklsh._samplers import table_settings
from sklsh._sklearn import check_is_fitted, check_k, checked_csr, effective_n_threads, validate_data

BLOCK_BYTES = 1 << 26  # of logits held at once where all classes are scored
TOP_K_INSTEAD = "predict_top_k(X, k) needs no array of that size; or pass fewer rows."


class NetworkPredictions:
    """Mixin of the predicting methods; every row's result depends on that row alone."""

    def predict_top_k(self, X, k=None):
        """The k classes with the largest logits, without an n x C array.

        Exactly or, with ``prediction="lsh"``, among the classes in the row's hash buckets,
        which misses some; a row whose buckets hold fewer than k is scored against all.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        k : int, default=None
            Classes wanted for each row; by default 5, or all if there are fewer.

        Returns
        -------
        labels : ndarray of shape (n_samples, k)
            Labels, best first: entries of `classes_`, so column numbers if multilabel.
            Ties go to the smaller class.

        scores : ndarray of shape (n_samples, k), float32
            Their logits.

        Raises
        ------
        MemoryError
            If the result would not fit.
        """
        X = self._checked(X)
        n_classes = len(self.classes_)
        k = min(5, n_classes) if k is None else k
        check_k(k, n_classes, "classes")
        self._require_dense((X.shape[0], k), 8, "Fewer rows at a time, or a smaller k, take less.")
        ids, scores = self._top_k(X, k)
        return self.classes_[ids], scores

    def decision_function(self, X):
        """Logits of all classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes) or (n_samples,), float32
            For two classes and one label a row, the log-odds of the second.

        Raises
        ------
        MemoryError
            If the array would not fit; `predict_top_k` needs none of its size.
        """
        X = self._checked(X)
        logits = self._all_logits(X)
        if self._is_binary:
            if self._network.loss == "logistic":
                logits = log_expit(logits.astype(np.float64))
            return (logits[:, 1] - logits[:, 0]).astype(np.float32)
        return logits

    def predict_proba(self, X):
        """Probabilities of all classes.

        With one label a row, the probability of each class: the softmax of the logits or,
        under the logistic loss, their sigmoids divided by the row's sum. Multilabel under
        the logistic loss, the probability that the row has the label. Multilabel under the
        softmax, the probability that a label picked from the row's labels is this one; a
        row sums to 1. Where classes were sampled with correction="none" or, less so,
        "half_logq", rare classes come out too probable.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float32
            In the order of `classes_`.

        Raises
        ------
        MemoryError
            If the array would not fit; `predict_top_k` needs none of its size.
        """
        X = self._checked(X)
        logits = self._all_logits(X)
        if self._network.loss == "softmax":
            for rows in self._blocks(X):
                logits[rows] = softmax(logits[rows], axis=1)
            return logits
        if self._format.multilabel:
            return expit(logits, out=logits)
        return np.exp(self._log_probabilities(logits), out=logits)

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of all classes.

        Taken from the logits, so that they stay finite where probabilities round to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), float32
            In the order of `classes_`.

        Raises
        ------
        MemoryError
            If the array would not fit; `predict_top_k` needs none of its size.
        """
        return self._log_probabilities(self._all_logits(self._checked(X)))

    def _log_probabilities(self, logits):
        """Turn logits into logarithms of probabilities, in place."""
        for rows in self._blocks(logits):
            if self._network.loss == "softmax":
                logits[rows] = log_softmax(logits[rows], axis=1)
                continue
            logits[rows] = log_expit(logits[rows])
            if not self._format.multilabel:
                logits[rows] -= logsumexp(logits[rows], axis=1, keepdims=True)
        return logits

    def predict(self, X):
        """Predicted labels, in the form of the y seen in fit.

        With one label a row, the class of the largest logit (with ``prediction="lsh"``, of
        those found; so for multilabel under the softmax). Multilabel under the logistic
        loss, the labels whose logit is positive (probability over one half); under the
        softmax, the n best labels of each row, n the mean number of labels in training,
        rounded, at least 1.

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
        if not self._format.multilabel:
            ids, _ = self._top_k(X, 1)
            return self.classes_[ids[:, 0]]
        shape = (X.shape[0], len(self.classes_))
        if self._format.container is None:
            self._require_dense(shape, self._format.dtype.itemsize)
        if self._network.loss == "logistic":
            blocks = [self._logits(X[rows]) > 0 for rows in self._blocks(X)]
            labels = sp.vstack([sp.csr_array(block) for block in blocks], format="csr")
        else:
            k = min(max(1, round(self._progress.labels_per_row)), shape[1])
            ids, _ = self._top_k(X, k)
            indptr = np.arange(0, ids.size + 1, k)
            labels = sp.csr_array((np.ones(ids.size, dtype=bool), ids.ravel(), indptr), shape)
            labels.sort_indices()
        return self._format.decode_indicator(labels)

    def _checked(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return checked_csr(X) if sp.issparse(X) else X

    def _top_k(self, X, k):
        n_threads = effective_n_threads(self.n_jobs)
        if self.prediction == "exact":
            return self._network.top_k(X, k, n_threads)
        self._validate_params()  # what follows goes by parameters that may be set after fit
        network, tables = self._network, self._tables_for_prediction
        settings = table_settings(self, network.sizes[-2])

        def rank(hidden, k, n_threads):
            return tables.top_k(hidden, network.output, k, settings, n_threads)

        return network.top_k(X, k, n_threads, rank)

    def _logits(self, X):
        return self._network.logits(X, effective_n_threads(self.n_jobs))

    def _blocks(self, X):
        """Slices of rows whose logits, or what meets the output layer, take BLOCK_BYTES."""
        rows = max(1, BLOCK_BYTES // (4 * padded(max(self._network.sizes[-2:]))))
        return gen_batches(X.shape[0], rows)

    def _all_logits(self, X):
        shape = (X.shape[0], len(self.classes_))
        self._require_dense(shape, 4)
        logits = np.empty(shape, dtype=np.float32)
        for rows in self._blocks(X):
            logits[rows] = self._logits(X[rows])
        return logits

    def _require_dense(self, shape, itemsize, instead=TOP_K_INSTEAD):
        what = f"A dense result of {shape[0]:,} rows by {shape[1]:,} classes"
        require_bytes(shape[0] * shape[1] * itemsize, what, instead)

    @property
    def _is_binary(self):
        return not self._format.multilabel and len(self.classes_) == 2
