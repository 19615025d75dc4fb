"""How likely hashing is to find a class."""

import numpy as np


def inclusion_probability(cosines, n_bits, n_tables):
    """Probability that two vectors share a bucket in any of the tables.

    Signs of Gaussian projections agree with probability c = 1 - angle / pi, codes of K such
    bits with c**K, and one of L codes at least with 1 - (1 - c**K)**L.

    Parameters
    ----------
    cosines : ndarray
        Of the angles.

    n_bits, n_tables : int
        K and L.

    Returns
    -------
    probability : ndarray of float64
        In [0, 1].
    """
    angles = np.arccos(np.clip(cosines, -1, 1, dtype=np.float64))
    in_one = (1 - angles / np.pi) ** n_bits
    return -np.expm1(n_tables * np.log1p(-np.minimum(in_one, 1 - 1e-16)))
