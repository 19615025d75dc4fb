"""The sparse-in, wide-out network that the classifiers train, and its training step.

A CSR row is summed over an embedding table, passes any number of dense hidden layers,
and meets one row of output weights for each class:

    hidden = relu(... relu(X E + b) W_1 + b_1 ...)      logits = head(hidden) W.T + c

Without hidden layers the rows themselves meet the output layer. Widths are padded to whole
cache lines. The padding starts at zero and stays there, as its gradient is zero, so it needs
no masks.
"""

import copy

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sklsh._batches import Columns, as_batch
from sklsh._head import Head
from sklsh._kernels import _layers, _products, _rows
from sklsh._memory import aligned_zeros, padded
from sklsh._output import OutputLayer
from sklsh._storage import STORAGE
from sklsh.optimizers import Parameter, slot_widths

ROWS_AT_ONCE = 4096  # in prediction; enough to keep all threads busy
BLOCK_BYTES = 1 << 26  # of them at most, which are dense and wide without hidden layers
EMBEDDING_SCALE = 0.05  # standard deviation; small, so that the data decide the directions
ONLY_ROW = np.zeros(1, dtype=np.int32)  # of a bias


class Network:
    """Layers, losses, and one training step.

    Parameters
    ----------
    n_features, n_classes : int
        Sizes of input and output.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers, the first of which is the embedding; none for a linear
        model, of which batches are dense.

    optimizer : Optimizer
        Updates all parameters.

    random_state : numpy.random.RandomState
        Draws the initial weights.

    dtype : {"float32", "bfloat16"}
        How embedding and output weights are stored; the arithmetic is in float32.

    product_dtype : {"float32", "int8"}
        What the products of the output layer's steps are made in, see `OutputLayer`.

    n_threads : int
        OpenMP threads. Results do not depend on it.

    head : Head
        What activations pass before they meet the output layer.

    random_output : bool
        Whether the output layer's weights begin at random, as rows of a fixed length always
        do, and not at zero.
    """

    def __init__(
        self, n_features, n_classes, hidden_layer_sizes, *,
        optimizer, random_state, dtype="float32", product_dtype="float32", n_threads=1,
        head=None, random_output=False,
    ):  # fmt: skip
        self.sizes = (n_features, *hidden_layer_sizes, n_classes)
        self.optimizer = optimizer
        self.head = head or Head()
        self.embedding = None
        if hidden_layer_sizes:
            self.embedding = Parameter.random(
                n_features, hidden_layer_sizes[0], EMBEDDING_SCALE, random_state, optimizer, dtype
            )
        seed = self.embedding.seed if hidden_layer_sizes else random_state.randint(2**31 - 1)
        self.dense = [
            Parameter.random(n, m, np.sqrt(2 / n), random_state, optimizer, n_rows=padded(n))
            for n, m in zip(hidden_layer_sizes[:-1], hidden_layer_sizes[1:], strict=True)
        ]
        self.biases = [
            Parameter.zeros((1, padded(n)), optimizer, seed=seed + 2 + i, width=n)
            for i, n in enumerate(hidden_layer_sizes)
        ]
        self.output = OutputLayer(
            n_classes, self.sizes[-2], optimizer, dtype,
            seed=seed + 1, product_dtype=product_dtype, unit_rows=self.head.normalize,
            random_state=random_state if random_output or self.head.normalize else None,
        )  # fmt: skip
        self._prepare(n_threads)

    def _prepare(self, n_threads):
        """Set up what is not part of the model: threads and buffers."""
        self.n_threads = n_threads
        self._columns = Columns(self.sizes[0])

    # ---- forward ----

    def hidden(self, X, n_threads=1):
        """What meets the output layer, (n, padded width) float32."""
        return self.head.apply(self._all_hidden(X, n_threads)[-1])

    def row_blocks(self, n_rows):
        """Slices of so many rows, to pass through `hidden` at a time."""
        n_at_once = BLOCK_BYTES // (4 * self.output.weights.shape[1])
        return gen_batches(n_rows, max(1, min(n_at_once, ROWS_AT_ONCE)))

    def silent_units(self, X, n_threads=1):
        """Number of hidden units that are zero for all rows of X."""
        layers = zip(self._all_hidden(X, n_threads), self.sizes[1:-1], strict=False)
        return sum(int(n - layer[:, :n].any(axis=0).sum()) for layer, n in layers)

    def _all_hidden(self, X, n_threads):
        X = as_batch(X)
        if self.embedding is None:
            return [dense_rows(X)]
        embedded = self._empty_embedded(X)
        _rows.embed(X.indptr, X.indices, X.data, *self._embedding, embedded, n_threads, relu=True)
        return self._activations(embedded, n_threads)

    @property
    def _embedding(self):
        """Weights and bias of the first layer."""
        return self.embedding.weights, self.biases[0].weights[0]

    def _empty_embedded(self, X):
        return np.empty((X.shape[0], self.embedding.weights.shape[1]), dtype=np.float32)

    def _activations(self, embedded, n_threads, dropout=0.0):
        """Activations of all hidden layers, given those of the first."""
        activations = [self._dropped(embedded, self.biases[0], dropout, n_threads)]
        for layer, bias in zip(self.dense, self.biases[1:], strict=True):
            below = activations[-1]
            n_in, n_out = layer.weights.shape
            above = np.empty((len(below), n_out), dtype=np.float32)
            _products.product_nn(below, layer.weights, n_in, above, n_threads)
            above += bias.weights
            np.maximum(above, 0, out=above)
            activations.append(self._dropped(above, bias, dropout, n_threads))
        return activations

    def _dropped(self, activations, bias, dropout, n_threads):
        """The activations, in place, without a share `dropout` of them."""
        if dropout:
            seed = self.optimizer.seed_of(bias)
            _layers.drop_units(activations, dropout, seed, n_threads)
        return activations

    def logits(self, X, n_threads=1):
        """Scores of all classes, (n, n_classes) float32: a view of a padded array."""
        return self.output.logits(self.hidden(X, n_threads), n_threads)

    def top_k(self, X, k, n_threads=1, rank=None):
        """The k classes of largest logit: (ids, logits), best first.

        `rank(hidden, k, n_threads)` may rank them otherwise than exactly. Activations are
        held for a block of rows at a time.
        """
        rank = rank or self.output.top_k
        ids = np.empty((X.shape[0], k), dtype=np.int32)
        logits = np.empty((X.shape[0], k), dtype=np.float32)
        for rows in self.row_blocks(X.shape[0]):
            ids[rows], logits[rows] = rank(self.hidden(X[rows], n_threads), k, n_threads)
        return ids, logits

    # ---- training ----

    def train_step(self, X, Y, row_weight, negatives, learning_rate, hidden_dropout=0.0):
        """Take one step on a batch.

        Parameters
        ----------
        X : Batch or csr_array of shape (n_batch, n_features)
            Rows.

        Y : Batch or csr_array of shape (n_batch, n_classes)
            The weight of each label, 1 if all count alike.

        row_weight : ndarray of shape (n_batch,), float32
            Weight of each row in the gradient.

        negatives : Sampler
            Chooses the classes to look at, see `sklsh.negatives`.

        learning_rate : float
            Rate of this step.

        hidden_dropout : float, default=0.0
            Share of the hidden units of each row that are left out of this step.

        Returns
        -------
        loss : float
            Sum over the batch, weighted.

        n_active : float
            Classes that a row was scored against.
        """
        X, Y = as_batch(X), as_batch(Y)
        self.optimizer.begin_step(learning_rate)
        if self.embedding is None:
            activations = [dense_rows(X)]
        else:
            embedded = self._empty_embedded(X)
            columns = self._columns.while_embedding(X, *self._embedding, embedded, self.n_threads)
            activations = self._activations(embedded, self.n_threads, hidden_dropout)
        hidden = self.head.apply(activations[-1])

        drawn = negatives.draw(hidden, Y, self.output)
        loss, d_hidden = self.output.step(
            drawn, hidden, Y, row_weight, self.optimizer, self.n_threads
        )
        if self.embedding is not None:
            d_hidden = self.head.gradient(activations[-1], d_hidden)
            self._step_hidden(columns, activations, d_hidden, _layers.drop_scale(hidden_dropout))
        negatives.refresh(self.output, drawn.ids)
        return loss, drawn.per_row

    def _step_hidden(self, columns, activations, d_hidden, scale):
        """Carry the gradient down through the hidden layers, updating each on the way.

        `scale` is what dropout has multiplied the activations by.
        """
        for layer in range(len(self.dense), -1, -1):
            d_bias = np.empty((1, d_hidden.shape[1]), dtype=np.float32)
            _layers.relu_gradient(activations[layer], d_hidden, d_bias[0], self.n_threads, scale)
            self.optimizer.step(self.biases[layer], ONLY_ROW, d_bias)
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
        self.optimizer.step_embedding(self.embedding, columns, d_hidden, self.n_threads)

    # ---- what is kept ----

    @property
    def loss(self):
        """What training minimises now, "softmax" or "logistic"."""
        return self.output.loss

    @property
    def parameters(self):
        """All parameters of the model."""
        output = [self.output.parameter, self.output.bias_parameter]
        return [*self._hidden_weights, *self.biases, *output]

    @property
    def _hidden_weights(self):
        return [] if self.embedding is None else [self.embedding, *self.dense]

    @property
    def coefs(self):
        """Weights without padding, each (fan_in, fan_out): views, or copies of bfloat16."""
        pairs = zip(self.sizes[:-2], self.sizes[1:-1], strict=True)
        pairs = zip(self._hidden_weights, pairs, strict=True)
        inner = [p.as_float32()[:n, :m] for p, (n, m) in pairs]
        return [*inner, self.output.parameter.as_float32()[:, : self.sizes[-2]].T]

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

    def restore(self, frozen):
        """Go back to the weights of a frozen copy, and to the loss they belong to."""
        for parameter, before in zip(self.parameters, frozen.parameters, strict=True):
            parameter.weights[...] = before.weights
        self.output.loss = frozen.output.loss

    def release_buffers(self):
        """Give back what only training needs."""
        self._prepare(self.n_threads)
        self.output.release_buffers()

    def make_trainable(self, n_threads):
        """Get ready to train on, after `fit` or from a pickle or read-only memory map."""
        self._prepare(n_threads)
        for parameter in self.parameters:
            parameter.make_trainable(self.optimizer)

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "_columns"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._prepare(self.n_threads)


def dense_rows(X):
    """Rows of a batch as they meet an output layer: dense and padded."""
    n, width = X.shape
    dense = aligned_zeros((n, padded(width)))
    dense[:, :width] = sp.csr_array((X.data, X.indices, X.indptr), shape=X.shape).toarray()
    return dense


def bytes_needed(n_features, hidden_layer_sizes, n_classes, optimizer, dtype="float32"):
    """Bytes of a network's weights and of the state that `optimizer`, if any, keeps."""
    widths = [padded(n) for n in (n_features, *hidden_layer_sizes)]
    full = STORAGE["float32"]
    parameters = [
        *[(n_features, m, STORAGE[dtype]) for m in widths[1:2]],
        *[(n, m, full) for n, m in zip(widths[1:-1], widths[2:], strict=True)],
        *[(1, n, full) for n in widths[1:]],
        (n_classes, widths[-1], STORAGE[dtype]),
        (n_classes, 1, full),
    ]
    return sum(
        n * (width * stored.itemsize + 4 * sum(slot_widths(optimizer, width)))
        for n, width, stored in parameters
    )
