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
    """Fit an estimator to rows that lie in partitions on a Dask cluster.

    The cluster trains several models side by side, each on partitions of its own. They begin
    each round alike, and at its end what they have learnt is put together: sketched linear
    models by their mean, as sketches are linear; networks by their mean moves, which count up
    where they are about different things, and the means of their optimizers' moments.

    Parameters
    ----------
    estimator : estimator
        One of the MISSION family, `SLIDEClassifier`, `LSHSoftmaxClassifier`, `KernelSampledSGD`
        or `KernelSampledSGDRegressor`. It is fitted and returned, and stays as it was if that
        fails. "auto" parameters go by all rows.

    X : dask array, dataframe or bag, or list of delayed
        Rows. Blocks of an array may be sparse matrices; a bag holds rows of tokens. A list
        holds delayed matrices or, without y, delayed pairs (X, y) or triples with weights of
        rows.

    y : dask array, series, dataframe or bag, list of delayed, or None
        Targets, in as many partitions of the same rows; indicator matrices may be sparse.

    sample_weight : dask array, series or list of delayed, default=None
        Non-negative weight of each row.

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

    Returns
    -------
    estimator : estimator
        Fitted, as if it had been in one place, with `n_rounds_`, `merge_seconds_` and
        `local_seconds_` besides.

    Raises
    ------
    ImportError
        If Dask is not installed.

    TypeError, ValueError
        If the data do not fit, with the number of the partition, a parameter is not possible,
        or training diverges.

    ConnectionError
        If the scheduler is lost.

    See Also
    --------
    predict : Predictions of rows that lie in partitions.

    Notes
    -----
    The fitted model depends on `random_state`, the partitions, `n_models` and `n_rounds`, and
    on nothing else: tasks are functions of their arguments, so that those of a lost worker are
    computed again elsewhere with the same result. Give `n_models` to have it independent of the
    size of the cluster.

    Models that learn side by side take fewer steps each than one would. To make up for that the
    networks' batches grow with the square root of their number, and learning rates by its
    power 3/4 (KernelSampledSGD: 1/2). From about eight models on accuracy suffers at equal
    epochs.

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
    if not hasattr(estimator, "_learn"):
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
