"""The sparse-in, wide-out network that the classifiers train, and its training step.

A CSR row is summed over an embedding table, passes any number of dense hidden layers,
and meets one row of output weights for each class:

    hidden = relu(... relu(X E + b) W_1 + b_1 ...)      logits = hidden W.T + c

Widths are padded to whole cache lines. The padding starts at zero and stays there, as its
gradient is zero, so it needs no masks.
"""

import copy

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _losses, _products, _rows, _topk
from sklsh._memory import Scratch, aligned_zeros, padded
from sklsh.optimizers import Parameter

EMBEDDING_SCALE = 0.05  # standard deviation; small, so that the data decide the directions
LOG_PARTITION_MEMORY = 0.98  # weight of the past in the running mean of log sum exp


class OutputLayer:
    """One row of weights and one bias for each class."""

    def __init__(self, n_classes, width, n_slots):
        self.parameter = Parameter(aligned_zeros((n_classes, padded(width))), n_slots)
        self.bias_parameter = Parameter(aligned_zeros((n_classes, 1)), n_slots)

    @property
    def weights(self):
        """(n_classes, padded width) float32."""
        return self.parameter.weights

    @property
    def bias(self):
        """(n_classes,) float32, a view."""
        return self.bias_parameter.weights[:, 0]


class Network:
    """Layers, losses, and one training step.

    Parameters
    ----------
    n_features, n_classes : int
        Sizes of input and output.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers, at least one; the first is the embedding.

    optimizer : Optimizer
        Updates all parameters.

    random_state : numpy.random.RandomState
        Draws the initial weights.

    n_threads : int
        OpenMP threads. Results do not depend on it.
    """

    def __init__(
        self, n_features, n_classes, hidden_layer_sizes, *, optimizer, random_state, n_threads=1
    ):
        n_slots = optimizer.n_slots
        self.sizes = (n_features, *hidden_layer_sizes, n_classes)
        self.optimizer = optimizer
        self.loss = "softmax"
        self.mean_log_partition = 0.0
        self.log_partition_weight = 0.0
        self.embedding = Parameter(
            random_matrix(n_features, hidden_layer_sizes[0], EMBEDDING_SCALE, random_state),
            n_slots,
        )
        self.dense = [
            Parameter(random_matrix(n, m, np.sqrt(2 / n), random_state, padded(n)), n_slots)
            for n, m in zip(hidden_layer_sizes[:-1], hidden_layer_sizes[1:], strict=True)
        ]
        self.biases = [
            Parameter(aligned_zeros((1, padded(n))), n_slots) for n in hidden_layer_sizes
        ]
        self.output = OutputLayer(n_classes, hidden_layer_sizes[-1], n_slots)
        self._prepare(n_threads)

    def _prepare(self, n_threads):
        """Set up what is not part of the model: threads, buffers and look-up tables."""
        self.n_threads = n_threads
        self._scratch = Scratch()
        self._slot = None

    # ---- forward ----

    def hidden(self, X, n_threads=1):
        """Activations of the last hidden layer, (n, padded width) float32."""
        return self._activations(as_batch(X), n_threads)[-1]

    def _activations(self, X, n_threads):
        embedded = np.empty((X.shape[0], self.embedding.weights.shape[1]), dtype=np.float32)
        _rows.embed(
            X.indptr, X.indices, X.data, self.embedding.weights,
            self.biases[0].weights[0], embedded, n_threads,
        )  # fmt: skip
        activations = [np.maximum(embedded, 0, out=embedded)]
        for layer, bias in zip(self.dense, self.biases[1:], strict=True):
            below = activations[-1]
            n_in, n_out = layer.weights.shape
            above = np.empty((len(below), n_out), dtype=np.float32)
            _products.product_nn(below, layer.weights, n_in, above, n_threads)
            above += bias.weights
            activations.append(np.maximum(above, 0, out=above))
        return activations

    def logits(self, X, n_threads=1):
        """Scores of all classes, (n, n_classes) float32: a view of a padded array."""
        hidden, n_classes = self.hidden(X, n_threads), self.sizes[-1]
        scores = np.empty((len(hidden), padded(n_classes)), dtype=np.float32)
        _products.product_nt(hidden, self.output.weights, n_classes, scores, n_threads)
        scores = scores[:, :n_classes]
        scores += self.output.bias
        return scores

    def top_k(self, X, k, n_threads=1):
        """The k classes of largest logit: (ids, logits), best first."""
        hidden = self.hidden(X, n_threads)
        ids = np.empty((len(hidden), k), dtype=np.int32)
        scores = np.empty((len(hidden), k), dtype=np.float32)
        _topk.top_k(hidden, self.output.weights, self.output.bias, ids, scores, n_threads)
        return ids, scores

    # ---- training ----

    def train_step(self, X, Y, row_weight, negatives, learning_rate):
        """Take one step on a batch.

        Parameters
        ----------
        X : csr_array of shape (n_batch, n_features)
            Rows.

        Y : csr_array of shape (n_batch, n_classes)
            Ones at the labels.

        row_weight : ndarray of shape (n_batch,), float32
            Weight of each row in the gradient.

        negatives : sampler
            Chooses the classes to look at, see `sklsh.negatives`.

        learning_rate : float
            Rate of this step.

        Returns
        -------
        loss : float
            Sum over the batch, weighted.

        n_active : int
            Classes looked at.
        """
        X, Y = as_batch(X), as_batch(Y)
        self.optimizer.begin_step(learning_rate)
        activations = self._activations(X, self.n_threads)
        hidden = activations[-1]

        drawn = negatives.draw(hidden, Y.indices, self.output)
        if len(drawn.ids) == 0:  # only labels are looked at, and the batch has none
            return 0.0, 0
        rows = self._gather(drawn)
        delta = self._scratch.floats("delta", len(hidden), padded(len(drawn.ids)))
        _products.product_nt(hidden, rows, len(drawn.ids), delta, self.n_threads)
        loss = self._loss_gradient(delta, Y.indptr, drawn, row_weight)

        d_hidden = np.empty_like(hidden)
        _products.product_nn(delta, rows, len(drawn.ids), d_hidden, self.n_threads)
        self._step_output(drawn, delta, hidden)
        self._step_hidden(X, activations, d_hidden)
        negatives.refresh(self.output, drawn.ids)
        return loss, len(drawn.ids)

    def _gather(self, drawn):
        """Output rows of the candidates; the weights themselves if those are all classes."""
        weights = self.output.weights
        if len(drawn.ids) == len(weights) and drawn.n_exact == len(weights):
            return weights
        rows = self._scratch.floats("rows", len(drawn.ids), weights.shape[1])
        _rows.gather_rows(weights, drawn.ids, rows, self.n_threads)
        return rows

    def _loss_gradient(self, delta, indptr, drawn, row_weight):
        """Turn logits into their gradient, in place; returns the loss."""
        loss = np.empty(len(delta))
        offset = self.output.bias[drawn.ids] + drawn.shift
        if self.loss == "softmax":
            log_partition = np.empty(len(delta))
            offset += np.log(drawn.weights)
            _losses.softmax_loss(
                delta, offset, indptr, drawn.positions, row_weight,
                loss, log_partition, self.n_threads,
            )  # fmt: skip
            if row_weight.any():
                self._note_log_partition(np.average(log_partition, weights=row_weight))
        else:
            _losses.logistic_loss(
                delta, offset, drawn.weights, indptr, drawn.positions, row_weight,
                loss, self.n_threads,
            )  # fmt: skip
        return loss.sum()

    def _step_output(self, drawn, delta, hidden):
        n, width = len(drawn.ids), hidden.shape[1]
        d_rows = self._scratch.floats("d_rows", n, width)
        _products.product_tn(delta, hidden, n, d_rows, self.n_threads)
        d_bias = np.add.reduce(delta[:, :n], axis=0)[:, None]
        self.optimizer.step(self.output.parameter, drawn.ids, d_rows, self.n_threads)
        self.optimizer.step(self.output.bias_parameter, drawn.ids, d_bias, self.n_threads)

    def _step_hidden(self, X, activations, d_hidden):
        """Carry the gradient down through the hidden layers, updating each on the way."""
        only_row = np.zeros(1, dtype=np.int32)
        for layer in range(len(self.dense), -1, -1):
            d_hidden *= activations[layer] > 0
            d_bias = np.add.reduce(d_hidden, axis=0)[None, :]
            self.optimizer.step(self.biases[layer], only_row, d_bias)
            if layer == 0:
                break
            dense, below = self.dense[layer - 1], activations[layer - 1]
            n_in, width = dense.weights.shape
            d_weights = np.empty((n_in, width), dtype=np.float32)
            _products.product_tn(below, d_hidden, n_in, d_weights, self.n_threads)
            d_below = np.empty_like(below)
            _products.product_nt(d_hidden, dense.weights, n_in, d_below, self.n_threads)
            all_rows = np.arange(n_in, dtype=np.int32)
            self.optimizer.step(dense, all_rows, d_weights, self.n_threads)
            d_hidden = d_below
        self.optimizer.step_embedding(self.embedding, self._columns(X), d_hidden, self.n_threads)

    def _columns(self, X):
        """The batch by columns, as `Optimizer.step_embedding` takes it."""
        if self._slot is None:
            self._slot = np.zeros(self.sizes[0], dtype=np.int32)
        nnz = len(X.indices)
        features, rows = np.empty(nnz, dtype=np.int32), np.empty(nnz, dtype=np.int32)
        starts, values = np.empty(nnz + 1, dtype=np.int32), np.empty(nnz, dtype=np.float32)
        n = _rows.transpose_batch(
            X.indptr, X.indices, X.data, self._slot, features, starts, rows, values
        )
        return features[:n], starts, rows, values

    # ---- losses ----

    def _note_log_partition(self, value):
        """Running mean, in which the first values count in full."""
        gain = 1 - LOG_PARTITION_MEMORY
        self.log_partition_weight += gain * (1 - self.log_partition_weight)
        share = gain / self.log_partition_weight
        self.mean_log_partition += share * (value - self.mean_log_partition)

    def start_bias_at_prior(self, label_share):
        """Begin with each class's bias at the log-odds of its share of the rows."""
        share = np.clip(label_share, 1e-7, 1 - 1e-7)
        self.output.bias[:] = np.log(share / (1 - share))

    def switch_to_logistic(self, labels_per_row):
        """Go on with one-vs-rest logistic loss after a softmax.

        A softmax leaves the level of its logits free. The biases are shifted so that the
        sigmoids of a row add up to about the number of labels it has.
        """
        self.loss = "logistic"
        self.output.bias[:] -= np.float32(
            self.mean_log_partition - np.log(max(labels_per_row, 1e-7))
        )

    # ---- what is kept ----

    @property
    def parameters(self):
        """All parameters of the model."""
        output = [self.output.parameter, self.output.bias_parameter]
        return [self.embedding, *self.dense, *self.biases, *output]

    @property
    def coefs(self):
        """Weights without padding, each (fan_in, fan_out), as views."""
        pairs = zip(self.sizes[:-2], self.sizes[1:-1], strict=True)
        hidden = [self.embedding, *self.dense]
        inner = [p.weights[:n, :m] for p, (n, m) in zip(hidden, pairs, strict=True)]
        return [*inner, self.output.weights[:, : self.sizes[-2]].T]

    @property
    def intercepts(self):
        """Biases without padding, as views."""
        inner = [b.weights[0, :n] for b, n in zip(self.biases, self.sizes[1:-1], strict=True)]
        return [*inner, self.output.bias]

    def frozen(self):
        """Copy of the weights as they are now; its optimizer would begin anew."""
        frozen = copy.deepcopy(self, {id(p): p.frozen() for p in self.parameters})
        frozen.optimizer.t = 0
        return frozen

    def release_buffers(self):
        """Give back what only training needs."""
        self._prepare(self.n_threads)

    def make_trainable(self, n_threads):
        """Get ready to train on, after `fit` or from a pickle or read-only memory map."""
        self._prepare(n_threads)
        for parameter in self.parameters:
            parameter.make_trainable(self.optimizer.n_slots)

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k not in ("_scratch", "_slot")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._prepare(self.n_threads)


