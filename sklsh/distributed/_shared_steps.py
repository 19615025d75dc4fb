"""Steps that processes take together: each brings the gradient of its part of the batch."""

import numpy as np

from sklsh._kernels import _rows
from sklsh.distributed._collectives import Sum, run_over


class SharedSteps:
    """Stands in for the optimizer of a network that several processes train.

    Gradients are kept until the end of the step. Then those of all processes are summed, and the
    optimizer takes its step by the sums, which are the same everywhere.

    What all steps have a whole gradient of, biases and dense layers, and the output layer if
    every step looks at all classes, is summed as it is, in one message. The embedding and an
    output layer of few classes a step go through the compressor, the latter's biases as a
    column of its weights.

    Parameters
    ----------
    network : Network
        What is trained. It has its optimizer.

    all_classes : bool
        Whether every step looks at all classes.

    shares : ndarray of shape (n_processes,)
        What the mean gradient of each process's rows counts for in the sum.

    processes : Processes
        Who take the steps.

    compressor : SketchCompressor
        Sums row-sparse gradients.
    """

    def __init__(self, network, all_classes, shares, processes, compressor):
        self.optimizer = network.optimizer
        self._output, self._n_threads = network.output, network.n_threads
        self._processes, self._compressor = processes, compressor
        self._share = np.float32(shares[processes.rank])
        self._part = shares[processes.rank] / shares.sum()
        output = [network.output.parameter, network.output.bias_parameter]
        self._whole = [*network.dense, *network.biases, *(output if all_classes else ())]
        self._sparse = {} if network.is_linear else {"embedding": [network.embedding]}
        if not all_classes:
            self._sparse["output"] = output

    def begin_step(self, learning_rate):
        """Count a step; `learning_rate` is its rate."""
        self.optimizer.begin_step(learning_rate)
        self._gradients = {}

    def step(self, parameter, rows, gradient, n_threads=1):
        """Take note of the gradient in some rows; see `Optimizer.step`."""
        self._gradients[parameter] = rows, gradient[: len(rows)]

    def step_embedding(self, parameter, columns, delta, n_threads=1):
        """Take note of the gradient of a batch's features; see `Optimizer.step_embedding`."""
        features, starts, rows, values = columns
        gradient = np.empty((len(features), delta.shape[1]), dtype=np.float32)
        nothing = np.zeros(delta.shape[1], dtype=np.float32)
        _rows.embed(starts, rows, values, delta, nothing, gradient, n_threads)
        self._gradients[parameter] = features.copy(), gradient

    def seed_of(self, parameter):
        """Of what is drawn for the parameter in this step, by each process its own."""
        return self.optimizer.seed_of(parameter) + (self._processes.rank << 24)

    def end_step(self, parameter, rows):
        """Sum up the gradients and take the step; returns the rows of `parameter` that moved."""
        self._require_finite()
        self._processes.go_on()
        with self._processes.exchange():
            self._step_whole()
            moved = {name: self._step_rows(name, group) for name, group in self._sparse.items()}
        return moved.get("output", rows)

    def _require_finite(self):
        if not all(np.isfinite(gradient).all() for _, gradient in self._gradients.values()):
            raise ValueError(
                f"Training diverged: the gradient of step {self.optimizer.t} is not finite. Lower "
                "learning_rate_init, or scale the features or the weights of rows and classes."
            )

    def _step_whole(self):
        """Sum what has whole gradients, and the notes of the softmax's log sum exp."""
        output = self._output
        notes = np.array([output.mean_log_partition, output.log_partition_weight])
        brought = [self._gradients[parameter][1].reshape(-1) for parameter in self._whole]
        brought = [self._share * gradient for gradient in brought]
        total = self._sum(np.concatenate([*brought, (self._part * notes).astype(np.float32)]))
        output.mean_log_partition, output.log_partition_weight = total[-2:].tolist()
        for parameter in self._whole:
            n_rows, width = parameter.weights.shape
            gradient, total = np.split(total, [n_rows * width])
            all_rows = np.arange(n_rows, dtype=np.int32)
            gradient = gradient.reshape(n_rows, width)
            self.optimizer.step(parameter, all_rows, gradient, self._n_threads)

    def _sum(self, array):
        total, n_bytes = run_over(self._processes.comm, _summed(array))
        self._compressor._count(n_bytes)
        return total

    def _step_rows(self, name, group):
        """Sum the gradients of parameters that have one in the same rows; returns the rows."""
        rows, values = self._brought(group)
        n_rows = len(group[0].weights)
        rows, values = self._compressor.all_reduce(rows, values, n_rows, self._processes.comm, name)
        for parameter in group:
            gradient = np.zeros((len(rows), parameter.weights.shape[1]), dtype=np.float32)
            gradient[:, : parameter.width], values = np.split(values, [parameter.width], axis=1)
            self.optimizer.step(parameter, rows, gradient, self._n_threads)
        return rows

    def _brought(self, group):
        """Rows, ascending, and this process's gradients side by side, without padding."""
        ends = np.cumsum([parameter.width for parameter in group])
        if group[0] not in self._gradients:  # this part of the batch has no labels
            return np.empty(0, dtype=np.int32), np.empty((0, ends[-1]), dtype=np.float32)
        rows, _ = self._gradients[group[0]]
        order = np.argsort(rows)
        values = np.empty((len(rows), ends[-1]), dtype=np.float32)
        for parameter, columns in zip(group, np.split(values, ends[:-1], axis=1), strict=True):
            gradient = self._gradients[parameter][1].take(order, axis=0)
            np.multiply(gradient[:, : parameter.width], self._share, out=columns)
        return rows[order], values


def _summed(array):
    """Exchange: the sum of the processes' arrays."""
    [total] = yield [Sum(array)]
    return total
