"""Estimates of the sum over all items of a fitted LSHSampler, and that sum."""

import numpy as np

from sklsh._sklearn import check_is_fitted
from sklsh.negatives._partition_estimator import PartitionEstimator
from sklsh.negatives._retrieved_sums import UnitRows


class PartitionEstimates:
    """Mixin of log Z, estimated and exact."""

    def estimate_partition(self, Q, estimator="head_tail", *, head="best", n_head=100):
        """Estimate log Z, Z being the sum of exp(q . v + offset) over all items v.

        Parameters
        ----------
        Q : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries, such as activations of the last hidden layer.

        estimator : {"head_tail", "mixed", "importance", "uniform"}, default="head_tail"
            With f the terms of Z, n items, m = `n_uniform`, S the items that the query
            retrieves and p the probability of each to be retrieved:

            "head_tail": sum of f over a head, plus n' / m times the sum of f over m items
            drawn uniformly from the n' others.

            "mixed": sum of f / r over S and m items drawn uniformly from all, each counted
            once, where r = 1 - (1 - p) (1 - m / n) is the probability to be in either.

            "importance": sum of f / p over S. Zero vectors are added exactly.

            "uniform": n / m times the sum of f over m items drawn uniformly; the
            "head_tail" of an empty head.

            Uniform draws are without replacement. The notes tell them apart.

        head : {"best", "buckets"}, default="best"
            The head of "head_tail": the `n_head` items of largest logit, found exactly, or S.

        n_head : int, default=100
            Items in a head of the best. If they and `n_uniform` are half of the items or
            more, all are looked at and the estimate is exact.

        Returns
        -------
        log_partition : ndarray of shape (n_queries,), float64
            Logarithms of the estimates. The estimates of Z are unbiased, their logarithms
            are too low in the mean, by about half of the relative variance where that is
            small. -inf where "importance" has found nothing.

        Raises
        ------
        ValueError
            If an argument is none of these, or a head of buckets is asked for an estimator
            without a head.

        MemoryError
            If what a block of queries looks at would not fit; says how many bytes it takes.

        Notes
        -----
        "mixed" and "importance" are unbiased over the draw of the hash functions, if the
        query is not zero; "mixed" is so even then. Their variance is the sum over pairs i, j
        of f_i f_j (p_ij / (p_i p_j) - 1), p_ij being the probability to have both, p_ii = p_i,
        and r in place of p for "mixed". It is large where a large term is rarely found: by
        "importance" with no limit, while "mixed" gives no term a weight above n / m.

        "head_tail" and "uniform" are unbiased over the uniform draws, whatever the head, be
        the tables out of date. Their variance, given the head, is n' (n' - m) R / m, where R
        is the variance of f over the n' items, of divisor n' - 1. That is large where the
        head has missed a large term, which then counts n' / m times if it is drawn; the best
        head is the one of its size that misses least.

        On trained models of 20,000 and 131,072 classes "head_tail" with the best 100 has less
        than a tenth of the variance of each of the others at the same cost. Its median error of
        log Z is about a third of theirs on the smaller; on the larger, uniform draws have a
        median error that is somewhat smaller still. On random vectors, where no few items hold
        much of Z, "importance" and "mixed" have as little variance in half of the time (README).

        The best items are found as by `predict_top_k`: where the CPU has AVX-512 VNNI and 96
        queries or more are asked at once for each thread, most items are ruled out by bounds
        on short codes. Elsewhere each query meets all items, as in `log_partition`, which is
        then exact at about that cost; so it is for few items, 20,000 in the README. Hashing
        a query takes O(K L n_features), and each item of a set O(n_features), at an address
        of its own, while `log_partition` reads all items in order, for many queries at once:
        per item it is many times cheaper.
        """
        check_is_fitted(self)
        self._validate_params()  # n_uniform may be set after fit
        wanted = PartitionEstimator.checked(estimator, head, n_head, self.n_uniform)
        return self._estimate_rows(wanted, self._queries(Q))

    def _estimate_rows(self, wanted, queries, first=0):
        """The same for dense rows, the first of which is number `first` of all."""
        seed = (self._seed << 32) + first
        if not wanted.needs_tables or wanted.looks_at_half(self.n_items_):
            return wanted.without_tables(self._items, queries, seed, self._n_threads)
        result = np.empty(len(queries))
        for rows in self._items.blocks(len(queries)):
            sums = self._retrieved(UnitRows.of(queries[rows]))
            draws = wanted.n_uniform, seed + rows.start
            if wanted.estimator == "importance":
                result[rows] = sums.importance()
            elif wanted.estimator == "mixed":
                result[rows] = sums.mixed(*draws)
            else:
                result[rows] = self._items.head_and_tail(
                    queries[rows], sums.found, *draws, self._n_threads
                )
        return result

    def log_partition(self, Q):
        """Log of the sum of exp(q . v + offset) over all items v, exactly.

        Parameters
        ----------
        Q : {array-like, sparse matrix} of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        log_partition : ndarray of shape (n_queries,), float64
            Of products in float32, summed in float64.

        Raises
        ------
        MemoryError
            If the products of a block of queries would not fit; says how many bytes.
        """
        queries = self._queries(Q)
        return self._items.log_partition(queries, self._n_threads)
