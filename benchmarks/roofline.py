"""The least time that a training step can take on this machine.

    python benchmarks/roofline.py

prints what one core can do. A part of a step does a known number of arithmetic operations
and moves a known number of bytes to and from memory; it takes at least as long as the slower
of the two. The parts follow one another, so that their times add up to the bound of a step.
Only what must be done is counted: embedding rows once for all rows of a batch that have the
feature, output rows once to read and once to update, nothing for what stays in caches and nothing
for choosing the candidates, so that retrieved ones have the bound of uniform ones.
"""

import ctypes
import shlex
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parent / "machine.c"
PRECISIONS = ("float32", "bfloat16", "int8")
TABLE_BYTES = 1 << 29  # far beyond the caches
ROWS_READ = 100_000
SOFTMAX_OPERATIONS = 24  # of one logit: offset, largest, exponential (16), sum, scale
REPEATS = 7


@dataclass(frozen=True)
class Machine:
    """What one core can do.

    Attributes
    ----------
    operations : dict of str to float
        Billions of arithmetic operations per second for each precision of the factors, a
        multiply-add being two. Precisions that the CPU has no instruction for are missing.

    read : float
        GB per second read in scattered rows of a large table.

    rewrite : float
        GB per second, read and written ones together, of scattered rows that are updated.
    """

    operations: dict
    read: float
    rewrite: float

    def seconds(self, work, precision="float32"):
        """Least time of some work; a precision without an instruction counts as float32."""
        rate = self.operations.get(precision, self.operations["float32"])
        computing = work.operations / rate
        return max(computing, work.read / self.read + work.rewritten / self.rewrite) / 1e9

    def __str__(self):
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in self.operations.items())
        return (
            f"one core: {rates} G operations/s; scattered rows {self.read:.1f} GB/s read, "
            f"{self.rewrite:.1f} GB/s rewritten (read + written)"
        )


@dataclass(frozen=True)
class Work:
    """Arithmetic operations, bytes read, and bytes read and written of rows updated."""

    operations: float = 0.0
    read: float = 0.0
    rewritten: float = 0.0


@dataclass(frozen=True)
class Step:
    """A training step with one hidden layer and candidates that the batch shares.

    Attributes
    ----------
    rows, entries : float
        Rows of the batch, and non-zero values in them.

    features, candidates : float
        Distinct features of the batch; output rows that it meets.

    width : int
        Of the hidden layer.

    weight_bytes, state_bytes : float
        Stored for a weight, and of the optimizer's state for it.

    precision : {"float32", "bfloat16", "int8"}
        Of the factors of the three products.
    """

    rows: float
    entries: float
    features: float
    candidates: float
    width: int
    weight_bytes: float = 4
    state_bytes: float = 8
    precision: str = "float32"

    @property
    def parts(self):
        """Work of each part of the step."""
        product = Work(2 * self.rows * self.candidates * self.width)
        sums = 2 * self.entries * self.width
        embedding, output = (n * self.width for n in (self.features, self.candidates))
        kept = 2 * (self.weight_bytes + self.state_bytes)  # read and written
        return {
            "batch": Work(read=8 * self.entries),
            "embed": Work(sums, read=embedding * self.weight_bytes),
            "gather": Work(read=output * self.weight_bytes),
            "logits": product,
            "softmax": Work(SOFTMAX_OPERATIONS * self.rows * self.candidates),
            "hidden gradient": product,
            "output gradient": product,
            "output update": Work(rewritten=output * kept),
            "embedding update": Work(sums, rewritten=embedding * kept),
        }

    def bounds(self, machine):
        """Least microseconds per row of each part."""
        products = ("logits", "hidden gradient", "output gradient")
        return {
            name: machine.seconds(work, self.precision if name in products else "float32")
            * 1e6 / self.rows
            for name, work in self.parts.items()
        }  # fmt: skip

    @classmethod
    def of(cls, X, Y, batch, n_negatives, **others):
        """The mean step over random batches of a data set; n_negatives None for all labels."""
        random = np.random.default_rng(0)
        drawn = [random.permutation(X.shape[0])[:batch] for _ in range(8)]
        labels = np.mean([len(np.unique(Y[rows].indices)) for rows in drawn])
        return cls(
            rows=min(batch, X.shape[0]),
            entries=np.mean([X[rows].nnz for rows in drawn]),
            features=np.mean([len(np.unique(X[rows].indices)) for rows in drawn]),
            candidates=Y.shape[1] if n_negatives is None else labels + n_negatives,
            **others,
        )


def measured():
    """Measure this machine; takes a few seconds and TABLE_BYTES of memory."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "machine.so")
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run([*compiler, *flags, str(SOURCE), "-o", str(library)], check=True)
        functions = ctypes.CDLL(str(library))
    operations = {name: operation_rate(functions, name) for name in PRECISIONS}
    table = np.ones((TABLE_BYTES // 512, 128), dtype=np.float32)
    return Machine(
        {name: rate for name, rate in operations.items() if rate},
        row_rate(functions.read_rows, table),
        2 * row_rate(functions.rewrite_rows, table),
    )


def operation_rate(functions, precision):
    """Billions of operations per second."""
    function = getattr(functions, f"multiply_add_{precision}")
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_ssize_t]
    n_rounds = 5_000_000
    return max(function(n_rounds) / cpu_seconds(function, n_rounds) for _ in range(REPEATS)) / 1e9


def row_rate(function, table):
    """GB per second of scattered rows, at the best prefetch distance and in the best order."""
    drawn = np.random.default_rng(0).permutation(len(table))[:ROWS_READ].astype(np.int32)
    size = ctypes.c_ssize_t
    function.argtypes = [ctypes.c_void_p, size, ctypes.c_void_p, size, size]
    seconds = min(
        cpu_seconds(function, table.ctypes.data, table.shape[1], rows.ctypes.data, len(rows), ahead)
        for rows in (drawn, np.sort(drawn))  # ascending addresses miss fewer pages
        for ahead in (4, 8, 16, 32)
        for _ in range(REPEATS)
    )
    return ROWS_READ * table[0].nbytes / seconds / 1e9


def cpu_seconds(function, *args):
    """CPU time of one call."""
    start = time.thread_time()
    function(*args)
    return time.thread_time() - start


if __name__ == "__main__":
    print(measured())
