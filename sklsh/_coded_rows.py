"""The output layer's rows in 4 bits a weight, to rank classes by."""

import numpy as np

from sklsh._kernels import _coded_rows
from sklsh._memory import aligned_copy, aligned_zeros, padded, require_bytes

CODES_A_LINE = 128  # codes of 4 bits in a cache line, of which a row has whole ones


class CodedRows:
    """Rows of 4-bit integers, with a scale and a bias, as those of the output layer were once.

    A logit estimated from them takes an eighth of the memory traffic of an exact one.

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
        """Drop the codes."""
        self._codes = None
        self._line = None  # scale of the codes and bias, of which logits are a straight line

    def make_writable(self):
        """Copy what came from a read-only memory map."""
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

    def refresh(self, output, ids, n_threads):
        """Take over what the rows `ids`, distinct, hold now; all of them where there are none."""
        if self._codes is None:
            require_bytes(
                self.bytes_needed(self.n_classes, self.width),
                f"Codes of {self.n_classes:,} rows of {self.width:,} weights",
            )
            self._codes = aligned_zeros((self.n_classes, _row_bytes(self.width)), np.uint8)
            self._line = aligned_zeros((self.n_classes, 2))
        _coded_rows.code_rows(
            output.weights, output.bias, ids, self._codes, self._line,
            self._buffer(n_threads, np.float32),
        )  # fmt: skip

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
