"""Lists of labels and logits, from what other systems call scores."""

import numpy as np

LEAST = 1e-6  # distance of a probability from 0 and 1 where it becomes a logit


def logits(probabilities):
    """log(p / (1 - p)), each p held LEAST away from 0 and 1."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), LEAST, 1 - LEAST)
    return np.log(p / (1 - p)).astype(np.float32)


def listed(found, n_rows, k):
    """Labels and logits of the k best, (n_rows, k) each; labels are -1 where fewer came.

    `found` holds for each row a list of (label, probability), best first.
    """
    labels, probabilities = np.full((n_rows, k), -1), np.zeros((n_rows, k), dtype=np.float32)
    for i, row in enumerate(found):
        if row:
            labels[i, : len(row)], probabilities[i, : len(row)] = zip(*row, strict=True)
    return labels, logits(probabilities)
