"""Processes that do the same side by side: what each has goes to all, as do errors."""

import pickle
from contextlib import contextmanager

import numpy as np

from sklsh.distributed._collectives import Gather

KINDS = ValueError, TypeError, MemoryError, ImportError  # of errors that all raise as they are


class Processes:
    """The processes of a communicator.

    Each of them has to come to the same calls in the same order. One that has failed comes to
    the next `go_on` alone, so that no other waits for it in vain.

    Parameters
    ----------
    comm : communicator
        With mpi4py's methods of buffers.
    """

    def __init__(self, comm):
        self.comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._can_tell = True  # others of an error

    def gather(self, thing):
        """List of the things of all processes, in their order; they can be pickled."""
        pickled = np.array(bytearray(pickle.dumps(thing)))
        sizes = np.concatenate(Gather(np.array([len(pickled)])).over(self.comm))
        return [pickle.loads(part) for part in Gather(pickled, sizes).over(self.comm)]

    def go_on(self, error=None):
        """Return if no process has an error; else raise the first on all of them."""
        flags = Gather(np.array([error is not None], dtype=np.uint8)).over(self.comm)
        if not np.any(flags):
            return
        self._can_tell = False
        errors = self.gather(None if error is None else _described(error))
        rank, (kind, text) = next(pair for pair in enumerate(errors) if pair[1])
        raise kind(f"process {rank}: {text}") from error

    @contextmanager
    def exchange(self):
        """Around messages to each other, amid which no process can tell of an error."""
        self._can_tell = False
        yield
        self._can_tell = True

    def do(self, function, *arguments):
        """What the function returns here, if it raises on no process; else all raise.

        It may call `go_on` and what follows such calls, as often on each process.
        """
        result = error = None
        try:
            result = function(*arguments)
        except Exception as raised:
            if not self._can_tell:
                raise
            error = raised
        self.go_on(error)
        return result


def _described(error):
    """Kind and text of an error, as all processes can raise it."""
    for kind in KINDS:
        if isinstance(error, kind):
            return kind, str(error)
    return RuntimeError, f"{type(error).__name__}: {error}"
