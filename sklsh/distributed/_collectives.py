"""Collective operations that an exchange asks for: over a communicator, or all in one process.

An exchange is a generator. It yields messages, lists of parts with how each is to be reduced,
and is sent the list of what they reduce to; what it returns is its result. So the same code runs
under MPI, and for any number of workers side by side in one process.
"""

import zlib
from typing import NamedTuple

import numpy as np

MOST_TERMS = 1024  # bytes of a text that processes disagree about


class Sum(NamedTuple):
    """An array of the same shape on all processes; reduces to the sum of theirs."""

    array: np.ndarray

    def over(self, comm):
        """The sum over the processes of `comm`."""
        return _all_reduced(self.array, comm, "SUM")

    @staticmethod
    def of(arrays):
        """The sum of the workers' arrays, in their order."""
        total = arrays[0].copy()
        for array in arrays[1:]:
            total += array
        return total

    def bytes_sent(self, n_processes):
        """What a process sends in a ring."""
        return ring_reduction(self.array.nbytes, n_processes)


class Or(NamedTuple):
    """An array of bits, packed in uint8; reduces to the bits that any process has."""

    array: np.ndarray

    def over(self, comm):
        """The union over the processes of `comm`."""
        return _all_reduced(self.array, comm, "BOR")

    @staticmethod
    def of(arrays):
        """The union of the workers' bits."""
        return np.bitwise_or.reduce(arrays)

    def bytes_sent(self, n_processes):
        """What a process sends in a ring."""
        return ring_reduction(self.array.nbytes, n_processes)


class Gather(NamedTuple):
    """An array of any length; reduces to the list of those of all processes, in their order.

    `sizes` are the processes' numbers of elements; None where all have the same.
    """

    array: np.ndarray
    sizes: np.ndarray | None = None

    def over(self, comm):
        """The arrays of the processes of `comm`."""
        flat = np.ascontiguousarray(self.array).reshape(-1)
        if self.sizes is None:
            received = np.empty((comm.Get_size(), flat.size), dtype=flat.dtype)
            comm.Allgather(flat, received)
            return list(received)
        received = np.empty(int(np.sum(self.sizes)), dtype=flat.dtype)
        comm.Allgatherv(flat, [received, [int(size) for size in self.sizes]])
        return np.split(received, np.cumsum(self.sizes)[:-1])

    @staticmethod
    def of(arrays):
        """The workers' arrays."""
        return [array.reshape(-1) for array in arrays]

    def bytes_sent(self, n_processes):
        """What a process sends in a ring, if it had to pass on arrays like its own."""
        return ring_gather(self.array.nbytes, n_processes)


def ring_reduction(n_bytes, n_processes):
    """Bytes that each process sends where arrays of n_bytes are summed in a ring."""
    return 2 * (n_processes - 1) / n_processes * n_bytes


def ring_gather(n_bytes, n_processes):
    """Bytes that each process sends where arrays of n_bytes each are gathered in a ring."""
    return (n_processes - 1) * n_bytes


def run_over(comm, exchange):
    """Run this process's side of an exchange; its result, and the bytes this process sent."""
    n_bytes, reduced = 0, None
    while True:
        try:
            message = exchange.send(reduced)
        except StopIteration as end:
            return end.value, n_bytes
        n_bytes += sum(part.bytes_sent(comm.Get_size()) for part in message)
        reduced = [part.over(comm) for part in message]


def run_together(exchanges):
    """Run all sides of an exchange up to the end of the first; its result, and bytes by side."""
    n_bytes, reduced = np.zeros(len(exchanges)), None
    while True:
        try:
            messages = [exchange.send(reduced) for exchange in exchanges]
        except StopIteration as end:
            return end.value, n_bytes
        for i, message in enumerate(messages):
            n_bytes[i] += sum(part.bytes_sent(len(exchanges)) for part in message)
        reduced = [
            parts[0].of([part.array for part in parts]) for parts in zip(*messages, strict=True)
        ]


def agreed(terms):
    """Exchange: all processes have these terms, or ValueError on all; their number.

    A checksum of four bytes tells. Only where one differs the terms themselves are gathered.
    """
    [sums] = yield [Gather(np.array([zlib.crc32(terms.encode())], dtype=np.uint32))]
    if len({int(checksum[0]) for checksum in sums}) > 1:
        text = np.frombuffer(terms.encode()[:MOST_TERMS].ljust(MOST_TERMS), dtype=np.uint8)
        [texts] = yield [Gather(text)]
        texts = [text.tobytes().decode(errors="replace").rstrip() for text in texts]
        other = next(i for i, text in enumerate(texts) if text != texts[0])
        raise ValueError(
            "n_rows, width, name and parameters must be the same on all processes; process 0 "
            f"has {texts[0]}, process {other} {texts[other]}."
        )
    return len(sums)


def announced(n):
    """Exchange: how many rows each process brings."""
    [counts] = yield [Gather(np.array([n], dtype=np.uint32))]
    return np.concatenate(counts).astype(np.int64)


def _all_reduced(array, comm, operation):
    received = np.empty_like(array, order="C")
    comm.Allreduce(np.ascontiguousarray(array), received, op=_operation(comm, operation))
    return received


def _operation(comm, name):
    """The communicator's own `name`, else that of mpi4py."""
    if hasattr(comm, name):
        return getattr(comm, name)
    from mpi4py import MPI

    return getattr(MPI, name)