def bytes_needed(n_features, hidden_layer_sizes, n_classes, n_slots):
    """Bytes of a network's weights and optimizer state."""
    widths = [padded(n) for n in hidden_layer_sizes]
    n_inner = sum(n * m for n, m in zip(widths[:-1], widths[1:], strict=True))
    n_weights = n_features * widths[0] + n_inner + sum(widths) + n_classes * (widths[-1] + 1)
    return 4 * n_weights * (1 + n_slots)


def random_matrix(n_rows, width, scale, random_state, n_padded_rows=None):
    """Normal entries of standard deviation `scale`, zero in the padding."""
    matrix = aligned_zeros((n_padded_rows or n_rows, padded(width)))
    generator = np.random.default_rng(random_state.randint(2**31 - 1))
    block = max(1, (1 << 20) // width)  # no second copy of a table that may be huge
    for first in range(0, n_rows, block):
        last = min(first + block, n_rows)
        draws = generator.standard_normal((last - first, width), dtype=np.float32)
        matrix[first:last, :width] = draws * np.float32(scale)
    return matrix


def as_batch(X):
    """X as CSR with int32 indices, which is what the kernels read."""
    X = X if sp.issparse(X) else sp.csr_array(X)
    if X.indices.dtype != np.int32 or X.indptr.dtype != np.int32:
        if X.nnz > np.iinfo(np.int32).max:
            raise ValueError(
                f"A batch may hold at most {np.iinfo(np.int32).max:,} non-zero values; "
                f"this one holds {X.nnz:,}. Pass fewer rows at a time."
            )
        X = sp.csr_array(
            (X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape
        )
    return X
