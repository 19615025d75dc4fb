"""Predictions of rows that lie in partitions, block by block."""

import os
from functools import lru_cache, partial
from operator import itemgetter

import joblib
import numpy as np
import scipy.sparse as sp

from sklsh._collections import is_collection
from sklsh._sklearn import check_is_fitted
from sklsh.distributed._dask import dask
from sklsh.distributed._partitions import delayed_list, joined_columns

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "predict_top_k",
    "transform",
)  # fmt: skip
WHAT = "a dask array, dataframe or bag, or a list of delayed"
EMPTY_ROWS = ([], {}, "")  # of a bag: tokens or pairs, a mapping of tokens, a text
MOST_MODELS = 4  # that a process keeps mapped


def predict(estimator, X, method="predict", *, k=None):
    """Predictions of rows that lie in partitions, which Dask makes where the rows are.

    Nothing is computed yet: what is returned is lazy, as X is. Each block of rows becomes a
    block of predictions, those of the estimator's own method for these rows.

    Parameters
    ----------
    estimator : estimator, str or path
        Fitted, or the path of the file that ``joblib.dump`` wrote it to, which all workers can
        read. An estimator travels with the graph, and from there once to each worker that
        predicts. From a file each process maps it into memory, read-only, when it first needs
        it, so that the processes of a machine share one copy.

    X : dask array, dataframe or bag, or list of delayed
        Rows. Blocks of an array may be sparse matrices; a bag holds rows of tokens, or texts
        for a pipeline that takes them.

    method : str, default="predict"
        "predict", "predict_proba", "predict_log_proba", "decision_function", "predict_top_k" or
        "transform".

    k : int, default=None
        Of "predict_top_k".

    Returns
    -------
    predictions : dask array, or list of delayed for such a list
        In blocks of the rows of X's, whose numbers Dask does not know where X is a data frame
        or bag. Blocks are sparse where the method's result is. Of "predict_top_k" a pair of
        arrays, labels and scores, or a list of delayed pairs.

    Raises
    ------
    ImportError
        If Dask is not installed.

    sklearn.exceptions.NotFittedError, AttributeError
        If the estimator is not fitted, or has no such method.

    TypeError, ValueError
        If X is no collection, or not of the estimator's columns. The columns of delayed
        matrices show only when they are computed.

    See Also
    --------
    fit : Fits to rows that lie in partitions.

    Notes
    -----
    The kind of result is found out by asking the estimator about a single row of zeros.

    Dask warns of graphs of more than 10 MB: write larger models to a file, those of networks as
    their `lean_copy()`, which is enough to predict.

    Workers of several threads predict in all of them; keep `n_jobs` at None there.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import make_classification
    >>> from sklsh import MISSIONClassifier
    >>> from sklsh.distributed import predict
    >>> X, y = make_classification(n_samples=1000, random_state=0)
    >>> model = MISSIONClassifier(random_state=0).fit(X, y)
    >>> rows = da.from_array(X, chunks=(250, -1))
    >>> labels = predict(model, rows)
    >>> labels
    dask.array<..., shape=(1000,), dtype=int64, chunksize=(250,), chunktype=numpy.ndarray>
    >>> bool((labels.compute() == model.predict(X)).all())
    True
    """
    dask()
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; got {method!r}.")
    if k is not None and method != "predict_top_k":
        raise ValueError(f"k is of predict_top_k alone; got k={k!r} for {method}.")
    is_path = isinstance(estimator, (str, os.PathLike))
    model = os.path.abspath(estimator) if is_path else estimator
    fitted = _model_of(model)
    check_is_fitted(fitted)
    getattr(fitted, method)  # which says so if there is none
    ask = partial(_predicted, method=method, parameters={} if k is None else {"k": k})
    shared = model if is_path else dask().delayed(model, traverse=False)
    if isinstance(X, (list, tuple)):
        return [dask().delayed(ask)(rows, shared) for rows in delayed_list(X, "X", WHAT)]
    _check_collection(X, fitted, method)
    X = joined_columns(X)
    answer = ask(_one_row_like(X, fitted, ask), fitted)
    is_pair = isinstance(answer, tuple)
    empty = tuple(part[:0] for part in answer) if is_pair else answer[:0]
    ask = partial(ask, empty=empty)
    if not _is_array(X):
        delayed = [dask().delayed(ask)(rows, shared) for rows in X.to_delayed()]
        return _concatenated(delayed, empty)
    if not is_pair:
        return _mapped(X, ask, shared, like=empty)
    pairs = _mapped(X, ask, shared, like=np.empty(0, dtype=object))
    return tuple(_mapped(pairs, itemgetter(i), like=part) for i, part in enumerate(empty))


