"""A system that fits and lists labels whenever it is asked to, in a process of its own.

    python -m systems.server '{"system": NAME, "seed": 0, "epochs": 10, "out": DIR}'

reads a word from each line of standard input and answers with a line of JSON:

    fit           with X.npz and Y.npz of `out`
    candidates    of the rows in X.npz, as many as the number behind the word: labels.npy and
                  scores.npy of `out`
    save          into the folder `model` of `out`

Each answer holds the CPU seconds that the system took and the peak memory of the process; the
first, before any word is read, holds the versions. Needs no sklsh of its own.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from systems.worker import model_of, peak_bytes, versions_of


class Server:
    """A model, and the folder through which data come and go."""

    def __init__(self, task):
        self.model, self.out = model_of(task), Path(task["out"])

    def fit(self):
        """Fit to the data in the folder; returns the CPU seconds."""
        inputs = self.model.fit_input(self._matrix("X"), self._matrix("Y"))
        start = time.process_time()
        self.model.fit(*inputs)
        return time.process_time() - start

    def candidates(self, k):
        """Write the k best labels of the rows in the folder; returns the CPU seconds."""
        rows = self.model.rows(self._matrix("X"))
        start = time.process_time()
        labels, scores = self.model.candidates(rows, int(k))
        seconds = time.process_time() - start
        np.save(self.out / "labels.npy", labels)
        np.save(self.out / "scores.npy", scores)
        return seconds

    def save(self):
        """Write the model."""
        self.model.save()
        return 0.0

    def _matrix(self, name):
        return sp.csr_matrix(sp.load_npz(self.out / f"{name}.npz"))


def main():
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the system itself prints is no answer
    task = json.loads(sys.argv[1])
    server = Server(task)
    answer = {"versions": versions_of(task["system"])}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline().split()
        if not line:
            return
        word, *arguments = line
        answer = {"cpu_s": getattr(server, word)(*arguments), "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    main()
