"""The output layer: one row of weights and one bias for each class, and its part of a step.

The batch meets a few of the rows, in one of two layouts: candidates that all its rows
share, which makes dense products of everything, or candidates of each row's own, which
makes sparse ones.
"""

import numpy as np

from sklsh._batches import Columns
from sklsh._kernels import _int8, _layers, _losses, _products, _rows
from sklsh._memory import Scratch, padded
from sklsh._top_k import top_k
from sklsh.negatives import RowCandidates
from sklsh.optimizers import Parameter

NO_WEIGHT = np.zeros(0, dtype=np.float32)
LOG_PARTITION_MEMORY = 0.98  # weight of the past in the running mean of log sum exp


def shared_step_bytes(n_batch, n, width, all_classes, dtype, product_dtype, n_threads):
    """Bytes that a step over n candidates that the batch shares works on."""
    width = padded(width)
    if product_dtype == "int8":
        return _int8.scratch_bytes(n_batch, n, width, n_threads)
    rows = 0 if all_classes and dtype == "float32" else 4 * n * width
    return rows + 4 * n * width + 4 * n_batch * padded(n)


class OutputLayer:
    """Weights of the classes, and the loss they are trained with.

    Parameters
    ----------
    n_classes, width : int
        Rows of the weights, and their width without padding.

    optimizer : Optimizer or None, default=None
        What will move the weights; None keeps no state for it.

    dtype : {"float32", "bfloat16"}
        How the weights are stored.

    seed : int, default=0
        Of the rounding of updates to bfloat16, and to 8-bit integers.

    product_dtype : {"float32", "int8"}, default="float32"
        What the products of a step over shared candidates are made in.

    unit_rows : bool, default=False
        Whether rows of weights are kept at unit length: each step moves them, and then
        scales those back that have moved.

    random_state : numpy.random.RandomState or None, default=None
        Draws the first weights, rows of about unit length; None begins with zeros.

    Attributes
    ----------
    loss : {"softmax", "logistic"}
        What the next step minimises.

    mean_log_partition : float
        Running mean of the softmax's log sum exp.
    """

    def __init__(
        self, n_classes, width, optimizer=None, dtype="float32", seed=0, product_dtype="float32",
        unit_rows=False, random_state=None,
    ):  # fmt: skip
        shape = n_classes, padded(width)
        if product_dtype == "int8" and width > _int8.MAX_WIDTH:
            raise ValueError(
                f'product_dtype="int8" takes a last hidden layer of at most {_int8.MAX_WIDTH:,} '
                f"units; hidden_layer_sizes ends with {width:,}."
            )
        if random_state is None:
            self.parameter = Parameter.zeros(shape, optimizer, dtype, seed, width=width)
        else:
            self.parameter = Parameter.random(
                n_classes, width, width**-0.5, random_state, optimizer, dtype
            )
        self.bias_parameter = Parameter.zeros((n_classes, 1), optimizer)
        self.product_dtype = product_dtype
        self.unit_rows = unit_rows
        self.scale_all_rows()
        self.loss = "softmax"
        self.mean_log_partition = 0.0
        self.log_partition_weight = 0.0
        self.release_buffers()

    def scale_all_rows(self):
        """Scale rows back to unit length, if they are kept so."""
        if self.unit_rows:
            _layers.scale_to_unit(self.weights, np.arange(len(self.weights), dtype=np.int32), 1)

    def release_buffers(self):
        """Give back what only training needs."""
        self._scratch = Scratch()
        self._columns = None

    @property
    def weights(self):
        """(n_classes, padded width), float32 or the bits of bfloat16."""
        return self.parameter.weights

    @property
    def bias(self):
        """(n_classes,) float32, a view."""
        return self.bias_parameter.weights[:, 0]

    # ---- forward ----

    def logits(self, hidden, n_threads):
        """Scores of all classes, (n, n_classes) float32: a view of a padded array."""
        n_classes = len(self.weights)
        scores = np.empty((len(hidden), padded(n_classes)), dtype=np.float32)
        _products.product_nt(hidden, self.weights, n_classes, scores, n_threads)
        scores = scores[:, :n_classes]
        scores += self.bias
        return scores

    def top_k(self, hidden, k, n_threads):
        """The k classes of largest logit: (ids, logits), best first."""
        return top_k(hidden, self.weights, self.bias, k, n_threads)

    # ---- training ----

    def step(self, drawn, hidden, Y, row_weight, optimizer, n_threads):
        """Score the candidates, take the loss, update their rows.

        Parameters
        ----------
        drawn : Candidates or RowCandidates
            Classes to look at.

        hidden : ndarray of shape (n_batch, padded width), float32
            Activations of the batch.

        Y : Batch or csr_array of shape (n_batch, n_classes), float32
            The weight of each label, 1 if all count alike.

        row_weight : ndarray of shape (n_batch,), float32
            Weight of each row in the loss.

        optimizer : Optimizer
            Moves the weights.

        n_threads : int
            OpenMP threads; the result does not depend on it.

        Returns
        -------
        loss : float
            Sum over the batch, weighted.

        d_hidden : ndarray of shape (n_batch, padded width), float32
            Gradient by the activations.
        """
        if len(drawn.ids) == 0:  # the batch has no labels, and nothing else is looked at
            return 0.0, np.zeros_like(hidden)
        if isinstance(drawn, RowCandidates):
            step = self._step_per_row
        else:
            step = self._step_int8 if self.product_dtype == "int8" else self._step_shared
        result = step(drawn, hidden, Y, row_weight, optimizer, n_threads)
        if self.unit_rows:
            moved = np.unique(drawn.ids) if isinstance(drawn, RowCandidates) else drawn.ids
            _layers.scale_to_unit(self.weights, moved, n_threads)
        return result

    def _step_shared(self, drawn, hidden, Y, row_weight, optimizer, n_threads):
        n = len(drawn.ids)
        rows = self._gather(drawn, n_threads)
        delta = self._scratch.floats("delta", len(hidden), padded(n))
        _products.product_nt(hidden, rows, n, delta, n_threads)
        loss = self._loss_gradient(delta, drawn, Y, row_weight, n_threads)
        d_hidden = np.empty_like(hidden)
        _products.product_nn(delta, rows, n, d_hidden, n_threads)
        d_rows = self._scratch.floats("d_rows", n, hidden.shape[1])
        _products.product_tn(delta, hidden, n, d_rows, n_threads)
        d_bias = np.empty((n, 1), dtype=np.float32)
        _layers.column_sums(delta, d_bias[:, 0], n_threads)
        optimizer.step(self.parameter, drawn.ids, d_rows, n_threads)
        optimizer.step(self.bias_parameter, drawn.ids, d_bias, n_threads)
        return loss, d_hidden

    def _step_int8(self, drawn, hidden, Y, row_weight, optimizer, n_threads):
        (m, width), n = hidden.shape, len(drawn.ids)
        d_hidden, loss, log_partition = np.empty_like(hidden), np.empty(m), np.empty(m)
        softmax = self.loss == "softmax"
        scratch = self._scratch.bytes("codes", _int8.scratch_bytes(m, n, width, n_threads))
        _int8.step(
            *optimizer.step_of(self.parameter), *optimizer.step_of(self.bias_parameter),
            hidden, drawn.ids,
            drawn.shift + np.log(drawn.weights) if softmax else drawn.shift,
            NO_WEIGHT if softmax else drawn.weights,
            Y.indptr, drawn.positions, Y.data, row_weight,
            scratch, d_hidden, loss, log_partition, n_threads,
        )  # fmt: skip
        if softmax:
            self._note_log_partition(log_partition, row_weight)
        return loss.sum(), d_hidden

    def _step_per_row(self, drawn, hidden, Y, row_weight, optimizer, n_threads):
        delta = self._scratch.floats("delta", len(drawn.ids))
        _rows.score(hidden, self.weights, drawn.starts, drawn.ids, delta, n_threads)
        loss = self._loss_gradient(delta, drawn, Y, row_weight, n_threads)
        d_hidden = np.empty_like(hidden)
        no_bias = np.zeros(hidden.shape[1], dtype=np.float32)
        _rows.embed(drawn.starts, drawn.ids, delta, self.weights, no_bias, d_hidden, n_threads)

        if self._columns is None:
            self._columns = Columns(len(self.weights))
        columns = classes, starts, _, values = self._columns.of(drawn.starts, drawn.ids, delta)
        d_bias = np.add.reduceat(values, starts[: len(classes)])[:, None]
        optimizer.step_embedding(self.parameter, columns, hidden, n_threads)
        optimizer.step(self.bias_parameter, classes, d_bias, n_threads)
        return loss, d_hidden

    def _gather(self, drawn, n_threads):
        """Rows of the candidates as floats; the weights themselves if those are all, in order."""
        weights, n = self.weights, len(drawn.ids)
        if n == len(weights) and weights.dtype == np.float32:
            if np.array_equal(drawn.ids, np.arange(n)):
                return weights
        rows = self._scratch.floats("rows", n, weights.shape[1])
        _rows.gather_rows(weights, drawn.ids, rows, n_threads)
        return rows

    def _offset(self, drawn, Y, n_threads):
        """What is added to each candidate's logit."""
        offset = np.empty((len(drawn.ids), 1), dtype=np.float32)
        _rows.gather_rows(self.bias_parameter.weights, drawn.ids, offset, n_threads)
        offset = offset[:, 0]
        offset += drawn.shift
        if self.loss == "softmax":
            offset += np.log(drawn.weights)
            if isinstance(drawn, RowCandidates):
                # a row's own labels are sure to be there: nothing to make up for
                at = np.repeat(drawn.starts[:-1], np.diff(Y.indptr)) + drawn.positions
                offset[at] -= drawn.shift[at]
        return offset

    def _loss_gradient(self, delta, drawn, Y, row_weight, n_threads):
        """Turn logits into their gradient, in place; returns the loss."""
        loss = np.empty(len(row_weight))
        offset = self._offset(drawn, Y, n_threads)
        own = isinstance(drawn, RowCandidates)
        layout = (drawn.starts,) if own else ()
        labels = (Y.indptr, drawn.positions, Y.data, row_weight)
        if self.loss == "softmax":
            log_partition = np.empty(len(row_weight))
            kernel = _losses.softmax_loss_ragged if own else _losses.softmax_loss
            kernel(delta, offset, *layout, *labels, loss, log_partition, n_threads)
            self._note_log_partition(log_partition, row_weight)
        else:
            kernel = _losses.logistic_loss_ragged if own else _losses.logistic_loss
            kernel(delta, offset, drawn.weights, *layout, *labels, loss, n_threads)
        return loss.sum()

    # ---- losses ----

    def _note_log_partition(self, log_partition, row_weight):
        """Running mean over the batches, in which the first count in full."""
        total = row_weight.sum()
        if total == 0:
            return
        value = np.dot(log_partition, row_weight) / total
        gain = 1 - LOG_PARTITION_MEMORY
        self.log_partition_weight += gain * (1 - self.log_partition_weight)
        share = gain / self.log_partition_weight
        self.mean_log_partition += share * (value - self.mean_log_partition)

    def start_bias_at_prior(self, label_share):
        """Begin with each class's bias at the log-odds of its share of the rows."""
        share = np.clip(label_share, 1e-7, 1 - 1e-7)
        self.bias[:] = np.log(share / (1 - share))

    def switch_to_logistic(self, labels_per_row):
        """Go on with one-vs-rest logistic loss after a softmax.

        A softmax leaves the level of its logits free. The biases are shifted so that the
        sigmoids of a row add up to about the number of labels it has, over all classes or,
        where nothing makes up for those not looked at, over the candidates.
        """
        self.loss = "logistic"
        self.bias[:] -= np.float32(self.mean_log_partition - np.log(max(labels_per_row, 1e-7)))

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k not in ("_scratch", "_columns")}

    def __setstate__(self, state):
        vars(self).update(state)
        self.release_buffers()
