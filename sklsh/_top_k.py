"""The classes of largest logit, by the kernel that is fastest for so many rows."""

import numpy as np

from sklsh._kernels import _topk, _topk_bounded

BOUNDED_FROM = 96  # rows a thread, by which bounds of the classes pay


def top_k(hidden, weights, bias, k, n_threads):
    """The k classes of largest logit of each row: (ids, logits), best first.

    Parameters
    ----------
    hidden : ndarray of shape (n, padded width), float32
        Activations.

    weights : ndarray of shape (n_classes, padded width), float32 or bits of bfloat16
        One row for each class.

    bias : ndarray of shape (n_classes,), float32
        Added to the products.

    k, n_threads : int
        At most n_classes, and OpenMP threads; which kernel runs makes no difference to the
        result.
    """
    many = len(hidden) >= BOUNDED_FROM * n_threads
    if many and _topk_bounded.available(hidden.shape[1]):
        return by_bounds(hidden, weights, bias, k, n_threads)
    ids, logits = empty(len(hidden), k)
    _topk.top_k(hidden, weights, bias, ids, logits, n_threads)
    return ids, logits


def by_bounds(hidden, weights, bias, k, n_threads):
    """The same, looking at the classes of largest norm first and at others as needed."""
    ids, logits = empty(len(hidden), k)
    norms, biases = np.empty((2, len(bias)), dtype=np.float32)
    _topk_bounded.bound_classes(weights, bias, norms, biases, n_threads)
    order = by_falling(norms)
    bias_left = np.maximum.accumulate(biases[order][::-1])[::-1].copy()
    _topk_bounded.top_k(
        hidden, weights, bias, order, norms[order], bias_left, ids, logits, n_threads
    )
    return ids, logits


def by_falling(norms):
    """Places of the numbers, none negative, from largest to smallest; equal ones as they stand.

    A norm that is no number comes first. Were equal ones to come backwards, each of many
    classes that tie would drive another out of the lists.
    """
    last = len(norms) - 1
    place = np.uint64(last) - np.arange(len(norms), dtype=np.uint64)
    keys = norms.view(np.uint32).astype(np.uint64) << np.uint64(32) | place  # floats sort as bits
    keys.sort()
    return (last - (keys[::-1] & np.uint64(2**32 - 1)).astype(np.int64)).astype(np.int32)


def empty(n, k):
    """Room for ids and logits."""
    return np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
