"""Negatives: which classes a training step looks at, and what each stands for.

A sampler's `draw` returns the :class:`Candidates` that a batch shares. They begin with
the batch's labels, so every row finds its own among them, and every other row's labels
are negatives for it at no cost. After the step, `refresh` is told which rows of the
output layer have changed.
"""

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sklsh._hashing import SimHasher, auto_n_bits
from sklsh._kernels import _candidates
from sklsh._memory import writable
from sklsh._tables import HashTables

__all__ = ["Candidates", "Full", "InBatch", "LSH", "Sampler", "Uniform"]


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

    weights : ndarray of shape (n,), float32
        How many classes each candidate stands for in the sum over classes.

    shift : ndarray of shape (n,), float32
        What is added to each logit while training.
    """

    ids: np.ndarray
    positions: np.ndarray
    n_exact: int
    weights: np.ndarray
    shift: np.ndarray


class Sampler(ABC):
    """What a training step asks of a sampler.

    Attributes
    ----------
    mean_load : float
        Mean number of classes in a hash bucket that holds any; 0 without hash tables.

    table_bytes : int
        Bytes of the hash tables; 0 without.
    """

    mean_load = 0.0
    table_bytes = 0

    def prepare(self, n_threads):  # noqa: B027, not all have something to set up
        """Set up, with this many OpenMP threads, what is needed to draw."""

    @abstractmethod
    def draw(self, hidden, labels, output):
        """Choose the classes of one step.

        Parameters
        ----------
        hidden : ndarray of shape (n_batch, width), float32
            Activations that meet the output layer.

        labels : ndarray of shape (n_labels,), int32
            Labels of the batch, in CSR order, in [0, n_classes).

        output : OutputLayer
            Its `weights`, (n_classes, width), and `bias`, (n_classes,).

        Returns
        -------
        candidates : Candidates
            The classes.
        """

    def refresh(self, output, ids):  # noqa: B027, nor something to keep up to date
        """Take note that the rows `ids` of the output layer have changed."""


class Full(Sampler):
    """All classes, every step: exact, at a cost that grows with their number."""

    def __init__(self, n_classes):
        self._ids = np.arange(n_classes, dtype=np.int32)
        self._ones = np.ones(n_classes, dtype=np.float32)
        self._zeros = np.zeros(n_classes, dtype=np.float32)

    def draw(self, hidden, labels, output):
        """All classes."""
        return Candidates(self._ids, labels, len(self._ids), self._ones, self._zeros)


class InBatch(Sampler):
    """The labels of the batch, and nothing else.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    correction : {"logq", "head_tail", "none"}
        What makes up for the classes that are not looked at.

        "logq" takes from each logit the log of the share of steps that look at its class.
        A class rarely looked at is rarely told that it is wrong, so its logit comes out too
        large by that much; the shift makes up for it. That is exact where the choice does
        not depend on the row, as in uniform draws; for retrieved classes, which are looked
        at where they matter, their average share is an approximation.
        "head_tail" weighs a uniformly drawn class by how many it stands for: the softmax's
        sum over all classes is then estimated without bias, whatever the exact part holds,
        because the draw does not depend on the logits. Without a uniform tail it changes
        nothing. "none" leaves logits as they come.
    """

    def __init__(self, n_classes, correction):
        self.n_classes = n_classes
        self.correction = correction
        self.n_threads = 1
        self._position = None
        self._ids = None
        self._n_draws = 0
        self._exact_draws = np.zeros(n_classes, dtype=np.int32)
        self._tail_share = 0.0  # summed over draws

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        self.n_threads = n_threads
        if self._position is None:
            self._position = np.zeros(self.n_classes, dtype=np.int32)
            self._ids = np.zeros(self.n_classes, dtype=np.int32)
        self._exact_draws = writable(self._exact_draws)

    def draw(self, hidden, labels, output):
        """The batch's distinct labels."""
        positions, n = self._begin(labels)
        return self._finish(positions, n, n)

    def _begin(self, labels):
        if self._position is None:
            self.prepare(self.n_threads)
        if len(labels) and not (0 <= labels.min() and labels.max() < self.n_classes):
            raise ValueError(f"labels must lie in [0, {self.n_classes}).")
        self._n_draws += 1
        positions = np.empty(len(labels), dtype=np.int32)
        n = _candidates.take_labels(labels, self._position, self._ids, positions)
        return positions, n

    def _finish(self, positions, n_exact, n):
        """Candidates ids[:n], of which the last n - n_exact were drawn uniformly."""
        ids = self._ids[:n].copy()
        weights = np.ones(n, dtype=np.float32)
        shift = np.zeros(n, dtype=np.float32)
        tail_share = (n - n_exact) / (self.n_classes - n_exact) if n > n_exact else 0.0
        if self.correction == "head_tail" and n > n_exact:
            weights[n_exact:] = 1 / tail_share
        elif self.correction == "logq":
            self._exact_draws[ids[:n_exact]] += 1
            self._tail_share += tail_share
            shift -= np.log(self._inclusion(ids))
        return Candidates(ids, positions, n_exact, weights, shift)

    def _inclusion(self, ids):
        """Share of the draws so far in which each class was looked at.

        The tail's part is known exactly, which matters for the many classes that are
        rarely anything but tail. One class in all is its least, so that logs are finite.
        """
        exact = self._exact_draws[ids] / np.float32(self._n_draws)
        tail = np.float32(max(self._tail_share / self._n_draws, 1 / self.n_classes))
        return exact + (1 - exact) * tail

    def __getstate__(self):
        return vars(self) | {"_position": None, "_ids": None}


