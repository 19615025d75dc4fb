"""How a softmax over very many classes is judged as a probability model."""

import numpy as np

from sklsh._scores import exact_losses, mean_over_labels
from sklsh._sklearn import check_is_fitted, effective_n_threads
from sklsh.negatives import LSHSampler


class Likelihood:
    """Mixin of the exact log loss, and of estimates of the partition function."""

    def log_loss(self, X, y, sample_weight=None):
        """Mean negative log-probability of the labels, exactly, over all classes.

        Computed in blocks of rows, without an array of all probabilities. The exponential
        of it is the perplexity.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
(n_samples, n_classes)
            Labels, in the form of those of `fit`. Where a row has several, its loss is the
            mean over them; one of a row without is 0.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        loss : float
            In nats.

        Raises
        ------
        ValueError
            If y holds labels that are not in `classes_`.
        """
        check_is_fitted(self)
        X, y, weight = self._validated(X, y, sample_weight, reset=False)
        Y = mean_over_labels(self._format.encode(y))
        losses, _ = exact_losses(self._network, X, Y, effective_n_threads(self.n_jobs))
        return float(np.average(losses, weights=weight))

    def partition_estimate(self, X, estimator="mixed", n_uniform=1000):
        """Estimate the logarithm of each row's softmax sum from a few of the classes.

        Hash tables are made over the output weights, with `n_bits`, `n_tables` and
        `bucket_size`, by independent Gaussian projections; one set of functions, which
        `random_state` of the fit has fixed, serves all rows. A row's log-probability of
        class j is its logit less this.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        estimator : {"mixed", "head_tail", "importance", "uniform"}, default="mixed"
            How, and when it is unbiased: see
            :meth:`sklsh.negatives.LSHSampler.estimate_partition`.

        n_uniform : int, default=1000
            Classes drawn uniformly for each row by all but "importance".

        Returns
        -------
        log_partition : ndarray of shape (n_samples,), float64
            Logarithms of the estimates; those, not these, are unbiased.

        Raises
        ------
        MemoryError
            If a copy of the output weights and the tables would not fit; says how many
            bytes they take.
        """
        X = self._checked(X)
        self._validate_params()  # what follows goes by parameters that may be set after fit
        network, width = self._network, self._network.sizes[-2]
        sampler = LSHSampler(
            n_bits=self.n_bits, n_tables=self.n_tables, bucket_size=self.bucket_size,
            n_uniform=n_uniform, random_state=self._tables_for_prediction.seed, n_jobs=self.n_jobs,
        )  # fmt: skip
        weights = network.output.parameter.as_float32()[:, :width]
        sampler.fit(weights, network.output.bias)
        n_threads, estimates = effective_n_threads(self.n_jobs), np.empty(X.shape[0])
        for rows in network.row_blocks(X.shape[0]):
            hidden = network.hidden(X[rows], n_threads)[:, :width]
            estimates[rows] = sampler.estimate_partition(hidden, estimator)
        return estimates
