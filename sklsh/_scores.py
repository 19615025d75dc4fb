"""How good a network is on rows whose labels are known."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sklsh._batches import as_batch
from sklsh._kernels import _losses, _products
from sklsh._memory import padded

BLOCK_BYTES = 1 << 26  # of logits, or of what meets the output layer, held at once


class PrecisionAtOne:
    """Share of rows whose best class is one of their labels; with one label the accuracy.

    Parameters
    ----------
    X, Y, sample_weight
        The rows, their labels, and their weights in the mean.
    """

    def __init__(self, X, Y, sample_weight):
        self.X, self.sample_weight = X, sample_weight
        # whatever a label weighs in the loss, even nothing, it is right to name it
        self.Y = sp.csr_array((np.ones(Y.nnz, dtype=bool), Y.indices, Y.indptr), shape=Y.shape)

    def __call__(self, network):
        """Score of the network as it is."""
        best, _ = network.top_k(self.X, 1, network.n_threads)
        right = np.asarray(self.Y[np.arange(len(best)), best[:, 0]]).ravel()
        return float(np.average(right, weights=self.sample_weight))


class LogLikelihood:
    """Mean logarithm of the probability of a row's labels, each of which counts alike.

    Parameters
    ----------
    X, Y, sample_weight
        The rows, their labels, and their weights in the mean.
    """

    def __init__(self, X, Y, sample_weight):
        ones = sp.csr_array((np.ones(Y.nnz), Y.indices, Y.indptr), shape=Y.shape)
        self.X, self.Y, self.sample_weight = X, mean_over_labels(ones), sample_weight

    def __call__(self, network):
        """Score of the network as it is."""
        losses, _ = exact_losses(network, self.X, self.Y, network.n_threads)
        return -float(np.average(losses, weights=self.sample_weight))


def mean_over_labels(Y):
    """Rows of labels whose weights add up to 1, if they were ones: CSR of float32."""
    n_labels = np.diff(Y.indptr)
    weights = Y.data / np.repeat(n_labels, n_labels)
    return sp.csr_array((weights.astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)


def exact_losses(network, X, Y, n_threads):
    """Cross-entropy of each row under the softmax over all classes, and its log sum exp.

    Parameters
    ----------
    network : Network
        What scores the rows.

    X : ndarray or csr_array of shape (n, n_features)
        Rows.

    Y : csr_array of shape (n, n_classes), float32
        Weights of the labels.

    n_threads : int
        OpenMP threads.

    Returns
    -------
    losses, log_partition : ndarray of shape (n,), float64
        In blocks of rows, so that no array of all logits is built.
    """
    n, n_classes = Y.shape
    weights, bias = network.output.weights, network.output.bias
    losses, log_partition = np.empty(n), np.empty(n)
    block = min(n, max(1, BLOCK_BYTES // (4 * padded(max(network.sizes[-2:])))))
    logits = np.empty((block, padded(n_classes)), dtype=np.float32)
    for rows in gen_batches(n, block):
        hidden, labels = network.hidden(X[rows], n_threads), as_batch(Y[rows])
        scores = logits[: len(hidden)]
        _products.product_nt(hidden, weights, n_classes, scores, n_threads)
        _losses.softmax_loss(
            scores, bias, labels.indptr, labels.indices, labels.data,
            np.ones(len(hidden), dtype=np.float32), losses[rows], log_partition[rows], n_threads,
        )  # fmt: skip
    return losses, log_partition
