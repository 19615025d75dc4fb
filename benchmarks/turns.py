"""Trainings that take turns in one process, a stretch of batches at a time.

What disturbs the machine then disturbs all of them alike.
"""

import threading
import time

import numpy as np


class Turn:
    """A training in a thread of its own, which runs only while it has the turn.

    Parameters
    ----------
    train : callable
        Called as train(pause); has to call pause() before each batch.

    n_rows, batch : int
        Rows that it trains on, and those of a batch.

    stretch : int
        Batches of a turn.

    Attributes
    ----------
    ended : bool
        Whether it has.

    stretches : list of (rows, CPU seconds, wall seconds)
        Its turns, without what came before the first batch.
    """

    def __init__(self, train, n_rows, batch, stretch):
        self.ended = False
        self.stretches = []
        self._train = train
        self._rows = [min(batch, n_rows - first) for first in range(0, n_rows, batch)]
        self._stretch = stretch
        self._n_begun = 0
        self._error = None
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()
        self._wait()  # until it is ready for its first batch
        if self.ended:
            raise RuntimeError("A training ended without a batch.")

    def go_on(self):
        """Let it have its turn."""
        first, cpu, wall = self._n_begun, time.process_time(), time.perf_counter()
        self._mine.release()
        self._wait()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        n_rows = sum(self._rows[first : None if self.ended else self._n_begun])
        self.stretches.append((n_rows, cpu, wall))

    def us_per_row(self):
        """Median CPU and wall microseconds of a row over the full turns."""
        full = max(rows for rows, _, _ in self.stretches)
        seconds = [(cpu / n, wall / n) for n, cpu, wall in self.stretches if n == full]
        return np.median(seconds, axis=0) * 1e6

    def mean_us_per_row(self):
        """CPU microseconds of a row over all turns."""
        rows, cpu, _ = np.sum(self.stretches, axis=0)
        return cpu / rows * 1e6

    def _run(self):
        try:
            self._train(self._pause)
        except BaseException as error:
            self._error = error
        self.ended = True
        self._others.release()

    def _pause(self):
        if self._n_begun % self._stretch == 0:
            self._others.release()
            self._mine.acquire()
        self._n_begun += 1

    def _wait(self):
        self._others.acquire()
        if self._error is not None:
            raise self._error
