"""A linear model over more features than fit in memory: an active set and a count-sketch.

The features that matter most have rows of weights of their own in a table, the active set;
what is left shares the cells of a count-sketch. See `_kernels/_sketched_sgd.pyx` for how the
two learn together.
"""

import copy

import numpy as np

from sklsh._kernels import (
    _active_table,
    _count_sketch,
    _row_losses,
    _sketched_scores,
    _sketched_sgd,
)
from sklsh._memory import aligned_copy, aligned_zeros, writable

UNUSED = -1  # key of a row of the table that holds no feature
MOST_PLACES = 2**30  # cells and rows of the table, counted in int32 with a bit for the sign


class SketchedLinear:
    """Weights of a linear model, and the arithmetic on them.

    Parameters
    ----------
    n_outputs : int
        Scores of a row.

    mode : {"active", "mission"}
        Whether features of the active set have their weights there alone, or are heavy
        hitters of a sketch that holds all weights.

    keep, capacity : int
        Features that stay in the active set when it is full, and that it can hold.

    width, depth : int
        Cells of a row of the sketch, a power of two, and rows.

    seed : int
        Of the hash functions, below 2**63.

    Attributes
    ----------
    weights : ndarray of shape (depth * width + capacity, n_outputs), float32
        The cells, row by row, and then the weights of the active set.

    ids : ndarray of shape (capacity + 1,), int64
        Features of the active set.

    slots : ndarray of int32
        Finds their rows by hashing.

    n_active : int
        Rows of the active set in use.

    intercept : ndarray of shape (n_outputs,), float32

    status : ndarray of shape (3,), float64
        Scale by which all weights are to be multiplied, the magnitude that brings a feature
        into the active set, and entries read since it was last renewed.
    """

    def __init__(self, n_outputs, *, mode, keep, capacity, width, depth, seed):
        self.mode, self.keep, self.width, self.depth, self.seed = mode, keep, width, depth, seed
        self.weights = aligned_zeros((depth * width + capacity, n_outputs))
        self.ids = np.full(capacity + 1, UNUSED, dtype=np.int64)
        self.slots = np.full(self._n_slots(capacity), capacity, dtype=np.int32)
        self.n_active = 0
        self.intercept = np.zeros(n_outputs, dtype=np.float32)
        self.status = np.array([1.0, 0.0, 0.0])

    @staticmethod
    def _n_slots(capacity):
        """A power of two, of which at most a third is in use: most searches end at once."""
        return 1 << (3 * capacity - 1).bit_length()

    @classmethod
    def bytes_needed(cls, n_outputs, capacity, width, depth):
        """Bytes of such a model."""
        n_places = depth * width + capacity
        return 4 * n_outputs * n_places + 8 * capacity + 4 * cls._n_slots(capacity)

    @property
    def cells(self):
        """The sketch, (depth, width, n_outputs), a view; to be multiplied by the scale."""
        shape = (self.depth, self.width, self.n_outputs)
        return self.weights[: self.depth * self.width].reshape(shape)

    @property
    def table(self):
        """Weights of the active set, (n_active, n_outputs), a view; likewise."""
        start = self.depth * self.width
        return self.weights[start : start + self.n_active]

    @property
    def n_outputs(self):
        """Scores of a row."""
        return self.weights.shape[1]

    @property
    def _is_dealt(self):
        """Whether a feature's weight is one number in one place, as the kernel sees it."""
        return self.n_outputs == self.depth == 1 and self.mode == "active"

    @property
    def active_ids(self):
        """Features of the active set, a view."""
        return self.ids[: self.n_active]

    @property
    def memory_usage(self):
        """Bytes of the active set with its index, of the sketch, and their total."""
        sketch = self.cells.nbytes
        active_set = self.weights.nbytes - sketch + self.ids.nbytes + self.slots.nbytes
        return {"active_set": active_set, "sketch": sketch, "total": active_set + sketch}

    def copy(self):
        """Copy that shares nothing, and can be written to."""
        twin = copy.copy(self)
        for name in ("weights", "ids", "slots", "intercept", "status"):
            setattr(twin, name, aligned_copy(getattr(self, name)))
        return twin

    def train(self, X, targets, row_weights, order, rates, *, batch_size, objective, n_threads):
        """Take the steps of a pass; returns the summed losses of rows.

        Parameters
        ----------
        X : csr_array of float32
            Rows.

        targets, row_weights : ndarray of shape (n,), float32
            Values wanted or numbers of classes, and weights of rows in the loss.

        order : ndarray of shape (n,), intp
            Rows in the order of training.

        rates : ndarray of shape (n_batches,), float32
            Learning rate of each batch.

        batch_size : int
            Rows of a step.

        objective : dict
            `loss`, `epsilon`, `l2` and `l1` of the kernel.

        n_threads : int
            OpenMP threads. The model does not depend on it.
        """
        indptr, features = X.indptr.astype(np.intp, copy=False), X.indices
        batch_size = min(batch_size, len(order))
        starts = np.zeros(len(order) + 1, dtype=np.intp)
        np.cumsum(np.diff(indptr)[order], out=starts[1:])
        most = int(np.diff(starts[::batch_size], append=starts[-1]).max())
        n_places = self.depth + (self.mode == "mission")
        capacity = len(self.ids) - 1
        n_owners = min(n_threads, _sketched_sgd.N_SHARDS) if self._is_dealt else 0
        self.n_active, loss = _sketched_sgd.sketched_sgd(
            indptr, as_c_integers(features), X.data, targets, row_weights, order, starts, rates,
            batch_size,
            **objective | {"loss": _row_losses.LOSSES[objective["loss"]]},
            mission=self.mode == "mission",
            ids=as_c_integers(self.ids), slots=self.slots, n_active=self.n_active, keep=self.keep,
            weights=self.weights, depth=self.depth, seed=self.seed,
            bias=self.intercept, status=self.status,
            places=np.empty(most * n_places, dtype=np.int32),
            promising=np.zeros(most, dtype=np.uint8),
            gradients=np.empty((batch_size + n_threads, self.n_outputs), dtype=np.float32),
            losses=np.empty(batch_size, dtype=np.float32),
            entries=np.empty((n_owners, most, 2), dtype=np.float32),
            ends=np.empty((max(n_owners, 1), batch_size), dtype=np.intp),
            sums=np.empty((_sketched_sgd.N_SHARDS, batch_size), dtype=np.float32),
            norms=np.empty((2, capacity), dtype=np.float32),
            n_promising=np.empty(n_threads, dtype=np.intp),
            n_threads=n_threads,
        )  # fmt: skip
        with np.errstate(invalid="ignore"):
            total = self.weights.sum(dtype=np.float64)  # not finite if one of them is not
        if not np.isfinite([loss, total, *self.intercept]).all():
            raise ValueError(
                f"Training diverged: the loss is {loss}. Lower learning_rate_init, or scale the "
                "features or the weights of rows."
            )
        return loss

    def scores(self, X, n_threads=1):
        """Scores of the rows of X, a csr_array of float32: (n_rows, n_outputs) float32."""
        indptr = X.indptr.astype(np.intp, copy=False)
        scores = np.empty((X.shape[0], self.n_outputs), dtype=np.float32)
        most = int(np.diff(indptr).max(initial=0))
        n_places = self.depth + (self.mode == "mission")
        _sketched_scores.sketched_scores(
            indptr, as_c_integers(X.indices), X.data, self.mode == "mission",
            as_c_integers(self.ids), self.slots, self.n_active, self.weights, self.depth, self.seed,
            self.intercept, self.status, scores,
            np.empty((n_threads, most * n_places), dtype=np.int32),
            np.empty((n_threads, self.n_outputs), dtype=np.float32), n_threads,
        )  # fmt: skip
        return scores

    def largest(self, k):
        """Up to k features of the active set by their largest weight: (ids, weights), best first.

        Ties go to the smaller id, and features without weight are left out.
        """
        ids, weights = self.active_ids, self.table
        magnitude = np.abs(weights).max(axis=1, initial=0)
        kept = np.flatnonzero(magnitude > 0)
        if len(kept) > k:  # all that may be among them
            least = np.partition(magnitude, len(magnitude) - k)[len(magnitude) - k]
            kept = np.flatnonzero(magnitude >= max(least, np.finfo(np.float32).tiny))
        best = kept[np.lexsort((ids[kept], -magnitude[kept]))[:k]]
        return ids[best].copy(), weights[best] * np.float32(self.status[0])

    def weights_of(self, ids):
        """Weights of features, (n, n_outputs): of the active set, or estimates of the sketch."""
        estimates = self._query(ids)
        if self.mode == "active":
            order = np.argsort(self.active_ids)
            places = np.searchsorted(self.active_ids, ids, sorter=order)
            rows = order[np.minimum(places, self.n_active - 1)] if self.n_active else places
            known = self.active_ids[rows] == ids if self.n_active else np.zeros(len(ids), bool)
            estimates[known] = self.table[rows[known]]
        return estimates * np.float32(self.status[0])

    def merged(self, others, shares):
        """Weighted mean of this model and others of the same hash functions.

        Sketches are averaged. A feature active in any of the models gets the mean of its
        weights, those of the sketch where it is not active, which are taken out of it; if
        there are too many, the smallest go back.

        Parameters
        ----------
        others : list of SketchedLinear
            The other models.

        shares : ndarray of shape (1 + len(others),)
            What each model counts; they add up to 1.
        """
        models = [self, *others]
        mean = copy.copy(self)
        mean.weights, mean.ids = np.zeros_like(self.weights), np.full_like(self.ids, UNUSED)
        mean.slots, mean.status = self.slots.copy(), np.array([1.0, 0.0, 0.0])
        mean.intercept = sum(
            np.float32(share) * model.intercept for model, share in zip(models, shares, strict=True)
        )
        mean.cells[...] = sum(
            np.float32(share * model.status[0]) * model.cells
            for model, share in zip(models, shares, strict=True)
        )
        ids = np.unique(np.concatenate([model.active_ids for model in models]))
        if self.mode == "mission":
            mean.n_active = 0
            weights = mean._query(ids)
        else:
            weights = np.zeros((len(ids), self.n_outputs), dtype=np.float32)
            for model, share in zip(models, shares, strict=True):
                its_own = np.isin(ids, model.active_ids)
                of_model = np.float32(share) * model.weights_of(ids)
                weights += of_model
                mean._update(ids[~its_own], -of_model[~its_own])
        mean._set_active(ids, weights)
        return mean

    def _set_active(self, ids, weights):
        """Fill the table; what is too much for it goes to the sketch."""
        magnitude = np.abs(weights).max(axis=1, initial=0)
        best = np.argsort(-magnitude, kind="stable")
        capacity = len(self.ids) - 1
        n_kept = self.keep if len(ids) > capacity else len(ids)
        if self.mode == "active":
            self._update(ids[best[n_kept:]], weights[best[n_kept:]])
        kept = np.sort(best[:n_kept])
        self.n_active = n_kept
        self.ids[:n_kept], self.table[...] = ids[kept], weights[kept]
        if n_kept >= self.keep:
            self.status[1] = magnitude[best[self.keep - 1]]
        _active_table.link_all(as_c_integers(self.ids), self.n_active, self.slots, self.seed)

    def _query(self, ids):
        out = np.empty((len(ids), self.n_outputs), dtype=np.float32)
        cells = writable(self.weights[: self.depth * self.width])  # as the kernel wants them
        _count_sketch.query(as_c_integers(ids), cells, self.depth, True, self.seed, False, out, 1)
        return out

    def _update(self, ids, values):
        cells = self.weights[: self.depth * self.width]
        _count_sketch.update(as_c_integers(ids), values, cells, self.depth, True, self.seed, 1)


def as_c_integers(array):
    """Integers as the kernels name them: int, or long long for 64 bits; a view."""
    return array if array.dtype == np.int32 else array.view(np.longlong)
