"""The network whose hidden layers compute a few units for each row."""

import numpy as np

from sklsh._batches import Batch, as_batch, dense_rows, row_of
from sklsh._memory import padded
from sklsh._network import Network
from sklsh.hidden_sampling._layers import FullLayer, SampledLayer
from sklsh.hidden_sampling._units import HASHED, LSHUnits, RandomUnits, units_looked_at
from sklsh.hidden_sampling._work import Work

PASSES = 3  # products of a step: forward, for the gradient of weights, and of what is below
UNIT_BYTES = 40  # of each that a row keeps: number, activation, gradient, columns


class SampledNetwork(Network):
    """A network of full and sampled hidden layers.

    Parameters
    ----------
    sampling : sequence of {"lsh", "uniform", None}
        How each hidden layer is sampled; None for a full one.

    n_active : sequence of int
        Units that a row keeps at most, of each layer.

    tables : dict
        hash_family and rehash_every of :class:`LSHUnits`.

    n_features, n_classes, hidden_layer_sizes, **options
        As for `Network`.
    """

    def __init__(
        self, n_features, n_classes, hidden_layer_sizes, *, sampling, n_active, tables, **options
    ):
        self._sampling, self._n_active, self._tables = sampling, n_active, tables
        self.work = Work()
        super().__init__(n_features, n_classes, hidden_layer_sizes, **options)

    def _make_layers(self, widths, embedding_scale, dtype, random_state):
        """One layer above the other, each of the kind asked for."""
        self.hidden_layers = []
        below = [self.n_features, *widths]
        for i, n_units in enumerate(widths):
            scale = embedding_scale if i == 0 else np.sqrt(2 / below[i])
            layer = self._make_layer(i, below[i], n_units, scale, dtype, random_state)
            self.hidden_layers.append(layer)
        self.seed = self.hidden_layers[0].parameter.seed

    def _make_layer(self, i, n_in, n_units, scale, dtype, random_state):
        if self._sampling[i] is None:
            stored = dtype if i == 0 else "float32"
            return FullLayer(n_in, n_units, scale, random_state, self.optimizer, stored)
        n_active, seed = self._n_active[i], random_state.randint(2**31 - 1)
        if self._sampling[i] == HASHED:
            units = LSHUnits(n_in, n_units, n_active, seed=seed, **self._tables)
        else:
            units = RandomUnits(n_units, n_active, seed)
        return SampledLayer(n_in, n_units, n_active, units, scale, random_state, self.optimizer)

    # ---- forward ----

    def layers(self, X, n_threads=1):
        """Positive units of each row, layer by layer: batches, the last as dense rows."""
        work = Work()  # what prediction takes is not counted
        rows = self._settled_rows(X, work, n_threads)
        return [*rows[1:-1], dense_rows(rows[-1])]

    def layers_of_step(self, X, dropout=0.0):
        """The batch and the positive units of each layer; and, as dense rows, the last."""
        rows = self._rows_of_layers(
            as_batch(X), self.work, self.n_threads, training=True, dropout=dropout
        )
        return rows, [dense_rows(rows[-1])]

    def _settled_rows(self, X, work, n_threads):
        for layer in self.hidden_layers:
            layer.settle(work, n_threads)
        return self._rows_of_layers(as_batch(X), work, n_threads)

    def _rows_of_layers(self, X, work, n_threads, *, training=False, dropout=0.0):
        rows = [Batch(X.indptr, X.indices, X.data, X.shape)]
        for layer in self.hidden_layers:
            seed = self.optimizer.seed_of(layer.bias_parameter)
            rows.append(
                layer.forward(
                    rows[-1], work, n_threads, training=training, dropout=dropout, seed=seed
                )
            )
        return rows

    def silent_units(self, X, n_threads=1):
        """Number of hidden units that are zero for all rows of X.

        Those of a sampled layer count only if all of them are: few suffice it.
        """
        rows = self._settled_rows(X, Work(), n_threads)
        return sum(
            layer.silent_units(above)
            for layer, above in zip(self.hidden_layers, rows[1:], strict=True)
        )

    # ---- training ----

    def train_step(self, X, Y, row_weight, negatives, learning_rate, hidden_dropout=0.0):
        """Take one step on a batch, see `Network.train_step`, and count its operations."""
        loss, n_classes = super().train_step(
            X, Y, row_weight, negatives, learning_rate, hidden_dropout
        )
        n = len(row_weight)
        output = PASSES * round(n * n_classes) * self.sizes[-2]
        self.work.products += output
        nnz = as_batch(X).indptr[-1]
        self.work.dense += output + dense_products(self.sizes[1:-1], n, int(nnz))
        return loss, n_classes

    def step_layers(self, rows, activations, delta, dropout=0.0):
        """Carry a gradient down through all layers, updating each on the way.

        `rows` are what `layers_of_step` returned; `delta` is the gradient by the dense rows of
        the last layer.
        """
        delta = delta[row_of(rows[-1]), rows[-1].indices]
        for i in range(len(self.hidden_layers) - 1, -1, -1):
            delta = self.hidden_layers[i].step(
                rows[i], rows[i + 1], delta, self.optimizer, self.work, self.n_threads,
                is_first=i == 0, dropout=dropout,
            )  # fmt: skip

    # ---- what is kept ----

    @property
    def layer_parameters(self):
        """Parameters below the output layer."""
        weights = [layer.parameter for layer in self.hidden_layers]
        return [*weights, *(layer.bias_parameter for layer in self.hidden_layers)]

    @property
    def layer_coefs(self):
        """Weights of the hidden layers without padding, each (fan_in, fan_out)."""
        return [layer.coef for layer in self.hidden_layers]

    @property
    def layer_intercepts(self):
        """Biases of the hidden layers without padding."""
        return [layer.intercept for layer in self.hidden_layers]

    @property
    def multiplications(self):
        """Operations of the steps so far, by kind, and their share in the dense network's."""
        return self.work.as_dict()

    @property
    def table_bytes(self):
        """Bytes of the hidden layers' hash tables."""
        return sum(layer.nbytes for layer in self.hidden_layers)

    def restore(self, frozen):
        """Go back to the weights of a frozen copy."""
        super().restore(frozen)
        for layer in self.hidden_layers:
            layer.forget()

    def notes_since(self, before):
        """Operations as well."""
        return super().notes_since(before), self.work - before.work

    def take_notes(self, notes, shares):
        """Take over what models noted, and drop hash tables of other weights."""
        notes, works = zip(*notes, strict=True)
        super().take_notes(notes, shares)
        self.work = sum(works, self.work)
        for layer in self.hidden_layers:
            layer.forget()

    def release_buffers(self):
        """Give back what only training needs, and get ready to predict."""
        super().release_buffers()
        for layer in self.hidden_layers:
            layer.release_buffers()
            layer.settle(self.work, self.n_threads)

    def make_trainable(self, n_threads):
        """Get ready to train on."""
        super().make_trainable(n_threads)
        for layer in self.hidden_layers:
            layer.make_writable()


def dense_products(widths, n_rows, nnz):
    """Multiply-adds in the layers of a step of a dense network, on rows of nnz values in all."""
    above = sum(n * m for n, m in zip(widths, widths[1:], strict=False))
    return (PASSES - 1) * nnz * widths[0] + PASSES * n_rows * above


def sampled_bytes(sizes, sampling, n_active, hash_family, n_batch):
    """Bytes of the hash tables of sampled layers, and of what a step looks at."""
    n_bytes = 0
    for kind, n_units, kept in zip(sampling, sizes, n_active, strict=True):
        if kind is None:
            n_bytes += 4 * n_batch * padded(n_units)
            continue
        looked_at = kept
        if kind == HASHED:
            n_bytes += LSHUnits.bytes_needed(n_units, kept, hash_family)
            looked_at = units_looked_at(n_units, kept)
        n_bytes += n_batch * (4 * looked_at + UNIT_BYTES * kept)
    return n_bytes + 4 * n_batch * padded(sizes[-1])
