"""Layers on CSR rows: an embedding, dense layers above it, and the gradient's way down.

Widths are padded to whole cache lines. The padding starts at zero and stays there, as its
gradient is zero, so it needs no masks.
"""

import copy

import numpy as np

from sklsh._batches import Columns, as_batch
from sklsh._kernels import _layers, _products, _rows
from sklsh._memory import padded
from sklsh.optimizers import Parameter

ONLY_ROW = np.zeros(1, dtype=np.int32)  # of a bias


class FeedForward:
    """Layers with their forward and backward pass: what all networks share.

    Parameters
    ----------
    widths : sequence of int
        Number of features, and the width of each layer; the first layer is the embedding.
        With the number of features alone there are no layers.

    optimizer : Optimizer
        Updates all parameters.

    random_state : numpy.random.RandomState
        Draws the initial weights.

    embedding_scale : float
        Standard deviation of the first weights of the embedding. Layers above begin as
        rectified linear units want it.

    dtype : {"float32", "bfloat16"}, default="float32"
        How the embedding is stored; the arithmetic is in float32.

    n_threads : int, default=1
        OpenMP threads. Results do not depend on it.

    linear_top : bool, default=False
        Whether the last layer has no rectification: its activations are scores.
    """

    def __init__(
        self, widths, *, optimizer, random_state, embedding_scale, dtype="float32", n_threads=1,
        linear_top=False,
    ):  # fmt: skip
        self.optimizer = optimizer
        self.n_features, *widths = widths
        self.linear_top = linear_top
        self._make_layers(widths, embedding_scale, dtype, random_state)
        self._prepare(n_threads)

    def _make_layers(self, widths, embedding_scale, dtype, random_state):
        """Draw the weights, from the embedding up."""
        optimizer, self.embedding = self.optimizer, None
        if widths:
            self.embedding = Parameter.random(
                self.n_features, widths[0], embedding_scale, random_state, optimizer, dtype
            )
        self.seed = self.embedding.seed if widths else random_state.randint(2**31 - 1)
        self.dense = [
            Parameter.random(n, m, np.sqrt(2 / n), random_state, optimizer, n_rows=padded(n))
            for n, m in zip(widths[:-1], widths[1:], strict=True)
        ]
        self.biases = [
            Parameter.zeros((1, padded(n)), optimizer, seed=self.seed + 2 + i, width=n)
            for i, n in enumerate(widths)
        ]

    def _prepare(self, n_threads):
        """Set up what is not part of the model: threads and buffers."""
        self.n_threads = n_threads
        self._columns = Columns(self.n_features)

    # ---- forward ----

    def layers(self, X, n_threads=1):
        """Activations of all layers, each (n, padded width) float32."""
        X = as_batch(X)
        embedded = self._empty_embedded(X)
        _rows.embed(
            X.indptr, X.indices, X.data, *self._embedding, embedded, n_threads,
            relu=self._rectified(0),
        )  # fmt: skip
        return self._activations(embedded, n_threads)

    def layers_of_step(self, X, dropout=0.0):
        """As `layers`, and the batch by columns, which the way back down needs."""
        embedded = self._empty_embedded(X)
        columns = self._columns.while_embedding(
            X, *self._embedding, embedded, self.n_threads, relu=self._rectified(0)
        )
        return columns, self._activations(embedded, self.n_threads, dropout)

    def _rectified(self, layer):
        return not self.linear_top or layer < len(self.dense)

    @property
    def _embedding(self):
        """Weights and bias of the first layer."""
        return self.embedding.weights, self.biases[0].weights[0]

    def _empty_embedded(self, X):
        return np.empty((X.shape[0], self.embedding.weights.shape[1]), dtype=np.float32)

    def _activations(self, embedded, n_threads, dropout=0.0):
        """Activations of all layers, given those of the first."""
        activations = [self._dropped(embedded, 0, dropout, n_threads)]
        for layer, dense in enumerate(self.dense, start=1):
            below = activations[-1]
            n_in, n_out = dense.weights.shape
            above = np.empty((len(below), n_out), dtype=np.float32)
            _products.product_nn(below, dense.weights, n_in, above, n_threads)
            above += self.biases[layer].weights
            if self._rectified(layer):
                np.maximum(above, 0, out=above)
            activations.append(self._dropped(above, layer, dropout, n_threads))
        return activations

    def _dropped(self, activations, layer, dropout, n_threads):
        """The activations, in place, without a share `dropout` of them."""
        if dropout and self._rectified(layer):
            seed = self.optimizer.seed_of(self.biases[layer])
            _layers.drop_units(activations, dropout, seed, n_threads)
        return activations

    # ---- backward ----

    def step_layers(self, columns, activations, delta, dropout=0.0):
        """Carry a gradient down through all layers, updating each on the way.

        `delta` is the gradient by the activations of the last layer; it is overwritten.
        `dropout` is the share of units that were left out on the way up.
        """
        scale = _layers.drop_scale(dropout)
        for layer in range(len(self.dense), -1, -1):
            d_bias = np.empty((1, delta.shape[1]), dtype=np.float32)
            if self._rectified(layer):
                _layers.relu_gradient(activations[layer], delta, d_bias[0], self.n_threads, scale)
            else:
                _layers.column_sums(delta, d_bias[0], self.n_threads)
            self.optimizer.step(self.biases[layer], ONLY_ROW, d_bias)
            if layer == 0:
                break
            dense, below = self.dense[layer - 1], activations[layer - 1]
            n_in, width = dense.weights.shape
            d_weights = np.empty((n_in, width), dtype=np.float32)
            _products.product_tn(below, delta, n_in, d_weights, self.n_threads)
            d_below = np.empty_like(below)
            _products.product_nt(delta, dense.weights, n_in, d_below, self.n_threads)
            all_rows = np.arange(n_in, dtype=np.int32)
            self.optimizer.step(dense, all_rows, d_weights, self.n_threads)
            delta = d_below
        self.optimizer.step_embedding(self.embedding, columns, delta, self.n_threads)

    # ---- what is kept ----

    @property
    def layer_weights(self):
        """Parameters of weights, from the embedding up."""
        return [] if self.embedding is None else [self.embedding, *self.dense]

    @property
    def parameters(self):
        """All parameters of the model."""
        return self.layer_parameters

    @property
    def layer_parameters(self):
        """Parameters of the layers."""
        return [*self.layer_weights, *self.biases]

    @property
    def layer_coefs(self):
        """Weights of the layers without padding, each (fan_in, fan_out)."""
        widths = [self.n_features, *(b.width for b in self.biases)]
        pairs = zip(self.layer_weights, widths, widths[1:], strict=False)
        return [p.as_float32()[:n, :m] for p, n, m in pairs]

    @property
    def layer_intercepts(self):
        """Biases of the layers without padding, as views."""
        return [b.weights[0, : b.width] for b in self.biases]

    @property
    def coefs(self):
        """Weights without padding, each (fan_in, fan_out): views, or copies of bfloat16."""
        return self.layer_coefs

    @property
    def intercepts(self):
        """Biases without padding, as views."""
        return self.layer_intercepts

    def frozen(self):
        """Copy of the weights as they are now; its optimizer would begin anew."""
        frozen = copy.deepcopy(self, {id(p): p.frozen() for p in self.parameters})
        frozen.optimizer.t = 0
        return frozen

    def restore(self, frozen):
        """Go back to the weights of a frozen copy."""
        for parameter, before in zip(self.parameters, frozen.parameters, strict=True):
            parameter.weights[...] = before.weights

    def notes_since(self, before):
        """What training has noted since a copy was made, besides weights and their state."""

    def take_notes(self, notes, shares):
        """Take over what models noted that have trained on alike, each counting its share.

        It follows on weights that were put together, and drops what went by those before.
        """

    def release_buffers(self):
        """Give back what only training needs."""
        self._prepare(self.n_threads)

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
