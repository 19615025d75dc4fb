"""Synthetic extreme multi-label data: Zipf labels in topics, each shown by a few features."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from sklsh._memory import require_bytes

_ROWS_AT_ONCE = 20_000  # of which the draws are in memory
_SIZE_OF_SIGNATURE = 16
_LABEL_SHIFT, _FEATURE_SHIFT = 2.7, 50.0  # flatten the first ranks, as in natural text
_FEATURE_EXPONENT = 0.8
_SPREAD = 0.5  # of the logarithms of values


def make_xmc_classification(
    n_samples=1000,
    n_features=5000,
    n_classes=1000,
    *,
    n_labels=5,
    length=75,
    noise=0.5,
    label_exponent=0.9,
    topic_size=32,
    topic_share=0.6,
    random_state=None,
):
    """Make sparse multi-label data with very many labels, most of them rare.

    Labels have frequencies of Zipf's law and belong to topics. Each is shown by a signature
    of 16 features, some of which it shares with its topic. A row draws labels, then features
    from their signatures and from the noise of the whole vocabulary, as a text draws words.

    Parameters
    ----------
    n_samples : int, default=1000
        Rows.

    n_features : int, default=5000
        Columns of X.

    n_classes : int, default=1000
        Columns of Y; the rarest may have no row.

    n_labels : float, default=5
        Mean number of labels that a row draws, at least 1: the first and a Poisson number
        of others. Labels drawn twice count once.

    length : float, default=75
        Mean number of features that a row draws, at least 1: one and a Poisson number of
        others. The values of features drawn twice add up, so that fewer are non-zero.

    noise : float, default=0.5
        Share of them drawn from the whole vocabulary, in [0, 1].

    label_exponent : float, default=0.9
        Exponent a of the frequencies of labels: that of rank r, from 0, is proportional to
        1 / (r + 2.7)^a. A row's further labels from its topic are drawn uniformly.

    topic_size : int, default=32
        Labels of a topic: columns that follow one another.

    topic_share : float, default=0.6
        Probability of a row's further labels to come from the topic of its first, in [0, 1].

    random_state : int, RandomState instance or None, default=None
        Draws everything. An int fixes the data.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), float32
        Positive features, rows of unit length.

    Y : csr_array of shape (n_samples, n_classes), uint8
        Indicator of the labels.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have.

    MemoryError
        If the data would not fit, with the number of bytes; nothing is drawn then.

    See Also
    --------
    sklearn.datasets.make_multilabel_classification : For few labels.

    Notes
    -----
    Features have ranks, too: noise and signatures draw rank r with probability proportional
    to 1 / (r + 50)^0.8. Of a signature, 6 features are drawn from the 12 of the label's topic.
    Each draw adds a log-normal value.

    Examples
    --------
    >>> from sklsh.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(2000, n_classes=300, random_state=0)
    >>> X.shape, Y.shape
    ((2000, 5000), (2000, 300))
    """
    _check_parameters(locals())
    # Rows stand in memory twice while blocks are joined, and tables while they are drawn.
    rows = n_samples * (8 * (length + 1) + 5 * (n_labels + 1) + 16)
    tables = n_classes * 20 * _SIZE_OF_SIGNATURE + (n_classes + n_features) * 40
    require_bytes(
        int(2 * rows + tables),
        f"{n_samples:,} rows of about {length:g} features, with {n_classes:,} classes and "
        f"{n_features:,} features to draw from,",
    )
    seed = check_random_state(random_state).randint(2**31 - 1)
    topics = Topics(
        n_features, n_classes, n_labels=n_labels, length=length, noise=noise,
        label_exponent=label_exponent, topic_size=topic_size, topic_share=topic_share,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    starts = range(0, n_samples, _ROWS_AT_ONCE)
    blocks = [topics.draw(min(_ROWS_AT_ONCE, n_samples - start)) for start in starts]
    X, Y = (sp.vstack(parts, format="csr") for parts in zip(*blocks, strict=True))
    return X, Y


class Topics:
    """The drawn signatures and frequencies, from which rows can be drawn without end."""

    def __init__(
        self, n_features, n_classes, *, n_labels, length, noise, label_exponent, topic_size,
        topic_share, rng,
    ):  # fmt: skip
        self.n_features, self.n_classes = n_features, n_classes
        self.n_labels, self.length, self.noise = n_labels, length, noise
        self.topic_size, self.topic_share = topic_size, topic_share
        self.rng = rng
        self.labels = _Zipf(n_classes, label_exponent, _LABEL_SHIFT, rng)
        self.features = _Zipf(n_features, _FEATURE_EXPONENT, _FEATURE_SHIFT, rng)
        self.signatures = self._draw_signatures()

    def _draw_signatures(self):
        """The features that show each label, (n_classes, 16): 6 of its topic, 10 of its own."""
        n_shared = 6
        n_topics = -(-self.n_classes // self.topic_size)
        shared = self.features.draw((n_topics, 2 * n_shared))
        topic = np.arange(self.n_classes) // self.topic_size
        signatures = self.features.draw((self.n_classes, _SIZE_OF_SIGNATURE))
        for j in range(n_shared):  # one of each pair
            pick = 2 * j + self.rng.integers(0, 2, self.n_classes)
            signatures[:, j] = shared[topic, pick]
        return signatures

    def draw(self, n):
        """X and Y of `n` more rows."""
        Y = self._draw_labels(n)
        return self._draw_features(Y), Y

    def _draw_labels(self, n):
        counts = 1 + self.rng.poisson(self.n_labels - 1, n)
        ends = np.cumsum(counts)
        labels = self.labels.draw(ends[-1])
        first = np.repeat(labels[ends - counts], counts)  # of the row, for each of its labels
        stays = self.rng.random(len(labels)) < self.topic_share
        stays[ends - counts] = False
        begin = first[stays] // self.topic_size * self.topic_size
        size = np.minimum(self.topic_size, self.n_classes - begin)
        labels[stays] = begin + self.rng.integers(0, size)
        Y = _csr(np.ones(len(labels), dtype=np.uint8), labels, ends, self.n_classes)
        Y.data[:] = 1
        return Y

    def _draw_features(self, Y):
        n_labels = np.diff(Y.indptr)
        counts = 1 + self.rng.poisson(self.length - 1, Y.shape[0])
        ends = np.cumsum(counts)
        chosen = self.rng.integers(0, np.repeat(n_labels, counts))
        chosen += np.repeat(Y.indptr[:-1], counts)
        places = self.rng.integers(0, _SIZE_OF_SIGNATURE, ends[-1])
        features = self.signatures[Y.indices[chosen], places]
        noisy = self.rng.random(ends[-1]) < self.noise
        features[noisy] = self.features.draw(noisy.sum())
        values = np.exp(_SPREAD * self.rng.standard_normal(ends[-1], dtype=np.float32))
        X = _csr(values, features, ends, self.n_features)
        lengths = np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1]))
        X.data /= np.repeat(lengths, np.diff(X.indptr))
        return X


class _Zipf:
    """Draws from n items: the one of rank r with probability ~ 1 / (r + shift)^exponent."""

    def __init__(self, n, exponent, shift, rng):
        total = np.cumsum((np.arange(n) + shift) ** -exponent)
        self.below = total / total[-1]  # probability of this rank and all before it
        self.item = rng.permutation(n).astype(np.int32)  # of each rank
        self.rng = rng

    def draw(self, shape):
        ranks = np.searchsorted(self.below, self.rng.random(shape), side="right")
        return self.item[ranks]


def _csr(data, indices, ends, n_columns):
    """CSR with sorted indices; data of repeated ones are added up."""
    indptr = np.concatenate([[0], ends]).astype(np.int32)
    matrix = sp.csr_array((data, indices, indptr), shape=(len(ends), n_columns))
    matrix.sum_duplicates()
    return matrix


def _check_parameters(values):
    integers = {name: values[name] for name in ("n_samples", "n_features", "n_classes")}
    integers["topic_size"] = values["topic_size"]
    for name, value in integers.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= value < 2**31:
            raise ValueError(f"{name} must be an integer from 1 to below 2^31; got {value!r}.")
    limits = {
        "n_labels": (1, 1e6), "length": (1, 1e6), "noise": (0, 1), "topic_share": (0, 1),
        "label_exponent": (0, 10),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = values[name]
        if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low} to {high:g}; got {value!r}.")
