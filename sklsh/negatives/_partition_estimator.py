"""Which estimate of a partition function is asked for, and what it takes."""

from typing import NamedTuple

from sklsh._sklearn import check_k

ESTIMATORS = "head_tail", "mixed", "importance", "uniform"
HEADS = "best", "buckets"


class PartitionEstimator(NamedTuple):
    """A choice that makes sense; the fields are the arguments of `estimate_partition`."""

    estimator: str
    head: str
    n_head: int
    n_uniform: int

    @classmethod
    def checked(cls, estimator, head, n_head, n_uniform):
        """The choice, or ValueError that names what is wrong with it."""
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {ESTIMATORS}; got {estimator!r}.")
        if head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}; got {head!r}.")
        if head == "buckets" and estimator != "head_tail":
            raise ValueError(
                f'head="buckets" is for estimator="head_tail"; got estimator={estimator!r}, '
                "which has no head."
            )
        check_k(n_head, name="n_head")
        check_k(n_uniform, name="n_uniform")
        return cls(estimator, head, n_head, n_uniform)

    @property
    def needs_tables(self):
        """Whether it goes by what hash tables retrieve."""
        return self.estimator in ("mixed", "importance") or self.head == "buckets"

    @property
    def n_best(self):
        """Items of largest logit that it looks at."""
        return self.n_head if self.estimator == "head_tail" and self.head == "best" else 0

    def looks_at_half(self, n_items):
        """Whether at so many items that all may as well be looked at."""
        return self.estimator != "importance" and 2 * (self.n_best + self.n_uniform) >= n_items

    def without_tables(self, items, rows, seed, n_threads):
        """Estimate the log sum over all items for each query; exact where that looks at half.

        Seeds grow by one from query to query.
        """
        if self.looks_at_half(len(items)):
            return items.log_partition(rows, n_threads)
        return items.best_and_tail(rows, self.n_best, self.n_uniform, seed, n_threads)
