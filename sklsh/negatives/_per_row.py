"""Samplers that draw for each row of a batch its own classes, as SLIDE was published."""

import numpy as np

from sklsh._batches import INT32_MAX
from sklsh._kernels import _active_sets
from sklsh._layer_tables import LayerTables
from sklsh.negatives._protocol import (
    LOGQ,
    WEIGHTED,
    Counted,
    Inclusion,
    RowCandidates,
    Sampler,
    WithTables,
    check_labels,
    one_label_each,
    shift_of,
)

NO_TABLES = np.zeros((0, 1), dtype=np.int32)


class RowUniform(Counted, Sampler):
    """The labels of the row and a uniform draw from all other classes.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    correction : {"half_logq", "logq", "head_tail", "importance", "none"}
        What makes up for the classes that are not looked at, see :class:`InBatch`. Here a
        label is no negative of other rows, so both kinds of "logq" go by the share of
        rows that look at a class without having it as a label: retrieved or drawn.

    n_active : int
        Classes of each row beside its labels; at most half of all, or else drawing them
        takes too long.

    seed : int
        Seed of the draws.
    """

    def __init__(self, n_classes, correction, *, n_active, seed):
        self.n_classes = n_classes
        self.correction = correction
        self.n_active = n_active
        self.seed = seed
        self.n_threads = 1
        self._n_draws = 0
        self._inclusion = Inclusion(n_classes)

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        self.n_threads = n_threads
        self._inclusion.make_writable()

    def draw(self, hidden, Y, output):
        """Labels, then the uniform tail."""
        no_codes = np.zeros((len(Y.indptr) - 1, 0), dtype=np.int32)
        return self._draw(Y, no_codes, NO_TABLES, NO_TABLES, bucket_cap=0, n_retrieved=0)

    def _begin(self, Y):
        check_labels(Y.indices, self.n_classes)
        self._n_draws += 1

    def _draw(self, Y, codes, starts, bucket_ids, *, bucket_cap, n_retrieved):
        self._begin(Y)
        labels = Y.indices
        n_labels = np.diff(Y.indptr)
        sizes = np.minimum(n_labels + self.n_active, self.n_classes)
        row_starts = np.concatenate([[0], np.cumsum(sizes)])
        if row_starts[-1] > INT32_MAX:
            raise ValueError(
                f"batch_size={len(sizes)} rows with n_active={self.n_active} classes each are more "
                f"than {INT32_MAX:,} candidates in a step; lower one of the two."
            )
        row_starts = row_starts.astype(np.int32)
        ids = np.empty(row_starts[-1], dtype=np.int32)
        n_exact = np.empty(len(sizes), dtype=np.int32)
        _active_sets.draw_sets(
            Y.indptr, labels, codes, starts, bucket_ids, self.n_classes, bucket_cap,
            n_retrieved, (self.seed << 32) + self._n_draws, row_starts, ids, n_exact,
            self.n_threads,
        )  # fmt: skip
        positions = np.arange(len(labels), dtype=np.int32) - np.repeat(Y.indptr[:-1], n_labels)
        return self._corrected(row_starts, ids, positions, sizes, n_labels, n_exact)

    def _corrected(self, starts, ids, positions, sizes, n_labels, n_exact):
        weights = np.ones(len(ids), dtype=np.float32)
        shift = np.zeros(len(ids), dtype=np.float32)
        place = np.arange(len(ids)) - np.repeat(starts[:-1], sizes)
        exact = place < np.repeat(n_exact, sizes)
        n_others = np.maximum(self.n_classes - n_exact, 1)
        tail_share = (sizes - n_exact) / n_others  # of the classes not chosen
        if self.correction in WEIGHTED:
            weights[~exact] = np.repeat(1 / np.maximum(tail_share, 1e-30), sizes)[~exact]
        elif self.correction in LOGQ:
            retrieved = exact & (place >= np.repeat(n_labels, sizes))
            own = place < np.repeat(n_labels, sizes)
            self._inclusion.note(
                ids[retrieved], tail_share.sum(), n_looks=len(sizes), left_out=ids[own]
            )
            log_share = np.log(self._inclusion.share(ids))
            shift = shift_of(self.correction, log_share, log_share[own])
        return RowCandidates(starts, ids, positions, weights, shift)


class RowLSH(WithTables, RowUniform):
    """Labels, the classes in the row's hash buckets, and a uniform tail.

    This is SLIDE's active set: what the buckets hold is taken in the order of the tables,
    without ranking, and the set is filled up with random classes.

    Parameters
    ----------
    n_classes, correction, n_active, seed
        As for :class:`RowUniform`.

    tail : float, default=0.25
        Share of `n_active` drawn uniformly, at least.

    query : {"embedding", "label"}, default="embedding"
        What looks up the buckets: the activations of the row, or the weights of one of its
        labels.

    **tables
        Parameters of the hash tables over the output layer: width, hash_family, n_bits,
        n_tables, bucket_size, rehash_every, rehash_growth, redraw_every.

    References
    ----------
    B. Chen, T. Medini, J. Farwell, S. Gobriel, C. Tai and A. Shrivastava, "SLIDE: in
    defense of smart algorithms over hardware acceleration for large-scale deep learning
    systems", 2020. arXiv:1903.03129

    S. Daghaghi, T. Medini, N. Meisburger, B. Chen, M. Zhao and A. Shrivastava, "A tale of
    two efficient and informative negative sampling distributions", 2021. arXiv:2012.15843
    """

    def __init__(
        self, n_classes, correction, *, n_active, seed, tail=0.25, query="embedding", **tables
    ):
        super().__init__(n_classes, correction, n_active=n_active, seed=seed)
        self.tail = tail
        self.query = query
        self.tables = LayerTables(n_classes, seed=seed, **tables)

    def draw(self, hidden, Y, output):
        """Labels, ids of the buckets, then the uniform tail."""
        self.tables.rehash_when_due(output.weights, self.n_threads)
        tables = self.tables.tables
        return self._draw(
            Y, self._codes(hidden, self._labels_that_ask(Y)), tables.starts, tables.ids,
            bucket_cap=self.tables.bucket_cap,
            n_retrieved=round((1 - self.tail) * self.n_active),
        )  # fmt: skip

    def _labels_that_ask(self, Y):
        """A label of each row if those look up the buckets, else None."""
        return one_label_each(Y, self._n_draws) if self.query == "label" else None

    def _codes(self, hidden, labels):
        """What the rows look up: codes of their activations, or of these labels."""
        if labels is None:
            return self.tables.codes(hidden, self.n_threads)
        return self.tables.codes_of(labels)
