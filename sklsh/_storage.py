"""How weights are stored: as float32, or as bfloat16 in the bits of uint16.

A bfloat16 is the upper half of a float32: the same range, eight bits of precision.
"""

import numpy as np

STORAGE = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(np.uint16)}


def as_float32(stored):
    """Return `stored` itself if it is float32, else a copy of its values as float32."""
    if stored.dtype == np.float32:
        return stored
    return (stored.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(x):
    """Bits of the nearest bfloat16, ties to even, of finite float32 values."""
    bits = x.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
