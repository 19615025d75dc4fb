"""Collections of rows that lie in many places, as Dask has them, told apart from rows."""


def is_collection(X):
    """Whether X is a collection of Dask, which need not be installed."""
    return hasattr(X, "__dask_graph__") and not isinstance(X, type)


def fit_collection(estimator, X, y, sample_weight):
    """Fit an estimator to a collection, see :func:`sklsh.distributed.fit`."""
    from sklsh.distributed import fit  # which is above everything else

    return fit(estimator, X, y, sample_weight=sample_weight)
