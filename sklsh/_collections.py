"""Collections of rows that lie in many places, as Dask has them, told apart from rows."""


def is_collection(X):
    """Whether X is a collection of Dask, which need not be installed."""
    graph = getattr(X, "__dask_graph__", None)
    return callable(graph) and graph() is not None


def fit_collection(estimator, X, y, sample_weight):
    """Fit an estimator to a collection, see :func:`sklsh.distributed.fit`."""
    from sklsh.distributed import fit  # which is above everything else

    return fit(estimator, X, y, sample_weight=sample_weight)
