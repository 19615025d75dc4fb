"""A rival under NeighborBlendClassifier, which chooses the weight as it does for our network.

The rival fits and lists labels in processes of its own (systems/server.py), one for each fit,
under the Python that the variable RIVALS_PYTHON names where it wants another than ours. CPU
seconds are those of the rival, of lists of fifty labels and of the votes together, without what
handing over the data takes; peak memory is that of the votes and of the largest of the rival's
processes; wall seconds are of everything.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin

from sklsh import NeighborBlendClassifier
from systems import SYSTEMS, blend
from systems.worker import MISSING

HERE = Path(__file__).resolve().parent


class Process:
    """One server of a rival.

    Parameters
    ----------
    task : dict
        What the server is told; "system" and "out", a folder, among it.
    """

    def __init__(self, task):
        self.out = Path(task["out"])
        python, environment = sys.executable, dict(os.environ)
        if SYSTEMS[task["system"]].rival:
            python = environment.get("RIVALS_PYTHON", python)
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [python, "-m", "systems.server", json.dumps(task)], cwd=HERE.parent, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        weakref.finalize(self, self.process.communicate)  # at the end of its input it leaves
        self.versions = self._answer()["versions"]

    def ask(self, words, **matrices):
        """The answer to the words, once the matrices are where the server looks for them."""
        for name, matrix in matrices.items():
            sp.save_npz(self.out / f"{name}.npz", matrix, compressed=False)
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            sys.exit(MISSING if status == MISSING else f"the rival left with status {status}")
        return json.loads(line)


class Rivals:
    """Processes of one rival, and what they have taken so far.

    Attributes
    ----------
    elsewhere_s : float
        CPU seconds of the rival, less those that this process spent on handing over.

    peak_bytes : int
        Peak memory of the largest process.

    versions : dict
        Of the rival's package and what it runs under.
    """

    def __init__(self, task, folder):
        self.task, self.folder = task, folder
        self.elsewhere_s, self.peak_bytes, self.versions = 0.0, 0, {}

    def __sklearn_clone__(self):
        """Itself: clones of an estimator share one account."""
        return self

    def start(self):
        """A new process, in a folder of its own."""
        with self._handing_over():
            out = tempfile.mkdtemp(dir=self.folder)
            process = Process(self.task | {"out": out})
        self.versions = process.versions
        return process

    def ask(self, process, words, **matrices):
        """CPU seconds that the process took to do it."""
        with self._handing_over():
            answer = process.ask(words, **matrices)
        self.elsewhere_s += answer["cpu_s"]
        self.peak_bytes = max(self.peak_bytes, answer["peak_bytes"])
        return answer["cpu_s"]

    @contextmanager
    def _handing_over(self):
        start = time.process_time()
        yield
        self.elsewhere_s -= time.process_time() - start


class RivalClassifier(ClassifierMixin, BaseEstimator):
    """A rival as the estimator that NeighborBlendClassifier asks for."""

    def __init__(self, rivals):
        self.rivals = rivals

    def fit(self, X, y):
        """Fit in a new process."""
        self.process_ = self.rivals.start()
        self.fit_cpu_s_ = self.rivals.ask(self.process_, "fit", X=X, Y=y)
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_top_k(self, X, k):
        """Its k best labels, -1 where fewer came, and their scores."""
        self.rivals.ask(self.process_, f"candidates {k}", X=X)
        return tuple(np.load(self.process_.out / f"{name}.npy") for name in ("labels", "scores"))

    def predict(self, X):
        """Its best label of each row."""
        return self.predict_top_k(X, 1)[0][:, 0]

    def save(self, folder):
        """Have it written, and moved to the folder."""
        self.rivals.ask(self.process_, "save")
        (self.process_.out / "model").rename(folder)


class Model(blend.Model):
    """The blend at its defaults; `rival` is a name of SYSTEMS."""

    def __init__(self, *, seed, folder, rival, epochs=None):
        self.folder = folder
        task = {"system": rival, "seed": seed, "epochs": epochs}
        self.rivals = Rivals(task, folder.parent)
        self.classifier = NeighborBlendClassifier(
            RivalClassifier(self.rivals), random_state=seed, n_jobs=1
        )

    def predict(self, X, k):
        """The k labels of largest blended score, of the rival's candidates and the voters'."""
        labels, scores = self.classifier.predict_top_k(X, k)
        return np.where(np.isneginf(scores), -1, labels)

    def save(self):
        """The rival's own files, and the rows that vote."""
        joblib.dump(self.classifier._electorate, self.folder / "votes.joblib")
        self.classifier.estimator_.save(self.folder / "rival")

    def process_time(self):
        """CPU seconds so far, of this process and of the rival."""
        return time.process_time() + self.rivals.elsewhere_s

    @property
    def peak_bytes(self):
        """Of the largest process of the rival."""
        return self.rivals.peak_bytes

    @property
    def versions(self):
        """Those that the rival runs with."""
        return self.rivals.versions
