"""How a softmax over very many classes is judged as a probability model."""

import functools

import numpy as np

from sklsh._scores import exact_losses, mean_over_labels
from sklsh._sklearn import check_is_fitted, effective_n_threads
from sklsh.negatives import LSHSampler
from sklsh.negatives._partition import Items
from sklsh.negatives._partition_estimator import PartitionEstimator


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

    def partition_estimate(
        self, X, estimator="head_tail", n_uniform=256, *, head="best", n_head=100
    ):
        """Estimate the logarithm of each row's softmax sum from a few of the classes.

        A row's log-probability of class j is its logit less this. Where the estimate goes by
        hash buckets, tables are made over the output weights first, with `n_bits`,
        `n_tables` and `bucket_size`, by independent Gaussian projections; one set of
        functions, which `random_state` of the fit has fixed, serves all rows. The others
        make no tables and no copy of the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        estimator : {"head_tail", "mixed", "importance", "uniform"}, default="head_tail"
            How, and when it is unbiased: see
            :meth:`sklsh.negatives.LSHSampler.estimate_partition`.

        n_uniform : int, default=256
            Classes drawn uniformly for each row by all but "importance".

        head : {"best", "buckets"}, default="best"
            What "head_tail" adds up as it is: the `n_head` classes of largest logit, found
            exactly, or the classes in the row's hash buckets.

        n_head : int, default=100
            Classes in a head of the best.

        Returns
        -------
        log_partition : ndarray of shape (n_samples,), float64
            Logarithms of the estimates; those, not these, are unbiased. They are exact where
            half of the classes or more would be looked at.

        Raises
        ------
        ValueError
            If an argument is none of these, or a head of buckets is asked for an estimator
            without a head.

        MemoryError
            If what a block of rows looks at, or a copy of the output weights and tables over
            them, would not fit; says how many bytes they take.
        """
        X = self._checked(X)
        self._validate_params()  # what follows goes by parameters that may be set after fit
        wanted = PartitionEstimator.checked(estimator, head, n_head, n_uniform)
        network, n_threads = self._network, effective_n_threads(self.n_jobs)
        estimate, estimates = self._estimate_of_hidden(wanted, n_threads), np.empty(X.shape[0])
        for rows in network.row_blocks(X.shape[0]):
            estimates[rows] = estimate(network.hidden(X[rows], n_threads), rows.start)
        return estimates

    def _estimate_of_hidden(self, wanted, n_threads):
        """What takes activations, and the place of their first row among all, to estimates."""
        output, seed = self._network.output, self._tables_for_prediction.seed
        if wanted.needs_tables and not wanted.looks_at_half(len(output.bias)):
            sampler = LSHSampler(
                n_bits=self.n_bits, n_tables=self.n_tables, bucket_size=self.bucket_size,
                n_uniform=wanted.n_uniform, random_state=seed, n_jobs=self.n_jobs,
            )  # fmt: skip
            weights = output.parameter.as_float32()[:, : self._network.sizes[-2]]
            sampler.fit(weights, output.bias)
            return functools.partial(sampler._estimate_rows, wanted)
        items = Items(output.weights, output.bias)
        return lambda hidden, first: wanted.without_tables(
            items, hidden, (seed << 32) + first, n_threads
        )
