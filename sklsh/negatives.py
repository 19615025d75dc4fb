"""Negatives: which classes a training step looks at, and what each stands for.

A sampler's `draw` returns the :class:`Candidates` that a batch shares. They begin with
the batch's labels, so every row finds its own among them, and every other row's labels
are negatives for it at no cost. After the step, `refresh` is told which rows of the
output layer have changed.
"""

import math
from dataclasses import dataclass

import numpy as np

from sklsh._kernels import _candidates
from sklsh.lsh import HashTables, SimHasher, auto_n_bits

__all__ = ["Candidates", "Full", "InBatch", "LSH", "Uniform"]


@dataclass
class Candidates:
    """Classes of one step.

    Attributes
    ----------
    ids : ndarray of shape (n,), int32
        Distinct classes.

    positions : ndarray of shape (n_labels,), int32
        Where each label of the batch, in CSR order, stands in `ids`.

    n_exact : int
        The first n_exact ids were chosen, the others drawn uniformly from the rest.

    tail_weight : float
        How many classes each of the others stands for; 1 without correction.
    """

    ids: np.ndarray
    positions: np.ndarray
    n_exact: int
    tail_weight: float

    @property
    def weights(self):
        """How many classes each candidate stands for, (n,) float32."""
        weights = np.ones(len(self.ids), dtype=np.float32)
        weights[self.n_exact :] = self.tail_weight
        return weights


class Full:
    """All classes, every step: exact, at a cost that grows with their number."""

    def __init__(self, n_classes):
        self.ids = np.arange(n_classes, dtype=np.int32)

    def draw(self, hidden, labels, output):
        """All classes."""
        return Candidates(self.ids, labels, len(self.ids), 1.0)

    def refresh(self, output, ids):
        """Nothing to keep up to date."""


class InBatch:
    """The labels of the batch, and nothing else.

    Classes are seen as negatives as often as they are labels, so what a softmax over them
    learns is log p(y | x) - log p(y): popular classes rank lower than they should.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    def __init__(self, n_classes):
        self._position = np.zeros(n_classes, dtype=np.int32)
        self._ids = np.zeros(n_classes, dtype=np.int32)

    def draw(self, hidden, labels, output):
        """The batch's distinct labels."""
        positions, n = self._begin(labels)
        return self._finish(positions, n, n, 1.0)

    def refresh(self, output, ids):
        """Nothing to keep up to date."""

    def _begin(self, labels):
        positions = np.empty(len(labels), dtype=np.int32)
        n = _candidates.take_labels(labels, self._position, self._ids, positions)
        return positions, n

    def _finish(self, positions, n_exact, n, tail_weight):
        return Candidates(self._ids[:n].copy(), positions, n_exact, tail_weight)


class Uniform(InBatch):
    """The labels of the batch and a uniform draw from all other classes.

    With the head-tail correction a drawn class counts for (C - n_exact) / n_drawn classes:
    the softmax's sum over all C classes is then estimated without bias, whatever the
    exact part holds, because the draw does not depend on the logits.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    n_active : int
        Classes drawn beside the batch's labels.

    correction : {"head_tail", "none"}
        Whether drawn classes stand for those that were not drawn.

    seed : int
        Seed of the draws.
    """

    def __init__(self, n_classes, n_active, correction, seed):
        super().__init__(n_classes)
        self.n_active = n_active
        self.correction = correction
        self.seed = seed
        self.n_drawn = 0  # batches so far: each has draws of its own

    def draw(self, hidden, labels, output):
        """Labels, then the uniform tail."""
        positions, n_labels = self._begin(labels)
        return self._with_tail(positions, n_labels, n_labels + self.n_active)

    def _with_tail(self, positions, n_exact, wanted):
        n_classes = len(self._position)
        n = min(wanted, n_classes)
        if 4 * n > 3 * n_classes:  # nearly all anyway: then all, and the sum is exact
            n = n_classes
        self.n_drawn += 1
        seed = (self.seed << 32) + self.n_drawn
        if n == n_classes:
            missing = np.ones(n_classes, dtype=bool)
            missing[self._ids[:n_exact]] = False
            self._ids[n_exact:] = np.flatnonzero(missing)
        else:
            _candidates.take_uniform(seed, self._position, self._ids, n_exact, n)
        weight = 1.0
        if self.correction == "head_tail" and n > n_exact:
            weight = (n_classes - n_exact) / (n - n_exact)
        return self._finish(positions, n_exact, n, weight)


