"""Distributions over the classes that negatives are drawn from, whatever the row."""

import numpy as np

from sklsh._kernels import _alias, _candidates


def uniform_law(counts):
    """All classes alike."""
    return np.full(len(counts), 1 / len(counts))


def log_uniform_law(counts):
    """Log-uniform by rank: q_r = log((r + 2) / (r + 1)) / log(n + 1), r = 0 the most frequent.

    That is close to Zipf's law, whatever the frequencies are.
    """
    n = len(counts)
    q = np.empty(n)
    q[np.argsort(-counts, kind="stable")] = np.log1p(1 / np.arange(1, n + 1)) / np.log1p(n)
    return q


def frequency_law(counts, power):
    """By frequency to a power, where each class has been seen once more than it was."""
    weights = (counts + 1.0) ** power
    return weights / weights.sum()


class UniformProposal:
    """Uniform draws from the classes that are not in the set, none twice.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    def __init__(self, n_classes):
        self.n_classes = n_classes

    def note_labels(self, counts):
        """Nothing depends on how frequent classes are."""

    def extend(self, seed, position, ids, n_exact, n_draws):
        """Add classes to the sparse set ids[:n_exact].

        Returns
        -------
        n : int
            Classes in the set.

        weights : float
            How many each of the new ones stands for, so that their sum is unbiased.

        share : float
            Probability that a class outside of the set entered it.
        """
        n_classes = self.n_classes
        n = min(n_exact + n_draws, n_classes)
        if 4 * n > 3 * n_classes:  # nearly all anyway: then all, and the sum is exact
            n = n_classes
            take_others(ids, n_exact)
        else:
            _candidates.take_uniform(seed, position, ids, n_exact, n)
        share = (n - n_exact) / (n_classes - n_exact) if n > n_exact else 0.0
        return n, 1 / max(share, 1e-30), share


class Proposal:
    """Draws with replacement from a mixture of fixed laws.

    A class drawn c times in m draws, each with probability q, stands for c / (m q) classes
    like it. The sum of anything over the drawn classes, so weighted, is right on average
    for any q > 0 (importance sampling). As many draws as there are classes would cost more
    than all of them, which are then taken once each.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    shares : dict
        Share of each law, "uniform", "log_uniform" or "frequency".

    power : float, default=0.75
        Of the frequency.

    Attributes
    ----------
    probabilities : ndarray of shape (n_classes,)
        Of a draw.
    """

    def __init__(self, n_classes, shares, power=0.75):
        self.shares = shares
        self.power = power
        self._counts = np.zeros(n_classes)
        self.note_labels(self._counts)

    def note_labels(self, counts):
        """Take note of how often each class has been a label, beside what was noted before."""
        self._counts = self._counts + counts
        self.probabilities = sum(share * self._law(name) for name, share in self.shares.items())
        n = len(counts)
        self._threshold = np.empty(n, dtype=np.uint32)
        self._alias, waiting = np.empty((2, n), dtype=np.int32)
        _alias.build_alias(self.probabilities * n, self._threshold, self._alias, waiting)

    def _law(self, name):
        if name == "frequency":
            return frequency_law(self._counts, self.power)
        return {"uniform": uniform_law, "log_uniform": log_uniform_law}[name](self._counts)

    def extend(self, seed, position, ids, n_exact, n_draws):
        """Add classes to the sparse set ids[:n_exact], as those of :class:`UniformProposal`.

        `weights` and `share` are arrays, of the new classes and of all.
        """
        if n_draws >= len(ids):
            take_others(ids, n_exact)
            return len(ids), np.ones(len(ids) - n_exact), np.ones(len(ids))
        counts = np.empty(min(n_draws, len(ids) - n_exact), dtype=np.float32)
        n = _candidates.take_drawn(
            seed, self._threshold, self._alias, n_draws, position, ids, n_exact, counts
        )
        q = self.probabilities[ids[:n]]
        share = -np.expm1(n_draws * np.log1p(-np.minimum(q, 1 - 1e-16)))
        return n, counts[: n - n_exact] / (n_draws * q[n_exact:]), share


def take_others(ids, n_exact):
    """Fill a set of ids[:n_exact] up with all other classes."""
    missing = np.ones(len(ids), dtype=bool)
    missing[ids[:n_exact]] = False
    ids[n_exact:] = np.flatnonzero(missing)
