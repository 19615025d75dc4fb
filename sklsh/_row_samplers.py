"""Parameters of the draws of rows: what values they may have, and what comes of them."""

import copy
from numbers import Integral, Real

import numpy as np

from sklsh._hashing import MAX_BITS
from sklsh._memory import require_bytes
from sklsh._sklearn import Interval, StrOptions, at_least, check_is_fitted
from sklsh.row_sampling import Exact, Kernel, RowSampler, Stale, Uniform

DRAW_CONSTRAINTS = {
    "sampler": [StrOptions({"kernel", "stale", "exact", "uniform"}), RowSampler],
    "n_rows": [at_least(1)],
    "n_bits": [Interval(Integral, 1, MAX_BITS, closed="both")],
    "n_buckets": [Interval(Integral, 2, 2**31, closed="both")],
    "include_target": ["boolean"],
    "pool_factor": [at_least(1, Real)],
    "subsample": [Interval(Real, 0, 1, closed="right")],
    "floor": [Interval(Real, 0, 1, closed="right")],
    "importance_power": [Interval(Real, 0, 1, closed="both")],
    "decay": [Interval(Real, 0, 1, closed="right")],
    "warmup": [at_least(0)],
    "min_gain": [at_least(0, Real)],
    "batch_size": [at_least(1)],
}
OF_DRAWS = (
    "batch_size", "pool_factor", "subsample", "floor", "importance_power", "warmup", "min_gain",
)  # fmt: skip


def check_row_sampler(params):
    """Raise ValueError where the constraints do not say it all."""
    if params.n_buckets & (params.n_buckets - 1):
        raise ValueError(f"n_buckets must be a power of two; got {params.n_buckets}.")


def make_row_sampler(params, seed, include_target=None):
    """The sampler with an estimator's parameters.

    `include_target` overrules theirs, where targets are no groups.
    """
    if isinstance(params.sampler, RowSampler):
        return copy.deepcopy(params.sampler)
    if params.sampler == "kernel":
        return Kernel(
            n_rows=params.n_rows, n_bits=params.n_bits, n_buckets=params.n_buckets,
            include_target=params.include_target if include_target is None else include_target,
            decay=params.decay, random_state=np.random.RandomState(seed),
        )  # fmt: skip
    return {"stale": Stale, "exact": Exact, "uniform": Uniform}[params.sampler]()


def sampler_bytes(params, n):
    """Bytes that the sampler takes with n rows."""
    if params.sampler == "stale":
        return Stale.bytes_needed(n)
    if params.sampler == "kernel":
        return Kernel.bytes_needed(n, params.n_rows, params.n_buckets)
    return 0


def require_sampler_bytes(params, n):
    """Raise MemoryError if the sampler would not fit with n rows."""
    require_bytes(
        sampler_bytes(params, n),
        f"The sampler's sketch, codes or scores of {n:,} rows",
        "Fewer rows at a time, or smaller n_rows or n_buckets, take less.",
    )


def draw_settings(params):
    """What `RowDraws.begin` is told by an estimator's parameters."""
    return {name: getattr(params, name) for name in OF_DRAWS}


class DrawFacts:
    """Mixin of what `_draws` of an estimator tell of themselves."""

    @property
    def sampling_gain_(self):
        """Estimated gain of draws by scores, NaN while nothing is known."""
        check_is_fitted(self)
        return float(self._draws.gain.value)

    @property
    def sampled_share_(self):
        """Share of all draws that went by scores."""
        check_is_fitted(self)
        return self._draws.n_by_scores / self._draws.n_drawn
