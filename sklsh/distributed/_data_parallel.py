"""Fits that several processes run together: each takes its rows of every step."""

import copy
import math
import zlib
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils import check_random_state

from sklsh._classifier import NetworkClassifier
from sklsh._summary import united
from sklsh._training import Part
from sklsh.distributed._compressor import SketchCompressor
from sklsh.distributed._processes import Processes
from sklsh.distributed._shared_steps import SharedSteps
from sklsh.negatives import Full

OWN = "random_state", "n_jobs", "verbose"  # parameters that need not be the same everywhere


def fit_together(estimator, X, y, sample_weight, classes, comm, compressor):
    """A fitted copy of the estimator, the same on all processes of `comm`.

    Each calls this with rows of its own; see :func:`sklsh.distributed.fit`.
    """
    processes = Processes(comm)
    model, compressor, seed = processes.do(_prepared, estimator, compressor)
    summary = processes.do(model._summarize, X, y, sample_weight, classes)
    settings = {k: repr(v) for k, v in model.get_params(deep=False).items() if k not in OWN}
    settings |= {"class of estimator": type(model).__name__, "compressor": repr(compressor)}
    all_settings, seeds, summaries = zip(*processes.gather((settings, seed, summary)), strict=True)
    _check_same(all_settings)
    model.set_params(random_state=seeds[0])
    summary = united(summaries, [f"process {rank}" for rank in range(processes.size)])
    processes.do(model._begin, summary)
    counts = [one.n_rows for one in summaries]
    _train(model, (X, y, sample_weight), counts, summary, processes, compressor)
    _check_alike(model, processes)
    return model


def _prepared(estimator, compressor):
    """A copy that can be trained, a compressor without a past, and a seed."""
    if not isinstance(estimator, NetworkClassifier):
        raise TypeError(
            "estimator must be a SLIDEClassifier or LSHSoftmaxClassifier where processes train "
            f"one model (comm); got {type(estimator).__name__}."
        )
    if compressor is None:
        compressor = SketchCompressor("coo")
    if not isinstance(compressor, SketchCompressor):
        raise TypeError(f"compressor must be a SketchCompressor or None; got {compressor!r}.")
    compressor.check_parameters()
    estimator._validate_params()
    refused = {"early_stopping": False, "warm_start": False, "hidden_sampling": None}
    for name, only in (refused | {"normalize": False}).items():
        if getattr(estimator, name) != only:
            raise ValueError(
                f"{name} must be {only} where processes train one model (comm); got "
                f"{getattr(estimator, name)!r}."
            )
    if estimator.product_dtype == "int8":
        raise ValueError(
            'product_dtype must be "float32" or "auto", which is that, where processes train one '
            "model (comm), as 8-bit steps update rows before their gradients could be summed; got "
            "'int8'."
        )
    seed = estimator.random_state
    if seed is None or isinstance(seed, np.random.RandomState):
        seed = int(check_random_state(seed).randint(2**31 - 1))
    model = clone(estimator).set_params(product_dtype="float32", random_state=seed)
    return model, compressor.reset(), seed


def _check_same(settings):
    """Raise ValueError unless all processes have the same parameters."""
    for rank, other in enumerate(settings):
        for name in reversed(list(settings[0])):  # of other classes the parameters are others
            value = settings[0][name]
            if other[name] != value:
                raise ValueError(
                    f"{name} must be the same on all processes; it is {value} on process 0 and "
                    f"{other[name]} on process {rank}."
                )


def _train(model, data, counts, summary, processes, compressor):
    """Train a model that has begun."""
    learner = copy.copy(model)
    learner._negatives = copy.deepcopy(model._negatives)
    part = Part(seed=model.random_state, place=processes.rank)
    rows, plan = processes.do(learner._ready_to_learn, *data, summary, part)
    n_batches = math.ceil(summary.n_rows / plan.batch_size)
    batch_sizes = -(-np.array(counts) // n_batches)
    plan.batch_size = int(batch_sizes[processes.rank])
    rows = filled_up(*rows, n_batches * plan.batch_size)

    network = model._network
    optimizer = network.optimizer
    network.optimizer = SharedSteps(
        network, isinstance(learner._negatives, Full), batch_sizes * n_batches / summary.n_rows,
        processes, compressor,
    )  # fmt: skip
    processes.do(learner._run, *rows, plan, _epochs(learner, processes))
    network.optimizer = optimizer
    for looks in processes.gather(model._looks_of(learner)):
        model._note_looks(looks)


def filled_up(X, Y, weight, n_rows):
    """So many rows, the last of which are empty and have no weight."""
    return *(_with_empty_rows(rows, n_rows) for rows in (X, Y)), np.pad(
        weight, (0, n_rows - len(weight))
    )


def _with_empty_rows(rows, n_rows):
    n_more, n_columns = n_rows - rows.shape[0], rows.shape[1]
    if not sp.issparse(rows):
        return np.pad(rows, ((0, n_more), (0, 0)))
    indptr = np.pad(rows.indptr, (0, n_more), mode="edge")
    return type(rows)((rows.data, rows.indices, indptr), shape=(n_rows, n_columns))


def _epochs(learner, processes):
    """Context manager around each epoch, at whose end all processes note the rows of all."""
    progress = learner._progress

    @contextmanager
    def on_epoch(epoch):
        before = copy.deepcopy(progress)
        yield SimpleNamespace(stop=False)
        processes.go_on()
        parts = processes.gather(progress.since(before))
        vars(progress).update(vars(before))
        progress.note_round(parts, epoch + 1)
        if learner.verbose and processes.rank == 0:
            print(progress.last_epoch(scored=False))

    return on_epoch


def _check_alike(model, processes):
    """Raise RuntimeError unless all processes have the same weights and optimizer state."""
    checksum = 0
    for parameter in model._network.parameters:
        for array in (parameter.weights, *parameter.slots):
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    checksums = processes.gather(checksum)
    if len(set(checksums)) > 1:
        raise RuntimeError(
            "The processes have come to different models: sums of their gradients have differed. "
            "comm.Allreduce must return the same bits on all of them, and they must run the same "
            "versions of sklsh and NumPy on processors of one kind, or at one SKLSH_SIMD."
        )