class Uniform(InBatch):
    """The labels of the batch and a uniform draw from all other classes.

    Parameters
    ----------
    n_classes, correction
        As for :class:`InBatch`.

    n_active : int
        Classes drawn beside the batch's labels.

    seed : int
        Seed of the draws.
    """

    def __init__(self, n_classes, correction, *, n_active, seed):
        super().__init__(n_classes, correction)
        self.n_active = n_active
        self.seed = seed

    def draw(self, hidden, labels, output):
        """Labels, then the uniform tail."""
        positions, n_labels = self._begin(labels)
        return self._with_tail(positions, n_labels, n_labels + self.n_active)

    def _with_tail(self, positions, n_exact, wanted):
        n_classes = self.n_classes
        n = min(wanted, n_classes)
        if 4 * n > 3 * n_classes:  # nearly all anyway: then all, and the sum is exact
            n = n_classes
            missing = np.ones(n_classes, dtype=bool)
            missing[self._ids[:n_exact]] = False
            self._ids[n_exact:] = np.flatnonzero(missing)
        else:
            seed = (self.seed << 32) + self._n_draws
            _candidates.take_uniform(seed, self._position, self._ids, n_exact, n)
        return self._finish(positions, n_exact, n)


class LSH(Uniform):
    """Labels, classes retrieved by hashing and re-ranked by their logit, a uniform tail.

    The rows of the output layer are hashed into tables. Each row of the batch looks up its
    buckets, ranks what it finds by the exact logit, and the rows take turns, best first,
    until the retrieved share is full. What they leave over, the uniform tail fills.

    Parameters
    ----------
    n_classes, correction, n_active, seed
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

    Attributes
    ----------
    tables : HashTables
        The tables, over the rows of the output layer that are not zero.

    Notes
    -----
    The design is SLIDE's (arXiv:1903.03129), with three changes: the batch shares one
    set, hits are re-ranked by their exact logit, and a uniform tail is mixed in.
    """

    def __init__(
        self, n_classes, correction, *, n_active, seed, width, n_bits, n_tables,
        bucket_size, rehash_every, rehash_growth, tail=0.25,
    ):  # fmt: skip
        super().__init__(n_classes, correction, n_active=n_active, seed=seed)
        self.n_bits = auto_n_bits(n_classes, bucket_size) if n_bits == "auto" else n_bits
        self.bucket_cap = math.ceil(bucket_size * 4 / 3)
        self.tail = tail
        self.period = rehash_every
        self.rehash_growth = rehash_growth
        self.hasher = SimHasher(width, self.n_bits, n_tables, np.random.RandomState(seed))
        self.tables = HashTables(n_classes, self.n_bits, n_tables)
        self._changed = np.ones(n_classes, dtype=bool)
        self._batches_left = 0

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        super().prepare(n_threads)
        self._changed = writable(self._changed)

    def draw(self, hidden, labels, output):
        """Labels, then re-ranked hits, then the uniform tail."""
        positions, n_labels = self._begin(labels)
        if self._batches_left <= 0:
            self._rehash(output)
        wanted = n_labels + self.n_active
        n_head = n_labels + round((1 - self.tail) * self.n_active)
        best, _, found = self.tables.best(
            self.hasher.codes(hidden, n_threads=self.n_threads),
            hidden,
            output.weights,
            output.bias,
            k=self._depth(len(hidden)),
            bucket_cap=self.bucket_cap,
            salt=self._n_draws,
            n_threads=self.n_threads,
        )
        n_exact = _candidates.take_ranked(
            best, found, self._position, self._ids, n_labels, min(n_head, self.n_classes)
        )
        return self._with_tail(positions, n_exact, wanted)

    def refresh(self, output, ids):
        """Take note of the changed rows; they are hashed again when the period is over."""
        self._changed[ids] = True
        self._batches_left -= 1

    def _rehash(self, output):
        rows = np.flatnonzero(self._changed).astype(np.int32)
        codes = self.hasher.codes(output.weights, rows, self.n_threads)
        self.tables.rebuild(codes, rows, self.n_threads)
        self._changed[:] = False
        self._batches_left = round(self.period)
        self.period = min(self.period * self.rehash_growth, sys.maxsize)

    @property
    def mean_load(self):
        """Mean number of classes in a bucket that holds any."""
        return self.tables.mean_load

    @property
    def table_bytes(self):
        """Bytes of the hash tables."""
        return self.tables.nbytes

    def _depth(self, n_batch):
        """Places in each row's ranking: several times its turn, as rows find the same."""
        return int(np.clip(4 * self.n_active // n_batch, 16, 64))
