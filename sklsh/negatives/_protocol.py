"""What a training step asks of a sampler, and what it gets."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sklsh._memory import writable

LOGQ = "logq", "half_logq"  # corrections by the share of steps that look at a class
WEIGHTED = "head_tail", "importance"  # by how many classes a candidate stands for


@dataclass
class Candidates:
    """Classes of one step, shared by the rows of the batch.

    Attributes
    ----------
    ids : ndarray of shape (n,), int32
        Distinct classes.

    positions : ndarray of shape (n_labels,), int32
        Where each label of the batch, in CSR order, stands in `ids`.

    n_exact : int
        The first n_exact ids were chosen, labels or retrieved; the others were drawn.

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

    @property
    def per_row(self):
        """Classes that a row is scored against."""
        return len(self.ids)


@dataclass
class RowCandidates:
    """Classes of one step, for each row of the batch its own.

    Attributes
    ----------
    starts : ndarray of shape (n_batch + 1,), int32
        Row i has the candidates ids[starts[i]:starts[i + 1]].

    ids : ndarray of shape (n,), int32
        Classes, distinct within a row.

    positions : ndarray of shape (n_labels,), int32
        Where each label of the batch, in CSR order, stands among its row's candidates.

    weights, shift : ndarray of shape (n,), float32
        As for :class:`Candidates`.
    """

    starts: np.ndarray
    ids: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    shift: np.ndarray

    @property
    def per_row(self):
        """Classes that a row is scored against, on average."""
        return len(self.ids) / (len(self.starts) - 1)


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
    def draw(self, hidden, Y, output):
        """Choose the classes of one step.

        Parameters
        ----------
        hidden : ndarray of shape (n_batch, width), float32
            Activations that meet the output layer.

        Y : CSR matrix of shape (n_batch, n_classes)
            The labels of each row. All that may be read are its `indptr` and `indices`, int32.

        output : OutputLayer
            Its `weights`, (n_classes, width), and `bias`, (n_classes,).

        Returns
        -------
        candidates : Candidates or RowCandidates
            The classes.
        """

    def note_labels(self, counts):  # noqa: B027, nor go by frequencies
        """Take note of how often each class is a label in the rows to come."""

    def go_on(self, n_steps, place):  # noqa: B027, nor draw, nor keep anything up to date
        """Take up training that has gone so many steps, in one of several places.

        Draws are then others than in other places, and at other steps.
        """

    @property
    def inclusions(self):
        """How often classes were looked at: list of `Inclusion`."""
        return []

    def advance(self, done):  # noqa: B027, nor change on the way
        """Take note of the share of the fit that is done."""

    def refresh(self, output, ids):  # noqa: B027, nor something to keep up to date
        """Take note that the rows `ids` of the output layer have changed."""

    def forget(self):  # noqa: B027, nor has tables
        """Drop what was made from the output layer; it is made again when it is needed."""

    def without_tables(self):
        """Copy that has to make its hash tables again from the output layer."""
        return copy.deepcopy(self)


class Full(Sampler):
    """All classes, every step: exact, at a cost that grows with their number."""

    def __init__(self, n_classes):
        self._ids = np.arange(n_classes, dtype=np.int32)
        self._ones = np.ones(n_classes, dtype=np.float32)
        self._zeros = np.zeros(n_classes, dtype=np.float32)

    def draw(self, hidden, Y, output):
        """All classes."""
        return Candidates(self._ids, Y.indices, len(self._ids), self._ones, self._zeros)


class Counted:
    """Mixin of samplers that count their draws, and how often each class is looked at."""

    def go_on(self, n_steps, place):
        """Take up training that has gone so many steps, in one of several places."""
        self._n_draws = (place << 24) + n_steps

    @property
    def inclusions(self):
        """How often classes were looked at, in a list of one."""
        return [self._inclusion]


class WithTables:
    """Mixin of samplers that retrieve classes through `tables`, a LayerTables."""

    def prepare(self, n_threads):
        """Set up what is needed to draw and is no part of the model."""
        super().prepare(n_threads)
        self.tables.make_writable()

    def go_on(self, n_steps, place):
        """Take up training in one of several places, with tables hashed as seldom as by then."""
        super().go_on(n_steps, place)
        self.tables.go_on(n_steps)

    def refresh(self, output, ids):
        """Take note of the changed rows; they are hashed again when the period is over."""
        self.tables.note_step(ids)

    def without_tables(self):
        """Copy that has to make its hash tables again from the output layer."""
        fresh = copy.deepcopy(self, {id(self.tables.tables): None})
        fresh.forget()
        return fresh

    def forget(self):
        """Drop the tables; they are made again when they are needed."""
        self.tables.forget()

    @property
    def mean_load(self):
        """Mean number of classes in a bucket that holds any."""
        return self.tables.mean_load

    @property
    def table_bytes(self):
        """Bytes of the hash tables."""
        return self.tables.nbytes