class LSH(Uniform):
    """Labels, classes retrieved by hashing and re-ranked by their logit, a uniform tail.

    The rows of the output layer are hashed into tables. Each row of the batch looks up its
    buckets, ranks what it finds by the exact logit, and the rows take turns, best first,
    until the retrieved share is full. What they leave over, the uniform tail fills.

    Parameters
    ----------
    n_classes, n_active, correction, seed
        As for :class:`Uniform`.

    width : int
        Width of the last hidden layer.

    n_bits : int or "auto"
        Bits of a code; "auto" leaves about `bucket_size` classes in a bucket.

    n_tables : int
        Hash tables.

    bucket_size : int
        Wanted classes in a bucket; a look-up reads at most a third more.

    rehash_every : int
        Batches until changed rows are hashed again for the first time.

    rehash_growth : float
        Factor by which that period grows each time; 1 keeps it.

    tail : float, default=0.25
        Share of `n_active` drawn uniformly.

    n_threads : int, default=1
        OpenMP threads.

    Attributes
    ----------
    tables : HashTables
        The tables, over the rows of the output layer that are not zero.

    Notes
    -----
    The design is SLIDE's (arXiv:1903.03129), with three changes that measurements asked
    for: the batch shares one set, hits are re-ranked, and a tail is mixed in.
    """

    def __init__(
        self, n_classes, n_active, correction, seed, *, width, n_bits, n_tables,
        bucket_size, rehash_every, rehash_growth, tail=0.25, n_threads=1,
    ):  # fmt: skip
        super().__init__(n_classes, n_active, correction, seed)
        self.n_bits = auto_n_bits(n_classes, bucket_size) if n_bits == "auto" else n_bits
        self.bucket_cap = math.ceil(bucket_size * 4 / 3)
        self.tail = tail
        self.n_threads = n_threads
        self.period = rehash_every
        self.rehash_growth = rehash_growth
        self.hasher = SimHasher(width, self.n_bits, n_tables, np.random.RandomState(seed))
        self.tables = HashTables(n_classes, self.n_bits, n_tables)
        self._changed = np.ones(n_classes, dtype=bool)
        self._batches_left = 0

    def draw(self, hidden, labels, output):
        """Labels, then re-ranked hits, then the uniform tail."""
        if self._batches_left <= 0:
            self._rehash(output)
        positions, n_labels = self._begin(labels)
        wanted = n_labels + self.n_active
        n_head = n_labels + round((1 - self.tail) * self.n_active)
        best, _, found = self.tables.best(
            self.hasher.codes(hidden, n_threads=self.n_threads),
            hidden,
            output.weights,
            output.bias,
            k=self._depth(len(hidden)),
            bucket_cap=self.bucket_cap,
            salt=self.n_drawn,
            n_threads=self.n_threads,
        )
        n_exact = _candidates.take_ranked(
            best, found, self._position, self._ids, n_labels, min(n_head, len(self._position))
        )
        return self._with_tail(positions, n_exact, wanted)

    def refresh(self, output, ids):
        """Remember the changed rows; they are hashed again when the period is over."""
        self._changed[ids] = True
        self._batches_left -= 1

    def _rehash(self, output):
        rows = np.flatnonzero(self._changed).astype(np.int32)
        codes = self.hasher.codes(output.weights, rows, self.n_threads)
        self.tables.rebuild(codes, rows, self.n_threads)
        self._changed[:] = False
        self._batches_left = self.period
        self.period = math.ceil(self.period * self.rehash_growth)

    def _depth(self, n_batch):
        """Places in each row's ranking: several times its turn, as rows find the same."""
        return int(np.clip(8 * self.n_active // n_batch, 16, 64))
