"""SketchCompressor: the sum of row-sparse gradients over processes, in few bytes."""

from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator

from sklsh._memory import require_bytes
from sklsh._sklearn import (
    Interval,
    StrOptions,
    at_least,
    check_k,
    fraction,
    validate_parameter_constraints,
)
from sklsh.distributed import _schemes
from sklsh.distributed._collectives import agreed, announced, run_over, run_together
from sklsh.distributed._row_sparse import Residual, checked_gradient
from sklsh.sketch import CountSketch
from sklsh.sketch._checks import check_width

# of the gradient's shape: residual, estimates, what is sent and received
DENSE_MATRICES = {"dense": 2, "topk": 1, "auto": 3, "fetch": 2}


class SketchCompressor(BaseEstimator):
    """Sums row-sparse gradients over the processes of a training, in few bytes.

    Each process of a data-parallel training has a gradient with few rows that are not zero, such
    as those of the features or classes of its batch. `all_reduce` gives all processes the same
    sum. It takes any communicator with mpi4py's upper-case methods; `simulate` plays several
    workers in one process.

    Parameters
    ----------
    scheme : {"auto", "dense", "coo", "topk", "s2", "fetch"}, default="auto"
        What travels. G is a process's gradient, (n_rows, width).

        - "dense": all of G. Exact.
        - "coo": the rows of G that are not zero, gathered and added up in the order of the
          processes. Exact.
        - "topk": the k rows of largest norm of G + residual, gathered. The others are the next
          residual, of this process alone: error feedback, so that nothing is lost, only late.
        - "auto": those of "topk", in the form of fewest bytes: gathered; or summed over the
          union of the processes' rows, once all know it; or dense. A process by itself holds
          nothing back.
        - "s2": a count-sketch of the rows of G, summed, and a bitmap of them, united. Rows of
          the union are read from the sketch, others are zero: S2 Reducer. Rows that share cells
          disturb each other.
        - "fetch": a count-sketch of the rows of G, summed. Of that sum S, all processes keep
          velocity = momentum * velocity + S and error = error + velocity, in sketches. The k
          rows of largest norm that error has are the result, and the cells that they hit are
          zeroed in both: FetchSGD, without its learning rate, which is the caller's.

    k : int or float, default=0.1
        Rows that each process sends, under "topk" and "auto", or rows of the result, under
        "fetch". A float in (0, 1) is a fraction: of the rows of the process's gradient, or of
        those of all gradients together; at least one row.

    depth : int, default=3
        Rows of cells in a sketch, 1 to 16.

    width : int or "auto", default="auto"
        Cells in each, a power of two; a cell has a number for each column of the gradient.
        "auto" is for "s2" two cells of the table for each row that the gradients bring
        together, and for "fetch" an eighth of n_rows in each row of cells, 256 at least; both
        rounded up.

    momentum : float, default=0.0
        Of "fetch", in [0, 1).

    random_state : int, default=0
        Draws the hash of the sketches; the same on all processes.

    Attributes
    ----------
    bytes_sent_ : float
        Bytes that this process has sent so far, if collectives go in rings: of P processes each
        sends (P - 1) times what it has to be gathered, and 2 (P - 1) / P times what is summed.
        Indices, bitmaps and announcements count.

    forms_ : dict
        By name of the gradient, what it travelled as last: the scheme, and under "auto" "coo",
        "union" or "dense".

    shapes_ : dict
        By name of the gradient (n_rows, width), which must not change.

    See Also
    --------
    sklsh.sketch.CountSketch : The sketches.

    Notes
    -----
    Row numbers travel as Elias-Fano codes, of about log2(n_rows / n) + 2 bits for each of n
    rows; values as float32. Before anything else the processes compare a checksum of n_rows,
    width, name and parameters, and announce their numbers of rows: eight bytes each.

    Sums are the same bit for bit on all processes if those of `comm.Allreduce` are. Reductions
    are asked for as `comm.SUM` and `comm.BOR` if the communicator has them, and else as those of
    mpi4py.MPI, which is imported only then.

    "topk" and "auto" keep a dense residual, 4 (width + 1) bytes for each of n_rows, and look at
    all its norms in each step; "fetch" asks its sketch for all rows. "coo" and "s2" keep nothing.

    References
    ----------
    S. U. Stich, J.-B. Cordonnier and M. Jaggi, "Sparsified SGD with memory", 2018.
    arXiv:1809.07599

    S. P. Karimireddy, Q. Rebjock, S. U. Stich and M. Jaggi, "Error feedback fixes SignSGD and
    other gradient compression schemes", 2019. arXiv:1901.09847

    D. Rothchild et al., "FetchSGD: communication-efficient federated learning with sketching",
    2020. arXiv:2007.07682

    N. Ivkin et al., "Communication-efficient distributed SGD with sketching", 2019.
    arXiv:1903.04488

    K. Ge, Y. Fu, Z. Lai, X. Deng and D. Li, "S2 Reducer: high-performance sparse
    communication to accelerate distributed deep learning", 2021. arXiv:2110.02140

    P. Elias, "Efficient storage and retrieval by content and address of static files", 1974.
    doi:10.1145/321812.321820

    Examples
    --------
    Two workers, each with two rows of a matrix of a million:

    >>> import numpy as np
    >>> from sklsh.distributed import SketchCompressor
    >>> first = np.array([3, 70_000], dtype=np.int32), np.ones((2, 1), dtype=np.float32)
    >>> second = np.array([3, 900_000], dtype=np.int32), np.ones((2, 1), dtype=np.float32)
    >>> workers = [SketchCompressor("coo") for _ in range(2)]
    >>> rows, values = SketchCompressor.simulate(workers, [first, second], 1_000_000)
    >>> rows.tolist(), values.ravel().tolist()
    ([3, 70000, 900000], [2.0, 1.0, 1.0])
    >>> workers[0].bytes_sent_
    22.0

    Under MPI, in each process: `rows, values = compressor.all_reduce(rows, values, 1_000_000,
    MPI.COMM_WORLD)`.
    """

    _parameter_constraints = {
        "scheme": [StrOptions({"auto", "dense", "coo", "topk", "s2", "fetch"})],
        "k": [at_least(1), Interval(Real, 0, 1, closed="neither")],
        "depth": [Interval(Integral, 1, 16, closed="both")],
        "width": [StrOptions({"auto"}), Interval(Integral, 1, 2**48, closed="both")],
        "momentum": [fraction()],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def __init__(
        self, scheme="auto", *, k=0.1, depth=3, width="auto", momentum=0.0, random_state=0
    ):
        self.scheme = scheme
        self.k = k
        self.depth = depth
        self.width = width
        self.momentum = momentum
        self.random_state = random_state

    def all_reduce(self, rows, values, n_rows, comm, name="gradient"):
        """Sum of the processes' gradients; all of them call this, with the same n_rows and name.

        Parameters
        ----------
        rows : ndarray of shape (n,), int32
            Rows of this process's gradient that are not zero: distinct and ascending.

        values : ndarray of shape (n, width), float32
            Their values.

        n_rows : int
            Rows of the whole matrix.

        comm : communicator
            With mpi4py's methods of buffers Get_rank, Get_size, Allreduce, Allgather and
            Allgatherv.

        name : str, default="gradient"
            Of the matrix: residuals and sketches are kept by name.

        Returns
        -------
        rows : ndarray of shape (m,), int32
            Rows of the sum, ascending; all others are zero.

        values : ndarray of shape (m, width), float32
            Their values, the same on all processes.

        Raises
        ------
        TypeError, ValueError
            If the gradient is none, or if the processes disagree about n_rows, width, name or
            parameters. The message says how; what the compressor keeps does not change.

        MemoryError
            If what the scheme keeps would not fit; says how many bytes it takes.
        """
        exchange = self.exchange(rows, values, n_rows, name)
        total, n_bytes = run_over(comm, exchange)
        self._count(n_bytes)
        return total.rows, total.values

    @staticmethod
    def simulate(compressors, gradients, n_rows, name="gradient"):
        """Exchange of several workers in one process, without a communicator.

        Parameters
        ----------
        compressors : list of SketchCompressor
            One for each worker, and the same in each call.

        gradients : list of (rows, values)
            Of each worker, as in `all_reduce`.

        n_rows : int
            Rows of the whole matrix.

        name : str, default="gradient"
            Of the matrix.

        Returns
        -------
        rows : ndarray of shape (m,), int32
            Rows of the sum, ascending.

        values : ndarray of shape (m, width), float32
            Their values: what `all_reduce` would return on every worker. Only the first decodes
            them, and has `forms_` and the sketches of "fetch"; all count their bytes.
        """
        if len(compressors) == 0 or len(compressors) != len(gradients):
            raise ValueError(
                f"compressors must be one for each of gradients, and at least one; got "
                f"{len(compressors)} and {len(gradients)}."
            )
        exchanges = [
            compressor.exchange(*gradient, n_rows, name)
            for compressor, gradient in zip(compressors, gradients, strict=True)
        ]
        total, n_bytes = run_together(exchanges)
        for compressor, sent in zip(compressors, n_bytes, strict=True):
            compressor._count(sent)
        return total.rows, total.values

    def exchange(self, rows, values, n_rows, name="gradient"):
        """One worker's side of `all_reduce`, to be driven by other means than a communicator.

        Parameters
        ----------
        rows, values, n_rows, name
            As in `all_reduce`.

        Returns
        -------
        exchange : generator
            Yields messages, lists of parts: each has an `array` and a class that says how it is
            reduced, `Sum`, `Or` or `Gather`. Is sent the list of what they reduce to; a gathered
            part to the list of the workers' arrays, flat. Its return value is the sum, a tuple
            of rows, values and n_rows.
        """
        self.check_parameters()
        gradient = checked_gradient(rows, values, n_rows)
        if isinstance(self.k, Integral):
            check_k(self.k, gradient.n_rows, "rows, n_rows")
        shape = gradient.n_rows, gradient.width
        known = vars(self).get("shapes_", {}).get(name)
        if known is None:
            self._require_memory(gradient)
        elif known != shape:
            raise ValueError(
                f"The gradient {name!r} must keep its shape (n_rows, width), {known}; got {shape}."
            )
        return self._exchange(gradient, name)

    def check_parameters(self):
        """Raise ValueError if a parameter is not possible."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(), type(self).__name__
        )
        if self.width != "auto":
            check_width(self.width)

    def reset(self):
        """Forget residuals, sketches and counts; new parameters of "fetch" then take effect.

        Returns
        -------
        self : SketchCompressor
            As new.
        """
        for attribute in ("shapes_", "forms_", "bytes_sent_", "_states"):
            vars(self).pop(attribute, None)
        return self

    def residual(self, name="gradient"):
        """What this process has held back so far, under "topk" and "auto".

        Parameters
        ----------
        name : str, default="gradient"
            Of the matrix.

        Returns
        -------
        residual : ndarray of shape (n_rows, width), float32
            The sum of its gradients less what it has sent; no copy.
        """
        state = vars(self).get("_states", {}).get((self.scheme, name))
        if not isinstance(state, Residual):
            raise ValueError(
                f'There is a residual only under scheme="topk" or "auto", after an exchange of '
                f"{name!r}."
            )
        return state.values

    def _exchange(self, gradient, name):
        n_processes = yield from agreed(self._terms(gradient, name))
        state, form = self._state_of(gradient, name), self.scheme
        if isinstance(state, Residual):
            nothing_travels = self.scheme == "auto" and n_processes == 1
            k = gradient.n_rows if nothing_travels else self._k(len(gradient.rows))
            gradient = state.add(gradient).take_largest(k)
        counts = yield from announced(len(gradient.rows))
        if self.scheme == "auto":
            total, form = yield from _schemes.fewest_bytes(gradient, counts)
        elif self.scheme == "dense":
            total = yield from _schemes.dense(gradient)
        elif self.scheme == "s2":
            new_sketch = self._sketches(self._s2_width(gradient, counts))
            total = yield from _schemes.s2(gradient, new_sketch)
        elif self.scheme == "fetch":
            total = yield from _schemes.fetch(gradient, state, self._k(counts.sum()))
        else:
            total = yield from _schemes.coo(gradient, counts)
        self.forms_ = vars(self).get("forms_", {}) | {name: form}
        return total

    def _terms(self, gradient, name):
        """What the processes have to agree about."""
        parameters = ", ".join(f"{key}={value}" for key, value in self.get_params().items())
        return f"n_rows={gradient.n_rows}, width={gradient.width}, name={name}; {parameters}"

    def _state_of(self, gradient, name):
        """What the scheme keeps under a name, made where it is new."""
        if "_states" not in vars(self):
            self._states, self.shapes_ = {}, {}
        key, shape = (self.scheme, name), (gradient.n_rows, gradient.width)
        if key not in self._states:
            self.shapes_[name], self._states[key] = shape, None
            if self.scheme in ("topk", "auto"):
                self._states[key] = Residual(*shape)
            elif self.scheme == "fetch":
                new_sketch = self._sketches(self._fetch_width(gradient))
                self._states[key] = _schemes.FetchState(new_sketch, *shape, self.momentum)
        return self._states[key]

    def _require_memory(self, gradient):
        n_matrices = DENSE_MATRICES.get(self.scheme, 0)
        require_bytes(
            n_matrices * 4 * gradient.n_rows * (gradient.width + 1),
            f"{n_matrices} dense matrices of {gradient.n_rows:,} rows of {gradient.width:,}, "
            f"which scheme={self.scheme!r} may need,",
            'scheme="coo" and "s2" need none.',
        )

    def _sketches(self, width):
        return partial(_new_sketch, width, self.depth, self.random_state)

    def _count(self, n_bytes):
        self.bytes_sent_ = vars(self).get("bytes_sent_", 0.0) + float(n_bytes)

    def _k(self, n):
        """Rows to send of n, or whatever n is where k is a number of rows."""
        return int(self.k) if isinstance(self.k, Integral) else max(1, int(np.ceil(self.k * n)))

    def _s2_width(self, gradient, counts):
        """Two cells for each row that the union may have."""
        if self.width != "auto":
            return self.width
        return _power_of_two(2 * min(counts.sum(), gradient.n_rows) / self.depth)

    def _fetch_width(self, gradient):
        """A cell in each row of cells for 8 rows of the matrix."""
        return _power_of_two(max(gradient.n_rows / 8, 256)) if self.width == "auto" else self.width


def _power_of_two(at_least):
    """The smallest one."""
    return 2 ** max(0, int(np.ceil(np.log2(max(at_least, 1)))))


def _new_sketch(width, depth, random_state, n_columns, estimate="median"):
    return CountSketch(
        width, depth=depth, n_columns=n_columns, estimate=estimate, random_state=random_state
    )
