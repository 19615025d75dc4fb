"""The output layer's rows in 4 bits a weight, to rank classes by."""

import numpy as np

from sklsh._kernels import _candidates, _coded_rows
from sklsh._memory import aligned_copy, aligned_zeros, padded, require_bytes, writable

PERIOD = 3  # batches that the codes may be old
CODES_A_LINE = 128  # codes of 4 bits in a cache line, of which a row has whole ones


class CodedRows:
    """The output layer in 4 bits a weight, as it was a few batches ago at most.

    A row is integers with a scale, beside its bias. A logit estimated from them takes an
    eighth of the memory traffic of an exact one.

    Parameters
    ----------
    n_classes, width : int
        Rows of the output layer, and their width without padding.
    """

    def __init__(self, n_classes, width):
        self.n_classes = n_classes
        self.width = padded(width)
        self.forget()

    def forget(self):
        """Drop the codes; the next batch makes all again."""
        self._changed = np.ones(self.n_classes, dtype=bool)
        self._batches_left = 0
        self._codes = None
        self._line = None  # scale of the codes and bias, of which logits are a straight line

    def make_writable(self):
        """Copy what came from a read-only memory map."""
        self._changed = writable(self._changed)
        if self._codes is not None and not self._codes.flags.writeable:
            self._codes, self._line = aligned_copy(self._codes), aligned_copy(self._line)

    @staticmethod
    def bytes_needed(n_classes, width):
        """Bytes that codes, scales and biases take."""
        return n_classes * (_row_bytes(width) + 8)

    @property
    def nbytes(self):
        """Bytes of codes, scales and biases; 0 without."""
        return 0 if self._codes is None else self._codes.nbytes + self._line.nbytes

    def note_step(self, ids):
        """Take note that a step has changed the rows `ids`."""
        _candidates.mark_ids(np.asarray(ids, dtype=np.int32), self._changed.view(np.uint8))
        self._batches_left -= 1

    def refresh_when_due(self, output, n_threads):
        """Take over what the changed rows hold now, if the last time is PERIOD batches ago."""
        if self._batches_left > 0:
            return
        if self._codes is None:
            require_bytes(
                self.bytes_needed(self.n_classes, self.width),
                f"Codes of {self.n_classes:,} rows of {self.width:,} weights",
            )
            self._codes = aligned_zeros((self.n_classes, _row_bytes(self.width)), np.uint8)
            self._line = aligned_zeros((self.n_classes, 2))
        ids = np.flatnonzero(self._changed).astype(np.int32)
        _coded_rows.code_rows(
            output.weights, output.bias, ids, self._codes, self._line,
            self._buffer(n_threads, np.float32),
        )  # fmt: skip
        self._changed[:] = False
        self._batches_left = PERIOD

    def rank(self, starts, pool, hidden, depth, n_threads):
        """Classes of largest logit, as far as the codes tell, best first.

        Row i of `hidden` has the classes pool[starts[i]:starts[i + 1]]. Returns (best, found):
        of the `depth` places of row i, found[i] are filled.
        """
        best = np.empty((len(hidden), depth), dtype=np.int32)
        found = np.empty(len(hidden), dtype=np.intp)
        _coded_rows.rank_pools(
            starts, pool, hidden, self._codes, self._line, self._buffer(n_threads, np.int8), best,
            found,
        )  # fmt: skip
        return best, found

    def _buffer(self, n_threads, dtype):
        """A row for each thread, as wide as the codes and zero where the weights end."""
        return np.zeros((n_threads, 2 * self._codes.shape[1]), dtype)


def _row_bytes(width):
    """Bytes of a row's codes."""
    return 64 * -(-width // CODES_A_LINE)
