"""Ranking metrics in NumPy, straight from their definitions.

Y is a dense indicator, labels come best first.
"""

import numpy as np


def precision_at_k(Y, labels, k, weight):
    return np.average([sum(y[row[:k]]) / k for y, row in zip(Y, labels, strict=True)], 0, weight)


def recall_at_k(Y, labels, k, weight):
    shares = [sum(y[row[:k]]) / max(sum(y), 1) for y, row in zip(Y, labels, strict=True)]
    return np.average(shares, 0, weight)


def ndcg_at_k(Y, labels, k, weight):
    def dcg(hits):
        return sum(hit / np.log2(rank + 1) for rank, hit in enumerate(hits[:k], start=1))

    rows = [
        dcg(y[row]) / dcg(sorted(y, reverse=True)) if any(y) else 0
        for y, row in zip(Y, labels, strict=True)
    ]
    return np.average(rows, 0, weight)


def psp_at_k(Y, labels, k, weight, propensities):
    gained = best = 0
    for y, row, w in zip(Y / propensities, labels, weight, strict=True):
        gained += w * sum(y[row[:k]])
        best += w * sum(sorted(y, reverse=True)[:k])
    return gained / best if best else 0
