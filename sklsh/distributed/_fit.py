"""Fits to rows that lie on several machines: Dask's partitions, or what processes bring."""

import numpy as np

from sklsh._sklearn import check_k
from sklsh.distributed._dask import current_client, dask
from sklsh.distributed._data_parallel import fit_together
from sklsh.distributed._partitions import partitions_of

WIRE_DTYPES = ("float32", "bfloat16")


def fit(
    estimator, X, y=None, *, sample_weight=None, classes=None, client=None, n_rounds="auto",
    n_models="auto", wire_dtype="float32", comm=None, compressor=None,
):  # fmt: skip
    """Fit an estimator to rows that lie on several machines.

    Without `comm` they lie in partitions on a Dask cluster, which trains several models side by
    side, each on partitions of its own. They begin each round alike, and at its end what they
    have learnt is put together: sketched linear models by their mean, as sketches are linear;
    networks by their mean moves, which count up where they are about different things, and the
    means of their optimizers' moments.

    With `comm` each of its processes brings rows of its own, and calls this like all others. They
    train one network and take every step together, by the sum of their gradients.

    Parameters
    ----------
    estimator : estimator
        One of the MISSION family, `SLIDEClassifier`, `LSHSoftmaxClassifier`, `KernelSampledSGD`
        or `KernelSampledSGDRegressor`; with `comm` `SLIDEClassifier` or `LSHSoftmaxClassifier`.
        It is fitted and returned, and stays as it was if that fails. "auto" parameters go by
        all rows.

    X : dask array, dataframe or bag, or list of delayed
        Rows. Blocks of an array may be sparse matrices; a bag holds rows of tokens. A list
        holds delayed matrices or, without y, delayed pairs (X, y) or triples with weights of
        rows. With `comm`: this process's rows, as the estimator's own `fit` takes them, at
        least one.

    y : dask array, series, dataframe or bag, list of delayed, or None
        Targets, in as many partitions of the same rows; indicator matrices may be sparse. With
        `comm`: those of this process's rows.

    sample_weight : dask array, series or list of delayed, default=None
        Non-negative weight of each row. With `comm`: an array, of this process's rows.

    classes : array-like of shape (n_classes,), default=None
        All labels; by default those of all partitions. A label that is not among them is an
        error.

    client : distributed.Client, default=None
        Of the cluster; None is the client of now.

    n_rounds : int or "auto", default="auto"
        How often models are put together. "auto": as often as takes about a twentieth of the
        time of local training, by an estimate from sizes alone, and at least once in an epoch
        for networks.

    n_models : int or "auto", default="auto"
        Models that are trained side by side, each of which takes as many partitions as others,
        in their order; "auto": one for each thread of a worker there is now, or for each
        partition if there are fewer.

    wire_dtype : {"float32", "bfloat16"}, default="float32"
        What networks send of what they have learnt.

    comm : communicator, default=None
        Such as mpi4py's ``MPI.COMM_WORLD``: with its methods of buffers Get_rank, Get_size,
        Allreduce, Allgather and Allgatherv. The four parameters above are then left alone, and
        Dask is not needed.

    compressor : SketchCompressor, default=None
        With `comm`, how row-sparse gradients travel; None is ``SketchCompressor("coo")``, whose
        sums are exact. It starts anew, and counts in `bytes_sent_` what this process sends of
        gradients.

    Returns
    -------
    estimator : estimator
        Fitted, as if it had been in one place; on a cluster with `n_rounds_`, `merge_seconds_`
        and `local_seconds_` besides. With `comm` it is the same on all processes, bit for bit,
        but for `n_jobs`, `verbose` and `random_state`, which may be each process's own.

    Raises
    ------
    ImportError
        If Dask is not installed, and there is no `comm`.

    TypeError, ValueError
        If the data do not fit, with the number of the partition or process, a parameter is not
        possible, or training diverges.

    RuntimeError
        With `comm`, if the processes come to different models, or one fails otherwise.

    ConnectionError
        If the scheduler is lost.

    See Also
    --------
    predict : Predictions of rows that lie in partitions.
    SketchCompressor : What processes send each other.

    Notes
    -----
    On a cluster, the fitted model depends on `random_state`, the partitions, `n_models` and
    `n_rounds`, and on nothing else: tasks are functions of their arguments, so that those of a
    lost worker are computed again elsewhere with the same result. Give `n_models` to have it
    independent of the size of the cluster.

    Models that learn side by side take fewer steps each than one would. To make up for that the
    networks' learning rates grow with their number, up to four times, and batches as well, as far
    as some hundred steps are left; rates of KernelSampledSGD grow with its square root. Where
    each sees few rows, and from about eight models on, accuracy suffers at equal epochs.

    With `comm`, `batch_size` counts the rows of all processes in a step. Each brings a share of
    them by how many rows it has, in an order and with negatives of its own, so that an epoch has
    as many steps as one process would take. The gradients of hidden layers' biases, of hidden
    layers above the first, and of output layers that look at all classes in each step are summed
    as they are, in float32. Those of the first layer and of sampled output layers have few rows
    and go through the compressor; a row of the output layer travels with its bias. Steps make
    their products in float32, and take `random_state` from the first process.
    `early_stopping`, `warm_start`, `hidden_sampling` and `normalize` are refused; callbacks are
    not called.

    Schemes that let rows wait, such as "auto", send less and want a larger `learning_rate_init`
    under Adam, whose steps do not grow with the gradient: rows that wait are moved less often,
    not further.

    An error of one process, in its rows or on the way, is raised by all of them before the next
    step. That does not help where a process dies or runs out of memory while others wait for its
    gradients: start scripts by ``mpirun ... python -m mpi4py script.py``, which then aborts all.
    In the end models are compared. On unlike processors they differ in their last bits unless
    the environment variable SKLSH_SIMD names one instruction set for all.

    References
    ----------
    S. U. Stich, "Local SGD converges fast and communicates little", ICLR 2019. arXiv:1805.09767

    S. Maleki et al., "Scaling distributed training with adaptive summation", MLSys 2021.
    arXiv:2006.02924

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import make_classification
    >>> from sklsh import MISSIONClassifier
    >>> from sklsh.distributed import fit
    >>> X, y = make_classification(n_samples=1000, random_state=0)
    >>> X, y = da.from_array(X, chunks=(250, -1)), da.from_array(y, chunks=250)
    >>> with Client(processes=False, dashboard_address=None) as client:  # doctest: +SKIP
    ...     model = fit(MISSIONClassifier(random_state=0), X, y)

    A script that ``mpirun -n 4 python -m mpi4py script.py`` runs in four processes:

    >>> from mpi4py import MPI  # doctest: +SKIP
    >>> from sklsh import SLIDEClassifier
    >>> from sklsh.datasets import load_xmc_file
    >>> comm = MPI.COMM_WORLD  # doctest: +SKIP
    >>> X, Y = load_xmc_file("train.txt")  # doctest: +SKIP
    >>> mine = slice(comm.Get_rank(), None, comm.Get_size())  # doctest: +SKIP
    >>> model = SLIDEClassifier(random_state=0)
    >>> model = fit(model, X[mine], Y[mine], comm=comm)  # doctest: +SKIP
    """
    if comm is not None:
        _check_no_rounds(
            client=(client, None), n_rounds=(n_rounds, "auto"), n_models=(n_models, "auto"),
            wire_dtype=(wire_dtype, "float32"),
        )  # fmt: skip
        fitted = fit_together(estimator, X, y, sample_weight, classes, comm, compressor)
        _take_over(estimator, fitted)
        return estimator
    if compressor is not None:
        raise ValueError("compressor must be None without comm, whose processes it serves.")
    dask("distributed")
    _check_rounds(n_rounds, n_models, wire_dtype)
    if not hasattr(estimator, "_learn") or isinstance(estimator, type):
        raise TypeError(
            "estimator must be one that learns in rounds, such as SLIDEClassifier or "
            f"MISSIONSelector; got {type(estimator).__name__}."
        )
    estimator._validate_params()
    estimator._require_rounds()
    client = current_client(client)
    partitions = partitions_of(X, y, sample_weight)
    classes = None if classes is None else np.asarray(classes)
    from sklsh.distributed._rounds import Rounds, scheduler_of  # which need Dask

    with scheduler_of(client):
        rounds = Rounds(client, estimator, partitions, classes, n_models, wire_dtype)
        fitted = rounds.run(n_rounds)
    _take_over(estimator, fitted)
    return estimator


def _take_over(estimator, fitted):
    """Let the estimator be as fitted as its copy, at its own parameters."""
    stale = [name for name in vars(estimator) if name.endswith("_") and name not in vars(fitted)]
    for name in stale:
        delattr(estimator, name)
    vars(estimator).update(vars(fitted) | estimator.get_params(deep=False))


def _check_no_rounds(**settings):
    for name, (value, only) in settings.items():
        if value is not only and value != only:
            raise ValueError(
                f"{name} must be {only!r} with comm, whose processes train one model step by step; "
                f"got {value!r}."
            )


def _check_rounds(n_rounds, n_models, wire_dtype):
    for name, value in [("n_rounds", n_rounds), ("n_models", n_models)]:
        if not isinstance(value, str):
            check_k(value, name=name)
        elif value != "auto":
            raise ValueError(f'{name} must be an integer of at least 1 or "auto"; got {value!r}.')
    if wire_dtype not in WIRE_DTYPES:
        raise ValueError(f"wire_dtype must be one of {WIRE_DTYPES}; got {wire_dtype!r}.")
