"""Pictures of rectangles and of convex regions: two sets of two classes, drawn anew.

Rules are those of H. Larochelle, D. Erhan, A. Courville, J. Bergstra and Y. Bengio, "An
empirical evaluation of deep architectures on problems with many factors of variation", 2007,
doi:10.1145/1273496.1273556. Pictures have 28 by 28 pixels of 0 or 1, as rows of 784.
"""

import numpy as np
from scipy.spatial import ConvexHull, QhullError

SIDE = 28
LEAST_DIFFERENCE = 3  # of a rectangle's sides
LEAST_PIXELS = 19  # of a region
PARTS = 2, 4  # convex regions whose union is a non-convex one, least and most
# Probability that no further half-plane cuts a region: chosen so that pictures of both classes
# are about as bright: of all pixels .42 and .45 are in a region.
STOP_WHOLE, STOP_PART = 0.5, 0.07


def make_rectangles(n, seed):
    """Outlines of rectangles; the class is whether they are taller than wide."""
    rng = np.random.default_rng(seed)
    pictures, tall = np.zeros((n, SIDE, SIDE), dtype=np.float32), np.zeros(n, dtype=int)
    for i, picture in enumerate(pictures):
        height = width = 0
        while abs(height - width) < LEAST_DIFFERENCE:
            height, width = rng.integers(1, SIDE + 1, size=2)
        top, left = rng.integers(SIDE - height + 1), rng.integers(SIDE - width + 1)
        bottom, right = top + height - 1, left + width - 1
        picture[[top, bottom], left : right + 1] = 1
        picture[top : bottom + 1, [left, right]] = 1
        tall[i] = height > width
    return pictures.reshape(n, -1), tall


def make_regions(n, seed):
    """Regions of the plane; the class is whether they are convex."""
    rng = np.random.default_rng(seed)
    convex = rng.permutation(n) % 2
    pictures = np.stack([_convex(rng) if whole else _not_convex(rng) for whole in convex])
    return pictures.reshape(n, -1).astype(np.float32), convex


def _convex(rng):
    while True:
        region = _half_planes(rng, STOP_WHOLE)
        if region.sum() >= LEAST_PIXELS:
            return region


def _not_convex(rng):
    while True:
        n_parts = rng.integers(PARTS[0], PARTS[1] + 1)
        region = np.any([_half_planes(rng, STOP_PART) for _ in range(n_parts)], axis=0)
        if region.sum() >= LEAST_PIXELS and not _is_convex(region):
            return region


def _half_planes(rng, stop):
    """What is common to half-planes of random position and direction."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    region = np.ones((SIDE, SIDE), dtype=bool)
    for _ in range(rng.geometric(stop)):
        angle, (row, column) = rng.uniform(0, 2 * np.pi), rng.uniform(0, SIDE, size=2)
        region &= np.cos(angle) * (rows - row) + np.sin(angle) * (columns - column) >= 0
    return region


def _is_convex(region):
    """Whether no pixel outside lies in the hull of those inside."""
    try:
        sides = ConvexHull(np.argwhere(region)).equations
    except QhullError:  # all in one line
        return True
    distances = np.argwhere(~region) @ sides[:, :2].T + sides[:, 2]
    return not (distances <= 1e-9).all(axis=1).any()
