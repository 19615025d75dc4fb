"""Votes of the nearest training rows, and how much they should count beside scores.

What is blended are lists of labels with their scores, whatever system made them.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _votes

WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
DEPTHS = (1, 3, 5)  # precision at these places, averaged, is what a weight is judged by
NEAREST = 0.02  # distance, 1 - cosine, added to each: votes of duplicates stay finite


@dataclass
class Electorate:
    """Rows that may vote: where to find the nearest, what they vote for, what they weigh.

    Attributes
    ----------
    neighbors : Postings, DenseRows or HashedRows
        Finds the nearest rows.

    labels : csr_array of shape (n_rows, n_classes)
        Labels of the rows.

    row_weight : ndarray of shape (n_rows,), float32, or None
        What a row's vote counts; None where all count alike.

    n_neighbors : int
        Rows that vote for one query.
    """

    neighbors: object
    labels: sp.csr_array
    row_weight: np.ndarray | None
    n_neighbors: int

    @property
    def nbytes(self):
        """Bytes of all that is kept."""
        n_bytes = self.neighbors.nbytes + self.labels.indptr.nbytes + self.labels.indices.nbytes
        return n_bytes + (0 if self.row_weight is None else self.row_weight.nbytes)

    def poll(self, X, n_threads):
        """The rows that vote for each row of X: a `Poll`.

        Their shares go by cosine**2 / (1.02 - cosine) and sum to 1, if there are any.
        """
        k = min(self.n_neighbors, self.labels.shape[0])
        rows, cosines = self.neighbors.nearest(X, k, n_threads)
        shares = np.square(cosines) / (1 + np.float32(NEAREST) - cosines)
        if self.row_weight is not None:
            shares *= self.row_weight[rows]  # where rows is -1, shares is 0
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > 0)
        return Poll(rows, shares, self.labels)


@dataclass
class Poll:
    """The voters of each of n queries.

    Attributes
    ----------
    rows : ndarray of shape (n, n_neighbors), int32
        Who votes; -1 for nobody.

    shares : ndarray of shape (n, n_neighbors), float32
        What each vote is worth.

    labels : csr_array of shape (n_rows, n_classes)
        What each row votes for.
    """

    rows: np.ndarray
    shares: np.ndarray
    labels: sp.csr_array

    def blend(self, ids, scores, weight, k, n_threads=1):
        """The k labels of largest score + weight * vote.

        A label that neighbours have and the list lacks gets the least score of the list,
        which is no less than its own.

        Parameters
        ----------
        ids : ndarray of shape (n, m), int32
            Labels with the largest scores; -1 where there are fewer than m.

        scores : ndarray of shape (n, m), float32
            Their scores, in any order.

        weight : float
            What all votes together count.

        k, n_threads : int
            Labels wanted, and OpenMP threads.

        Returns
        -------
        ids, scores : ndarray of shape (n, k)
            Best first, ties to the smaller id; -1 and -inf where there are fewer than k.
        """
        best = np.empty((len(ids), k), dtype=np.int32)
        blended = np.empty((len(ids), k), dtype=np.float32)
        _votes.blend(
            ids, scores, self.rows, self.shares,
            self.labels.indptr, self.labels.indices, weight,
            np.zeros((n_threads, self.labels.shape[1]), dtype=np.float32), best, blended,
            n_threads,
        )  # fmt: skip
        return best, blended


def voting_labels(Y):
    """Labels as the kernel takes them: indices of 32 bits, row starts of 64."""
    labels = sp.csr_array(Y)
    labels.data = np.broadcast_to(np.uint8(1), labels.nnz)  # all ones: takes no memory
    labels.indices, labels.indptr = labels.indices.astype(np.int32), labels.indptr.astype(np.intp)
    return labels


def precision_of_weights(poll, ids, scores, truth, n_threads=1):
    """What the blend is worth at each of WEIGHTS.

    Parameters
    ----------
    poll : Poll
        Voters of n held-out rows.

    ids, scores : ndarray of shape (n, m)
        Labels with the largest scores of each row, as for `Poll.blend`.

    truth : csr_array of shape (n, n_classes)
        True labels, sorted.

    n_threads : int
        OpenMP threads.

    Returns
    -------
    precision : ndarray of shape (n, n_weights)
        Of each row: the mean of the precision at 1, 3 and 5, as far as there are so many
        labels; at 1 alone where no row has more than one.
    """
    n, n_classes = truth.shape
    most = n_classes if np.diff(truth.indptr).max() > 1 else 1
    depths = [k for k in DEPTHS if k <= most]
    rows = np.repeat(np.arange(n), depths[-1])
    precision = np.empty((n, len(WEIGHTS)))
    for i, weight in enumerate(WEIGHTS):
        best, _ = poll.blend(ids, scores, weight, depths[-1], n_threads)
        hits = (truth[rows, best.ravel()].reshape(n, -1) > 0) & (best >= 0)
        precision[:, i] = np.mean([hits[:, :k].mean(axis=1) for k in depths], axis=0)
    return precision


def choose_weight(precision, row_weight):
    """The best of WEIGHTS: (weight, mean precision of each).

    It is 0 unless another gains over it more than 1.5 times the standard error of that gain;
    ties go to the smaller weight.

    Parameters
    ----------
    precision : ndarray of shape (n, n_weights)
        Of each held-out row at each of the weights, the first of which is 0.

    row_weight : ndarray of shape (n,)
        What each row counts.
    """
    share = row_weight / row_weight.sum()
    curve = np.round(share @ precision, 12)  # so that ties are ties
    best = int(np.argmax(curve))
    gains = precision[:, best] - precision[:, 0]
    gain, n_rows = share @ gains, 1 / np.square(share).sum()
    if n_rows < 2:  # one row knows nothing of its error
        return WEIGHTS[0], curve
    variance = np.square(share) @ np.square(gains - gain) * n_rows / (n_rows - 1)
    return WEIGHTS[best if gain > 1.5 * np.sqrt(variance) else 0], curve
