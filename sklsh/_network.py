"""The sparse-in, wide-out network that the classifiers train, and its training step.

A CSR row is summed over an embedding table, passes any number of dense hidden layers,
and meets one row of output weights for each class:

    hidden = relu(... relu(X E + b) W_1 + b_1 ...)      logits = head(hidden) W.T + c

Without hidden layers the rows themselves meet the output layer.
"""

import numpy as np
from sklearn.utils import gen_batches

from sklsh._batches import as_batch, dense_rows
from sklsh._feed_forward import FeedForward
from sklsh._head import Head
from sklsh._memory import padded
from sklsh._output import OutputLayer
from sklsh._storage import STORAGE
from sklsh.optimizers import state_bytes

ROWS_AT_ONCE = 4096  # in prediction; enough to keep all threads busy
BLOCK_BYTES = 1 << 26  # of them at most, which are dense and wide without hidden layers
EMBEDDING_SCALE = 0.05  # standard deviation; small, so that the data decide the directions


class Network(FeedForward):
    """Layers, an output layer of very many classes, and one training step.

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

    Attributes
    ----------
    multiplications : dict or None
        Operations of the steps so far, if they are counted.

    table_bytes : int
        Bytes of hash tables over hidden units.
    """

    multiplications = None
    table_bytes = 0

    def __init__(
        self, n_features, n_classes, hidden_layer_sizes, *,
        optimizer, random_state, dtype="float32", product_dtype="float32", n_threads=1,
        head=None, random_output=False,
    ):  # fmt: skip
        self.sizes = (n_features, *hidden_layer_sizes, n_classes)
        self.head = head or Head()
        super().__init__(
            self.sizes[:-1], optimizer=optimizer, random_state=random_state,
            embedding_scale=EMBEDDING_SCALE, dtype=dtype, n_threads=n_threads,
        )  # fmt: skip
        self.output = OutputLayer(
            n_classes, self.sizes[-2], optimizer, dtype,
            seed=self.seed + 1, product_dtype=product_dtype, unit_rows=self.head.normalize,
            random_state=random_state if random_output or self.head.normalize else None,
        )  # fmt: skip

    @property
    def is_linear(self):
        """Whether there are no hidden layers."""
        return len(self.sizes) == 2

    # ---- forward ----

    def hidden(self, X, n_threads=1):
        """What meets the output layer, (n, padded width) float32."""
        return self.head.apply(self.layers(X, n_threads)[-1])

    def row_blocks(self, n_rows):
        """Slices of so many rows, to pass through `hidden` at a time."""
        n_at_once = BLOCK_BYTES // (4 * self.output.weights.shape[1])
        return gen_batches(n_rows, max(1, min(n_at_once, ROWS_AT_ONCE)))

    def silent_units(self, X, n_threads=1):
        """Number of hidden units that are zero for all rows of X."""
        layers = zip(self.layers(X, n_threads), self.sizes[1:-1], strict=False)
        return sum(int(n - layer[:, :n].any(axis=0).sum()) for layer, n in layers)

    def layers(self, X, n_threads=1):
        """Activations of all hidden layers; without any, the rows."""
        return [dense_rows(as_batch(X))] if self.is_linear else super().layers(X, n_threads)

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
        if self.is_linear:
            activations = [dense_rows(X)]
        else:
            columns, activations = self.layers_of_step(X, hidden_dropout)
        hidden = self.head.apply(activations[-1])

        drawn = negatives.draw(hidden, Y, self.output)
        loss, d_hidden = self.output.step(
            drawn, hidden, Y, row_weight, self.optimizer, self.n_threads
        )
        if not self.is_linear:
            d_hidden = self.head.gradient(activations[-1], d_hidden)
            self.step_layers(columns, activations, d_hidden, hidden_dropout)
        moved = self.optimizer.end_step(self.output.parameter, drawn.ids)
        negatives.refresh(self.output, moved)
        return loss, drawn.per_row

    # ---- what is kept ----

    @property
    def loss(self):
        """What training minimises now, "softmax" or "logistic"."""
        return self.output.loss

    @property
    def parameters(self):
        """All parameters of the model."""
        return [*self.layer_parameters, self.output.parameter, self.output.bias_parameter]

    @property
    def coefs(self):
        """Weights without padding, each (fan_in, fan_out): views, or copies of bfloat16."""
        return [*self.layer_coefs, self.output.parameter.as_float32()[:, : self.sizes[-2]].T]

    @property
    def intercepts(self):
        """Biases without padding, as views."""
        return [*self.layer_intercepts, self.output.bias]

    def restore(self, frozen):
        """Go back to the weights of a frozen copy, and to the loss they belong to."""
        super().restore(frozen)
        self.output.loss = frozen.output.loss

    def notes_since(self, before):
        """The loss, and running means of the softmax's."""
        output = self.output
        return output.loss, (output.mean_log_partition, output.log_partition_weight)

    def take_notes(self, notes, shares):
        """Take over what models noted; of losses that which comes last."""
        losses, means = zip(*notes, strict=True)
        self.output.loss = "logistic" if "logistic" in losses else losses[0]
        means = (shares @ np.array(means)).tolist()
        self.output.mean_log_partition, self.output.log_partition_weight = means
        self.output.scale_all_rows()

    def release_buffers(self):
        """Give back what only training needs."""
        super().release_buffers()
        self.output.release_buffers()


def bytes_needed(
    n_features, hidden_layer_sizes, n_classes, optimizer, dtype="float32", by_unit=None
):
    """Bytes of a network's weights and of the state that `optimizer`, if any, keeps.

    `by_unit` tells of each hidden layer whether it has a row of float32 weights for each unit,
    and not a column; None of none.
    """
    below = [n_features, *map(padded, hidden_layer_sizes)]
    stored, full = STORAGE[dtype], STORAGE["float32"]
    parameters = [(n_classes, padded(below[-1]), stored), (n_classes, 1, full)]
    for i, (n_in, n) in enumerate(zip(below, hidden_layer_sizes, strict=False)):
        if by_unit and by_unit[i]:
            parameters += [(n, padded(n_in), full), (n, 1, full)]
        else:
            parameters += [(n_in, padded(n), full if i else stored), (1, padded(n), full)]
    return sum(
        n * width * stored.itemsize + state_bytes(optimizer, (n, width))
        for n, width, stored in parameters
    )