def check_labels(labels, n_classes):
    """Raise ValueError unless all labels are classes."""
    if len(labels) and not (0 <= labels.min() and labels.max() < n_classes):
        raise ValueError(f"labels must lie in [0, {n_classes}).")


def one_label_each(Y, seed):
    """A random label of each row of Y, -1 for a row without: (n,) int32."""
    n_labels = np.diff(Y.indptr)
    labels = np.full(len(n_labels), -1, dtype=np.int32)
    has = n_labels > 0
    if n_labels.max(initial=0) > 1:
        place = np.random.default_rng(seed).integers(n_labels[has])
    else:
        place = 0
    labels[has] = Y.indices[Y.indptr[:-1][has] + place]
    return labels


def shift_of(correction, log_share, of_labels):
    """What "logq" or "half_logq" adds to the logits of candidates.

    Parameters
    ----------
    correction : {"logq", "half_logq"}
        Whether to take all of the log of its share off a candidate's logit; or half of that,
        and half of the mean over the labels, so that the level of the logits stays.

    log_share : ndarray of shape (n,), float32
        Log of the share of steps that look at each candidate.

    of_labels : ndarray, float32
        The same for each label of the batch.
    """
    if correction == "logq":
        return -log_share
    level = of_labels.mean() if len(of_labels) else np.float32(0)
    return (log_share + level) / -2


class Inclusion:
    """How often each class was looked at so far.

    A class is looked at because it was chosen (a label, or retrieved), which is counted, or
    because the uniform tail drew it, whose share is known exactly. That matters for the
    many classes that are rarely anything but tail.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    def __init__(self, n_classes):
        self._n_looks = 0
        self._chosen = np.zeros(n_classes, dtype=np.int64)
        self._left_out = None  # counts, where sets leave out any
        self._tail_share = 0.0  # summed over looks

    def note(self, chosen, tail_share=0.0, n_looks=1, left_out=()):
        """Count candidate sets.

        Parameters
        ----------
        chosen : ndarray, int
            The ids chosen, in all the sets.

        tail_share : float, default=0.0
            Sum over the sets of the share of other classes that their tails drew.

        n_looks : int, default=1
            How many sets.

        left_out : ndarray, int, default=()
            Ids that a set could not look at, in all the sets: it does not count for these.
        """
        np.add.at(self._chosen, chosen, 1)
        if len(left_out):
            if self._left_out is None:
                self._left_out = np.zeros_like(self._chosen)
            np.add.at(self._left_out, left_out, 1)
        self._tail_share += tail_share
        self._n_looks += n_looks

    def share(self, ids, tail=None):
        """Share of the sets that each of `ids` was in.

        `tail` is the probability that a tail draws each; None takes what was noted of tails,
        and one class in all for the least, so that logs are finite.
        """
        n_looks = self._n_looks
        if self._left_out is not None:
            n_looks = np.maximum(n_looks - self._left_out[ids], 1)
        chosen = (self._chosen[ids] / n_looks).astype(np.float32)
        if tail is None:
            tail = max(self._tail_share / self._n_looks, 1 / len(self._chosen))
        return chosen + (1 - chosen) * np.asarray(tail, dtype=np.float32)

    def since(self, earlier):
        """What has been noted since an earlier state."""
        noted = copy.copy(self)
        for name in ("_n_looks", "_chosen", "_tail_share"):
            setattr(noted, name, getattr(self, name) - getattr(earlier, name))
        if earlier._left_out is not None:
            noted._left_out = self._left_out - earlier._left_out
        return noted

    def add(self, other):
        """Take note of what another has."""
        self.make_writable()
        self._n_looks += other._n_looks
        self._tail_share += other._tail_share
        self._chosen += other._chosen
        if other._left_out is not None:
            if self._left_out is None:
                self._left_out = np.zeros_like(self._chosen)
            self._left_out += other._left_out

    def make_writable(self):
        """Copy counts that came from a read-only memory map."""
        self._chosen = writable(self._chosen)
        if self._left_out is not None:
            self._left_out = writable(self._left_out)
