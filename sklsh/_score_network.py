"""A network of few outputs, its losses, and its training step.

    scores = relu(... relu(X E + b) W_1 + b_1 ...) W_k + b_k

Without hidden layers the scores are X E + b, so that sparse rows touch the weights of their own
features alone.
"""

from functools import partial

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import as_batch
from sklsh._feed_forward import FeedForward
from sklsh._kernels import _row_losses
from sklsh._memory import padded
from sklsh.optimizers import VSGD, state_bytes

ROWS_AT_ONCE = 4096  # that are scored together
BACKWARD = 3  # a step's multiply-adds to those of a pass upwards
OVERHEAD = 2**20  # multiply-adds that take as long as what a layer takes whatever the batch


class ScoreNetwork(FeedForward):
    """Layers up to a few scores, and one training step by a loss of those.

    Parameters
    ----------
    n_features, n_outputs : int
        Sizes of input and output.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers; none for a linear model.

    loss : str
        A name in `_row_losses.LOSSES`.

    epsilon : float
        Where the Huber loss turns linear.

    optimizer : Optimizer or VSGD
        Updates all parameters; VSGD those of linear models.

    random_state, n_threads
        As for `FeedForward`.
    """

    def __init__(
        self, n_features, n_outputs, hidden_layer_sizes, *,
        loss, epsilon, optimizer, random_state, n_threads=1,
    ):  # fmt: skip
        super().__init__(
            (n_features, *hidden_layer_sizes, n_outputs), linear_top=True,
            embedding_scale=np.sqrt(2 / n_features), optimizer=optimizer,
            random_state=random_state, n_threads=n_threads,
        )  # fmt: skip
        self.n_outputs = n_outputs
        self.loss, self.epsilon = loss, epsilon
        self.layer_weights[-1].weights.fill(0)  # all scores begin alike

    # ---- forward ----

    def scores(self, X, n_threads=1):
        """Scores of all outputs, (n, n_outputs) float32."""
        scores = np.empty((X.shape[0], self.n_outputs), dtype=np.float32)
        for rows in gen_batches(X.shape[0], ROWS_AT_ONCE):
            scores[rows] = self.layers(X[rows], n_threads)[-1][:, : self.n_outputs]
        return scores

    def losses(self, scores, targets):
        """Loss of each row by its scores, and the norm of its gradient by them."""
        gradient = np.ascontiguousarray(scores, dtype=np.float32).copy()
        return self._gradient(gradient, targets, np.ones(len(scores), dtype=np.float32))

    def _gradient(self, scores, targets, row_weight):
        """Turn scores into their weighted gradient; losses and norms of rows, not weighted."""
        losses, norms = np.empty((2, len(scores)))
        _row_losses.row_losses(
            _row_losses.LOSSES[self.loss], scores, self.n_outputs, targets, self.epsilon,
            row_weight, losses, norms, self.n_threads,
        )  # fmt: skip
        return losses, norms

    # ---- training ----

    def train_step(self, X, targets, row_weight, learning_rate):
        """Take one step on a batch.

        Parameters
        ----------
        X : Batch or csr_array of shape (n_batch, n_features)
            Rows.

        targets : ndarray of shape (n_batch,), float32
            Numbers, +1 or -1, or with several outputs the numbers of classes.

        row_weight : ndarray of shape (n_batch,), float32
            Weight of each row in the gradient.

        learning_rate : float
            Rate of this step; VSGD has its own.

        Returns
        -------
        losses, norms : ndarray of shape (n_batch,), float64
            Loss of each row, and norm of its gradient by the scores, neither of them weighted.
        """
        X = as_batch(X)
        columns, activations = self.layers_of_step(X)
        delta = activations[-1]
        if isinstance(self.optimizer, VSGD):
            return self.optimizer.linear_step(
                self.embedding, self.biases[0], X, columns, delta,
                partial(self._gradient, targets=targets, row_weight=row_weight), self.n_threads,
            )  # fmt: skip
        self.optimizer.begin_step(learning_rate)
        losses, norms = self._gradient(delta, targets, row_weight)
        self.step_layers(columns, activations, delta)
        return losses, norms

    def shrink(self, factor):
        """Multiply all weights but the biases."""
        if factor != 1:
            with np.errstate(invalid="ignore"):  # 0 times infinity: training has diverged
                for parameter in self.layer_weights:
                    parameter.weights *= np.float32(factor)

    @property
    def is_finite(self):
        """Whether all weights are."""
        return all(np.isfinite(parameter.weights).all() for parameter in self.parameters)

    def multiply_adds(self, nnz_per_row, batch_size):
        """What a training step takes for each of its rows, of so many non-zero values on average.

        It is in multiply-adds of matrix products, as many as take its time: narrow networks
        spend most of it on other things.
        """
        widths = [b.weights.shape[1] for b in self.biases]
        dense = sum(n * m for n, m in zip(widths, widths[1:], strict=False))
        return BACKWARD * (nnz_per_row * widths[0] + dense) + len(widths) * OVERHEAD / batch_size


def bytes_needed(n_features, hidden_layer_sizes, n_outputs, optimizer):
    """Bytes of a network's weights and of the state that `optimizer`, if any, keeps."""
    widths = [padded(n) for n in (*hidden_layer_sizes, n_outputs)]
    rows = [n_features, *widths[:-1]]
    parameters = [*zip(rows, widths, strict=True), *((1, n) for n in widths)]
    return sum(4 * n * m + state_bytes(optimizer, (n, m)) for n, m in parameters)
