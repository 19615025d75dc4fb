"""Settings of the draws of rows, and the draws they make."""

from numbers import Integral, Real

import numpy as np

from sklsh._hashing import MAX_BITS
from sklsh._memory import require_bytes
from sklsh._sklearn import Interval, StrOptions, at_least
from sklsh.row_sampling import Exact, Kernel, RowDraws, Stale, Uniform

CONSTRAINTS = {
    "sampler": [StrOptions({"kernel", "stale", "exact", "uniform"})],
    "n_rows": [at_least(1)],
    "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
    "n_buckets": [Interval(Integral, 2, 2**31, closed="both")],
    "include_target": ["boolean"],
    "pool_factor": [at_least(1, Real)],
    "floor": [Interval(Real, 0, 1, closed="right")],
    "importance_power": [Interval(Real, 0, 1, closed="both")],
    "decay": [Interval(Real, 0, 1, closed="right")],
    "warmup": [at_least(0)],
    "min_gain": [at_least(0, Real)],
}


def draws_of(params, n, random_state, *, include_target):
    """Draws from n rows with these parameters, taken as attributes.

    Raises MemoryError if what they work on would not fit. `include_target`
    overrules theirs, where targets are no groups.
    """
    if params.sampler == "kernel":
        require_bytes(
            Kernel.bytes_needed(n, params.n_rows, params.n_buckets),
            f"The sketch and the codes of {n:,} rows",
            "Smaller n_rows or n_buckets take less.",
        )
        sampler = Kernel(
            n_rows=params.n_rows, n_bits=params.n_bits, n_buckets=params.n_buckets,
            include_target=include_target, decay=params.decay,
            random_state=np.random.RandomState(random_state.randint(2**31 - 1)),
        )  # fmt: skip
    else:
        sampler = {"stale": Stale, "exact": Exact, "uniform": Uniform}[params.sampler]()
    return RowDraws(
        sampler, batch_size=params.batch_size, pool_factor=params.pool_factor,
        floor=params.floor, warmup=params.warmup, min_gain=params.min_gain,
        importance_power=params.importance_power,
    )  # fmt: skip
