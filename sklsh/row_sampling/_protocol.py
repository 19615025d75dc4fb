"""What a row sampler is: scores of how much each row still teaches."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

LOOK_UP = 256  # multiply-adds that take as long as to find and read a number somewhere in memory


class Pass(NamedTuple):
    """What a call to fit or partial_fit goes over.

    Attributes
    ----------
    X : ndarray or csr_array of shape (n, n_features), float32
        Rows.

    targets : ndarray of shape (n,)
        Numbers, or of classes their numbers.

    score : callable
        Exact scores of some of the rows, given their numbers, by the model as it is.

    n_threads : int
        OpenMP threads. Results do not depend on it.
    """

    X: object
    targets: np.ndarray
    score: object
    n_threads: int

    @property
    def values_per_row(self):
        """Mean number of values in a row that are multiplied by."""
        return self.X.nnz / self.X.shape[0] if sp.issparse(self.X) else self.X.shape[1]


class Observed(NamedTuple):
    """What steps have found out about the rows they took.

    Attributes
    ----------
    scores : ndarray of shape (n,)
        How much each row taught: the norm of its gradient by the scores, or its loss.

    losses : ndarray of shape (n,)
        Their losses.
    """

    scores: np.ndarray
    losses: np.ndarray


class RowSampler(ABC):
    """Tells how much each row of a data set still teaches.

    Whatever it tells, the draws by it are weighted so that the gradient stays unbiased;
    the better it tells, the less the gradient varies.
    """

    def begin(self, data):
        """Turn to the rows of a `Pass`."""
        self._data = data

    def end(self):
        """Let go of the rows; what was learnt stays."""
        self._data = None

    def __getstate__(self):
        return vars(self) | {"_data": None}  # a copy has no rows

    @abstractmethod
    def scores(self, rows):
        """Non-negative scores of the rows with these numbers; None while nothing is known."""

    def expected(self, rows, observed):
        """What `scores` says of rows for which steps have `Observed` the true ones."""
        return self.scores(rows)

    @abstractmethod
    def note(self, rows, observed, batch_size):
        """Learn from what steps of so many rows have `Observed`, in their order."""

    def put_together(self, others, shares):  # noqa: B027, for that is so of most
        """Take over what copies of it have learnt in several places, each counting its share.

        By default what is learnt stays in its place.
        """

    @property
    def nbytes(self):
        """Bytes of what was learnt."""
        return 0

    @abstractmethod
    def multiply_adds(self, step):
        """Of scoring a row, given those of training on it."""

    def learning_multiply_adds(self):
        """Of learning from a row, and of what is done once for each."""
        return 0


class Uniform(RowSampler):
    """All rows alike: plain stochastic gradient descent."""

    def scores(self, rows):
        """Nothing is known."""
        return None

    def note(self, rows, observed, batch_size):
        """Nothing is learnt."""

    def multiply_adds(self, step):
        """None."""
        return 0


class Exact(RowSampler):
    """The score itself, by a forward pass.

    References
    ----------
    A. Katharopoulos and F. Fleuret, "Not all samples are created equal: deep learning with
    importance sampling", ICML 2018. arXiv:1803.00942
    """

    def scores(self, rows):
        """Scores by the model as it is."""
        return self._data.score(rows)

    def expected(self, rows, observed):
        """What was observed, which spares the forward pass."""
        return observed.scores

    def note(self, rows, observed, batch_size):
        """The model itself is what remembers."""

    def multiply_adds(self, step):
        """A forward pass is a third of a step."""
        return step / 3


class Stale(RowSampler):
    """The score of each row when a step last came by it; of others the mean.

    The table is one call's: rows of another call of `partial_fit` are others.

    References
    ----------
    I. Loshchilov and F. Hutter, "Online batch selection for faster training of neural
    networks", 2015. arXiv:1511.06343
    """

    def begin(self, data):
        """Turn to other rows, none of which has a score yet."""
        super().begin(data)
        self._table = np.full(data.X.shape[0], np.nan, dtype=np.float32)

    def end(self):
        """Let go of the rows and of their scores."""
        super().end()
        self._table = None

    def __getstate__(self):
        return super().__getstate__() | {"_table": None}

    def scores(self, rows):
        """What the table holds."""
        scores = self._table[rows].astype(np.float64)
        unseen = np.isnan(scores)
        if unseen.all():
            return None
        scores[unseen] = scores[~unseen].mean()
        return scores

    def note(self, rows, observed, batch_size):
        """Put scores in the table."""
        self._table[rows] = observed.scores

    @staticmethod
    def bytes_needed(n):
        """Bytes of the table of n rows."""
        return 4 * n

    def multiply_adds(self, step):
        """One look-up."""
        return LOOK_UP
