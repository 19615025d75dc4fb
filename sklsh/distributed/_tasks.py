"""What runs on workers: functions of their arguments alone.

A worker that is lost takes its results along. The scheduler then computes them again elsewhere,
from what they were computed from, with the same result.
"""

import copy
import threading
import time
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from dask.sizeof import sizeof
from distributed import get_worker

from sklsh._summary import united


class Shard(NamedTuple):
    """Rows that one model learns from.

    Attributes
    ----------
    name : str
        What messages call them.

    data : tuple (X, y, sample_weight) or None
        The rows; None if there are none.
    """

    name: str
    data: tuple | None


class State(NamedTuple):
    """A model between two rounds, and what the rounds have taken.

    Attributes
    ----------
    model : estimator
        The model.

    seconds : tuple of tuple of (str, float)
        For each round, in which thread of which worker models learnt, and for how long.
    """

    model: object
    seconds: tuple

    @property
    def nbytes(self):
        """Bytes that the wire sees."""
        return self.model._state_bytes


class Costs(NamedTuple):
    """Epochs, the least rounds in each, its multiply-adds, and bytes that a model sends."""

    n_epochs: int
    least_rounds: int
    multiply_adds: float
    n_bytes: int


class Lesson(NamedTuple):
    """What a model has learnt in a round: in which thread of which worker, for how long."""

    learnt: object
    where: str
    seconds: float

    @property
    def nbytes(self):
        """Bytes that the wire sees."""
        return self.learnt.nbytes


def gather_shard(partitions, first):
    """One `Shard` of partitions from number `first` on: (X, y) or (X, y, sample_weight)."""
    last = first + len(partitions) - 1
    name = f"partition {first}" if first == last else f"partitions {first} to {last}"
    parts, kinds = [], []
    for i, part in enumerate(partitions, start=first):
        if not isinstance(part, tuple | list) or len(part) not in (2, 3):
            raise TypeError(
                f"partition {i} must be a pair (X, y), or a triple with weights of rows; got "
                f"{type(part).__name__}."
            )
        X, y, weight = (*part, None)[:3]
        n = n_rows_of(X)
        for other, what in [(y, "y"), (weight, "sample_weight")]:
            if other is not None and n_rows_of(other) != n:
                raise ValueError(
                    f"{what} of partition {i} must have {n} rows, as X has; got {n_rows_of(other)}."
                )
        if n and (weight is None or np.any(np.asarray(weight) != 0)):
            parts.append((X, y, weight))
            kinds.append((i, kind_of(X, y, weight)))
    if not parts:
        return Shard(name, None)
    for i, kind in kinds[1:]:
        for what, ours in kinds[0][1].items():
            if kind[what] != ours:
                raise ValueError(
                    f"All partitions must be of one kind; {what}: {ours} in partition "
                    f"{kinds[0][0]}, {kind[what]} in partition {i}."
                )
    return Shard(name, tuple(map(joined, zip(*parts, strict=True))))


def kind_of(X, y, weight):
    """What partitions that are joined must have in common, as messages call it."""
    labels = np.dtype(object) if sp.issparse(y) else np.asarray(y).dtype
    return {
        "X": "sparse" if sp.issparse(X) else type(X).__name__,
        "columns of X": list(X.columns) if hasattr(X, "columns") else getattr(X, "shape", ())[1:],
        "columns of y": y.shape[1:] if hasattr(y, "shape") else None,
        "labels in y": "text" if labels.kind in "US" else "numbers or objects",
        "sample_weight": "none" if weight is None else "some",
    }


def n_rows_of(rows):
    """Number of rows of a matrix, data frame or list."""
    return rows.shape[0] if hasattr(rows, "shape") else len(rows)


def joined(parts):
    """Rows of several parts, of one kind, one below the other."""
    first = parts[0]
    if first is None or len(parts) == 1:
        return first
    if sp.issparse(first):
        return sp.vstack(parts, format="csr")
    if hasattr(first, "iloc"):  # a data frame or series
        import pandas

        return pandas.concat(parts)
    if isinstance(first, list | tuple):
        return list(chain.from_iterable(parts))
    return np.concatenate(parts)


def summarize(estimator, shard, classes):
    """Name of a shard and its `Summary`; None of one without rows."""
    if shard.data is None:
        return shard.name, None
    with naming(shard.name):
        return shard.name, copy.copy(estimator)._summarize(*shard.data, classes=classes)


def unite(named):
    """`Summary` of all shards, from names and summaries."""
    named = [(name, summary) for name, summary in named if summary is not None]
    if not named:
        raise ValueError("X must have at least one row of some weight; all partitions are empty.")
    names, summaries = map(list, zip(*named, strict=True))
    return united(summaries, names)


def begin(estimator, summary):
    """State before the first round."""
    return State(copy.copy(estimator)._begin(summary), ())


def costs(state, summary):
    """`Costs` that rounds are planned by."""
    model, n_rows = state.model, summary.n_rows
    return Costs(
        n_epochs=model._n_epochs_of(summary),
        least_rounds=model._least_rounds,
        multiply_adds=n_rows * model._multiply_adds(summary),
        n_bytes=model._state_bytes,
    )


def learn(state, shard, summary, part, wire_dtype):
    """What a model learns from a shard in a round; None of one without rows of some weight."""
    if shard.data is None:
        return None
    started = time.perf_counter()
    with naming(shard.name):
        learnt = state.model._learn(*shard.data, summary, part, wire_dtype)
    if learnt is None:
        return None
    return Lesson(learnt, _here(), time.perf_counter() - started)


def put_together(state, lessons, n_epochs):
    """State after a round, where models have learnt this and so many epochs are over."""
    lessons = [lesson for lesson in lessons if lesson is not None]
    if not lessons:
        raise ValueError("class_weight and sample_weight leave no row with a weight.")
    model = copy.deepcopy(state.model)._put_together([one.learnt for one in lessons], n_epochs)
    return State(model, (*state.seconds, tuple((one.where, one.seconds) for one in lessons)))


def _here():
    """The worker and its thread that run the task."""
    return f"{get_worker().address} {threading.get_ident()}"


@contextmanager
def naming(name):
    """Errors inside say what data they are about."""
    try:
        yield
    except (ValueError, TypeError, MemoryError) as error:
        kind = next(k for k in (ValueError, TypeError, MemoryError) if isinstance(error, k))
        raise kind(f"{name}: {error}") from error


@sizeof.register(State)
@sizeof.register(Lesson)
def _bytes_of(message):
    """What the scheduler plans transfers by."""
    return message.nbytes