def _predicted(rows, model, *, method, parameters, empty=None):
    """What a method of a model says of rows; `empty` if there are none, and it is known."""
    n_rows = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    if n_rows == 0 and empty is not None:
        return empty
    answer = getattr(_model_of(model), method)(rows, **parameters)
    return tuple(map(_matrix, answer)) if isinstance(answer, tuple) else _matrix(answer)


def _matrix(result):
    """Array, also where the estimator is set to make data frames."""
    return result if sp.issparse(result) else np.asarray(result)


def _model_of(model):
    """The model, which may be named by its file."""
    return _mapped_file(model, os.stat(model).st_mtime_ns) if isinstance(model, str) else model


@lru_cache(maxsize=MOST_MODELS)
def _mapped_file(path, changed):
    """What `joblib.dump` wrote, mapped once in a process, and again when the file has changed."""
    return joblib.load(path, mmap_mode="r")


def _is_array(X):
    return hasattr(X, "map_blocks")


def _check_collection(X, fitted, method):
    """Raise where X is no collection of rows."""
    if not is_collection(X) or not (_is_array(X) or hasattr(X, "map_partitions")):
        raise TypeError(
            f"X must be {WHAT}; got {type(X).__name__}. Rows in one place are what "
            f"{type(fitted).__name__}.{method} is for."
        )
    if _is_array(X) and X.ndim != 2:
        raise ValueError(f"X must have two dimensions, rows and features; got {X.ndim}.")


def _one_row_like(X, fitted, ask):
    """A row of no content, of the kind that X has; raises where the model takes none such."""
    if _is_array(X):
        n_columns = X.shape[1] if X.shape[1] == X.shape[1] else fitted.n_features_in_  # not nan
        if sp.issparse(X._meta):
            return type(X._meta)((1, n_columns), dtype=X.dtype)
        return np.zeros((1, n_columns), dtype=X.dtype)
    if hasattr(X, "columns"):  # a data frame
        return X._meta_nonempty.iloc[:1]
    errors = []
    for row in EMPTY_ROWS:
        try:
            ask([row], fitted)
        except (TypeError, ValueError, AttributeError) as error:
            errors.append(error)
        else:
            return [row]
    raise TypeError(
        f"A bag holds rows of tokens or texts, which {type(fitted).__name__} does not take: "
        f"{errors[0]}"
    ) from errors[0]


def _mapped(blocks, function, *arguments, like):
    """Array of a function's results for each block of rows, in form such as `like`."""
    axes = {}
    if like.ndim < blocks.ndim:
        axes["drop_axis"] = 1
    elif like.ndim > blocks.ndim:
        axes["new_axis"] = 1
    if like.ndim == 2:
        axes["chunks"] = (blocks.chunks[0], like.shape[1:])
    return blocks.map_blocks(function, *arguments, dtype=like.dtype, meta=like, **axes)


def _concatenated(results, like):
    """Array, or pair of them, of delayed blocks of unknown numbers of rows."""
    if isinstance(like, tuple):
        return tuple(
            _concatenated([result[i] for result in results], part) for i, part in enumerate(like)
        )
    da = dask("dask.array")
    shape = (np.nan, *like.shape[1:])
    return da.concatenate([da.from_delayed(result, shape, meta=like) for result in results])
