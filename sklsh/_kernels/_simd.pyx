"""Choice of the instruction set, made once when the package is imported."""

import os

cdef extern from "simd.h" nogil:
    int supported_levels(const row_ops** levels) noexcept


cdef const row_ops* LEVELS[4]
cdef int N_LEVELS = supported_levels(LEVELS)


def available_levels():
    """Names of the instruction sets this CPU can run, narrowest first."""
    return [LEVELS[i].name.decode() for i in range(N_LEVELS)]


def level():
    """Name of the instruction set in use."""
    return ops.name.decode()


def use_level(name):
    """Run all kernels with the instruction set `name` from now on."""
    global ops
    names = available_levels()
    if name not in names:
        raise ValueError(
            f"SKLSH_SIMD={name!r} is not an instruction set of this CPU; "
            f"it has {', '.join(names)}."
        )
    ops = LEVELS[names.index(name)]


use_level(os.environ.get("SKLSH_SIMD") or available_levels().pop())
