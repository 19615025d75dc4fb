"""Next-token prediction as supervised learning: contexts one-hot by position, and their targets."""

import numpy as np
import scipy.sparse as sp

from sklsh._memory import require_bytes
from sklsh.datasets._lines import check_count


def make_ngram_pairs(tokens, window=4, *, n_tokens=None, documents=None):
    """Turn a stream of tokens into rows that tell the next token from those before it.

    A row for each token that has `window` tokens before it in its document: one feature for
    each of these and its distance, as the first layer of a neural language model [1]_ takes
    them.

    Parameters
    ----------
    tokens : array-like of int, of shape (n,)
        Ids of tokens, one document after the other.

    window : int, default=4
        Tokens of a context.

    n_tokens : int, default=None
        Size of the vocabulary: ids are from 0 to below it. By default the largest id and one;
        give it where several streams must have the same columns.

    documents : array-like of int, of shape (n_documents,), default=None
        Where each document starts in `tokens`: ascending, the first at 0. No context reaches
        from one into another. By default all is one document.

    Returns
    -------
    X : csr_array of shape (n_rows, window * n_tokens), float32
        1 in column (d - 1) * n_tokens + t where the token d places back, from 1 to `window`,
        is t: that many ones in each row. Sorted indices, int32 where they fit, else int64.

    y : ndarray of shape (n_rows,)
        The next tokens, in the dtype of `tokens`. A document of m tokens gives m - `window`
        rows, one of fewer gives none.

    Raises
    ------
    ValueError
        If a parameter has a value that it cannot have, or no document has more than `window`
        tokens.

    MemoryError
        If the rows would not fit, with the number of bytes.

    See Also
    --------
    load_python_tokens : A stream of tokens that needs no download.

    References
    ----------
    .. [1] Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language
       model", Journal of Machine Learning Research 3, 2003.

    Examples
    --------
    >>> from sklsh.datasets import make_ngram_pairs
    >>> X, y = make_ngram_pairs([0, 1, 2, 0, 3], window=2)
    >>> X.indices.reshape(-1, 2)  # of 2 * 4 columns: the last token, the one before
    array([[1, 4],
           [2, 5],
           [0, 6]], dtype=int32)
    >>> y
    array([2, 0, 3])
    """
    check_count("window", window)
    tokens = _checked_tokens(tokens, n_tokens)
    n_tokens = int(tokens.max()) + 1 if n_tokens is None else int(n_tokens)
    lengths = _document_lengths(documents, len(tokens))
    n_rows = int(np.maximum(lengths - window, 0).sum())
    if n_rows == 0:
        raise ValueError(
            f"tokens must have a document of more than window={window} tokens; the longest "
            f"has {lengths.max()}."
        )
    n_ones, n_columns = n_rows * window, window * n_tokens
    if n_columns >= 2**63:
        raise ValueError(f"window * n_tokens must be below 2^63; got {window} * {n_tokens}.")
    dtype = np.dtype(np.int32 if max(n_ones, n_columns) < 2**31 else np.int64)
    require_bytes(
        n_ones * (dtype.itemsize + 4) + 32 * len(tokens),
        f"{n_rows:,} contexts of {window:,} tokens",
    )
    targets = _places_with_context(lengths, window)
    contexts = np.lib.stride_tricks.sliding_window_view(tokens.astype(dtype, copy=False), window)
    indices = contexts[targets - window, ::-1]  # the nearest token first
    indices += n_tokens * np.arange(window, dtype=dtype)
    ones = np.ones(n_ones, dtype=np.float32)
    indptr = np.arange(0, n_ones + 1, window, dtype=dtype)
    X = sp.csr_array((ones, indices.ravel(), indptr), shape=(n_rows, n_columns))
    return X, tokens[targets]


def _places_with_context(lengths, window):
    """Where the tokens are that have `window` tokens before them in their document."""
    starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return np.flatnonzero(place >= window)


def _checked_tokens(tokens, n_tokens):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not tokens.size or tokens.dtype.kind not in "iu":
        raise ValueError(
            "tokens must be integers of one dimension, at least one; got shape "
            f"{tokens.shape}, dtype {tokens.dtype}."
        )
    low, high = tokens.min(), tokens.max()
    if low < 0:
        raise ValueError(f"tokens must not be negative; got {low}.")
    if n_tokens is not None:
        check_count("n_tokens", n_tokens)
        if high >= n_tokens:
            raise ValueError(f"tokens must be below n_tokens={n_tokens}; got {high}.")
    return tokens


def _document_lengths(documents, n):
    """Lengths of the documents that start at these places of `n` tokens."""
    if documents is None:
        return np.array([n])
    starts = np.asarray(documents)
    if starts.ndim != 1 or not starts.size or starts.dtype.kind not in "iu":
        raise ValueError(
            "documents must be integers of one dimension, at least one; got shape "
            f"{starts.shape}, dtype {starts.dtype}."
        )
    # Compared before they are subtracted: differences of unsigned integers wrap around.
    if starts[0] != 0 or starts[-1] > n or np.any(starts[1:] < starts[:-1]):
        raise ValueError(
            f"documents must be places from 0, ascending, to at most {n}, the number of tokens; "
            f"got {starts}."
        )
    return np.diff(starts.astype(np.int64), append=n)
