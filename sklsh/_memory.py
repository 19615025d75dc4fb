"""Memory: aligned arrays, how much is free, and refusals made before allocating."""

import math
import os
from pathlib import Path

import numpy as np

LANES = 16  # floats in a cache line; every row of weights is padded to a multiple of it

_CGROUPS = (  # limit, usage, and what part of the usage is cache that can be given up
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def padded(n):
    """Round `n` up to whole cache lines of floats."""
    return -(-n // LANES) * LANES


def aligned_zeros(shape, dtype=np.float32):
    """Zeros whose first element starts a cache line: gathered rows then touch fewer.

    It starts a pair of lines, which CPUs fetch together.
    """
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.zeros(n_bytes + 128, dtype=np.uint8)
    start = -buffer.ctypes.data % 128
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_copy(array):
    """Writable aligned copy of `array`."""
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


def writable(array):
    """Return `array`, or a copy if it is read-only, as from a memory map."""
    return array if array.flags.writeable else aligned_copy(array)


def available_bytes():
    """Free memory in bytes, within the container's limit; None where it is unknown."""
    candidates = []
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    candidates.append(int(line.split()[1]) * 1024)
    except OSError:
        try:
            candidates.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
        except (AttributeError, ValueError, OSError):
            pass
    candidates += [free for free in map(_free_in_cgroup, _CGROUPS) if free is not None]
    return min(candidates) if candidates else None


def _free_in_cgroup(group):
    folder, limit_name, usage_name, cache_name = group
    try:
        limit, usage, statistics = (
            Path(folder, name).read_text() for name in (limit_name, usage_name, "memory.stat")
        )
        cache = dict(line.split() for line in statistics.splitlines())[cache_name]
        return int(limit) - int(usage) + int(cache)
    except (OSError, ValueError, KeyError):  # no such controller, or no limit ("max")
        return None


def require_bytes(n_bytes, what, instead=""):
    """Raise MemoryError, naming the bytes, if `n_bytes` for `what` will not fit."""
    available = available_bytes()
    if available is not None and n_bytes > available:
        raise MemoryError(
            f"{what} would take {n_bytes:,} bytes, but {max(available, 0):,} bytes of "
            f"memory are free.{' ' + instead if instead else ''}"
        )


class Scratch:
    """Named buffers that grow and are used again, so that steps do not allocate."""

    def __init__(self):
        self._buffers = {}

    def bytes(self, name, n):
        """Uninitialised aligned int8 array of n elements, valid until the next call."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < n:
            buffer = self._buffers[name] = aligned_zeros(n + n // 4, np.int8)
        return buffer[:n]

    def floats(self, name, *shape):
        """Uninitialised aligned float32 array of `shape`, valid until the next call."""
        return self.bytes(name, 4 * math.prod(shape)).view(np.float32).reshape(shape)
