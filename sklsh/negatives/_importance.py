"""Retrieved classes, each weighed by one over the probability that hashing finds it."""

import numpy as np

from sklsh._batches import INT32_MAX
from sklsh._kernels import _rows
from sklsh._storage import as_float32
from sklsh.negatives._per_row import RowLSH
from sklsh.negatives._protocol import RowCandidates

LEAST_PROBABILITY = 1e-30  # of a class that old codes find, although it has turned away since


class RowImportance(RowLSH):
    """Labels, and all classes in the row's hash buckets, weighed by 1 / probability.

    A class is in one of the row's buckets with a probability that is known for hash
    functions from independent Gaussian projections. Each retrieved class stands for one over
    that, so that the softmax's sum is unbiased over the draw of the functions, as far as the
    rows in the tables are those of now. Classes at a large angle are rarely found and then
    count for very many: the sum varies widely.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    seed : int
        Draws the hash functions.

    query, **tables
        As for :class:`RowLSH`, but `hash_family` is "dense_simhash"; buckets are read whole.

    References
    ----------
    R. Spring and A. Shrivastava, "A new unbiased and efficient class of LSH-based samplers
    and estimators for partition function computation in log-linear models", 2017.
    arXiv:1703.05160
    """

    def __init__(self, n_classes, *, seed, query="embedding", **tables):
        super().__init__(n_classes, "importance", n_active=0, seed=seed, query=query, **tables)

    def draw(self, hidden, Y, output):
        """Labels, then all other classes of the buckets."""
        self._begin(Y)
        self.tables.rehash_when_due(output.weights, self.n_threads)
        labels = self._labels_that_ask(Y)
        queries = hidden
        if labels is not None:
            queries = as_float32(output.weights[np.maximum(labels, 0)])
        found_starts, found = self.tables.tables.union(self._codes(hidden, labels), self.n_threads)
        starts, ids, positions = labels_first(Y, found_starts, found, self.n_classes)
        weights = np.ones(len(ids), dtype=np.float32)
        retrieved = np.ones(len(ids), dtype=bool)
        retrieved[np.repeat(starts[:-1], np.diff(Y.indptr)) + positions] = False
        probability = self._probability(queries, output, starts, ids)[retrieved]
        weights[retrieved] = 1 / np.maximum(probability, LEAST_PROBABILITY)
        return RowCandidates(starts, ids, positions, weights, np.zeros(len(ids), np.float32))

    def _probability(self, queries, output, starts, ids):
        """That each candidate shares a bucket with its row."""
        products = np.empty(len(ids), dtype=np.float32)
        _rows.score(queries, output.weights, starts, ids, products, self.n_threads)
        classes, at = np.unique(ids, return_inverse=True)
        lengths = np.linalg.norm(as_float32(output.weights[classes]), axis=1)[at]
        lengths *= np.repeat(np.linalg.norm(queries, axis=1), np.diff(starts))
        cosines = products / np.maximum(lengths, np.finfo(np.float32).tiny)
        return self.tables.hasher.meeting_probability(cosines)


def labels_first(Y, indptr, ids, n_classes):
    """Each row's labels, and then those of its ids that are no labels.

    Returns (starts, ids, positions), int32, as :class:`RowCandidates` has them.
    """
    n_labels = np.diff(Y.indptr)
    rows = np.arange(len(n_labels), dtype=np.int64)
    label_rows, id_rows = np.repeat(rows, n_labels), np.repeat(rows, np.diff(indptr))
    new = ~np.isin(id_rows * n_classes + ids, label_rows * n_classes + Y.indices)
    ids, id_rows = ids[new], id_rows[new]
    starts = np.concatenate([[0], np.cumsum(n_labels + np.bincount(id_rows, minlength=len(rows)))])
    if starts[-1] > INT32_MAX:
        raise ValueError(
            f"{starts[-1]:,} classes in the buckets of {len(rows):,} rows are more than "
            f"{INT32_MAX:,}: a larger n_bits or a smaller batch_size finds fewer."
        )
    order = np.argsort(np.concatenate([label_rows, id_rows]), kind="stable")
    positions = np.arange(len(Y.indices)) - np.repeat(Y.indptr[:-1], n_labels)
    merged = np.concatenate([Y.indices, ids])[order]
    return starts.astype(np.int32), merged.astype(np.int32), positions.astype(np.int32)
