"""Data on which the rows to train on are chosen: generated, and real sets read from a folder."""

import gzip
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_svmlight_file, make_classification

N_FEATURES, N_CLASSES = 32, 8
HARD_SHARE = 0.05  # of the rows, in the region that takes long to learn
N_TEST = 10_000
REAL = "letter", "mnist", "magic04", "a9a"


class Task(NamedTuple):
    """Rows to train on and rows to judge by, and which of each are hard, where that is known."""

    name: str
    train: tuple
    test: tuple
    hard: np.ndarray | None = None
    hard_test: np.ndarray | None = None

    @property
    def classes(self):
        """Labels."""
        return np.unique(self.train[1])


# ---- generated ----


def hard_region(n, seed, flipped=0.0):
    """Rows (X, y, is_hard): a cluster for each class, and a region where a network labels them.

    The clusters are learnt at once, the region takes long. A share of the labels is `flipped`
    to a class at random.
    """
    teacher, random = np.random.RandomState(7), np.random.RandomState(seed)
    centers = 1.5 * teacher.normal(size=(N_CLASSES, N_FEATURES))
    hard_center = 1.5 * teacher.normal(size=N_FEATURES)
    hidden = teacher.normal(size=(N_FEATURES, 24)) * 2 / np.sqrt(N_FEATURES)
    output = teacher.normal(size=(24, N_CLASSES))
    y = random.randint(N_CLASSES, size=n)
    X = centers[y] + 0.7 * random.normal(size=(n, N_FEATURES))
    is_hard = random.random_sample(n) < HARD_SHARE
    inside = random.normal(size=(is_hard.sum(), N_FEATURES))
    X[is_hard] = hard_center + inside
    y[is_hard] = (np.maximum(inside @ hidden, 0) @ output).argmax(axis=1)
    wrong = random.random_sample(n) < flipped
    y[wrong] = random.randint(N_CLASSES, size=wrong.sum())
    return X.astype(np.float32), y, is_hard


def hard_region_task(n, flipped=0.0):
    """The hard region, its labels right or not."""
    X, y, hard = hard_region(n, 1, flipped)
    X_test, y_test, hard_test = hard_region(N_TEST, 2, flipped)
    name = "hard region" + (f", {flipped:.0%} of the labels flipped" if flipped else "")
    return Task(name, (X, y), (X_test, y_test), hard, hard_test)


def imbalance_task(n):
    """A class of 2 %, and labels of which .5 % are wrong."""
    X, y = make_classification(
        n + N_TEST, N_FEATURES, n_informative=10, n_redundant=0, n_clusters_per_class=4,
        weights=[0.98], flip_y=0.005, random_state=0,
    )  # fmt: skip
    X = X.astype(np.float32)
    return Task("a class of 2 %", (X[:n], y[:n]), (X[n:], y[n:]))


# ---- real ----


def real_task(name, folder):
    """A real set; None where `folder` does not have it."""
    try:
        X, y, X_test, y_test = READERS[name](folder)
    except FileNotFoundError:
        return None
    return Task(name, (X, y), (X_test, y_test))


def scaled(X, X_test):
    """Rows of mean 0 and variance 1, float32."""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    spread[spread == 0] = 1
    return tuple(((part - mean) / spread).astype(np.float32) for part in (X, X_test))


def read_csv(path):
    """Lines of a compressed file as lists of strings."""
    with gzip.open(path, "rt") as file:
        return [line.strip().split(",") for line in file if line.strip()]


def read_a9a(folder):
    """Binary features, sparse, with the split as published."""
    parts = []
    for name in ("a9a.svm.gz", "a9a.t.svm.gz"):
        if not (folder / "a9a" / name).exists():
            raise FileNotFoundError(name)
        X, y = load_svmlight_file(str(folder / "a9a" / name), n_features=123, dtype=np.float32)
        parts += [X, (y > 0).astype(int)]
    return parts


def read_letter(folder):
    """Letters; the last 4,000 are for testing, as usual."""
    lines = read_csv(folder / "uci" / "letter-recognition.data.gz")
    y = np.array([ord(line[0]) - ord("A") for line in lines])
    X, X_test = np.split(np.array([line[1:] for line in lines], dtype=float), [16_000])
    X, X_test = scaled(X, X_test)
    return X, y[:16_000], X_test, y[16_000:]


def read_magic(folder):
    """Gamma rays and hadrons; 4,020 rows at random are for testing."""
    lines = read_csv(folder / "uci" / "magic04.data.gz")
    order = np.random.RandomState(0).permutation(len(lines))
    y = np.array([line[-1] == "g" for line in lines]).astype(int)[order]
    X = np.array([line[:-1] for line in lines], dtype=float)[order]
    X, X_test = scaled(X[:15_000], X[15_000:])
    return X, y[:15_000], X_test, y[15_000:]


def read_mnist(folder):
    """Digits, pixels from 0 to 1."""
    with np.load(folder / "mnist" / "mnist.npz") as file:
        X, X_test = (file[f"X_{part}"] / np.float32(255) for part in ("train", "test"))
        y, y_test = (file[f"y_{part}"].astype(int) for part in ("train", "test"))
    return X, y, X_test, y_test


READERS = {"a9a": read_a9a, "letter": read_letter, "magic04": read_magic, "mnist": read_mnist}
