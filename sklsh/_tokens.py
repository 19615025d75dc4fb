"""From raw text to 64-bit ids and back: tokens of rows hashed, names of the ids kept."""

from itertools import count
from operator import length_hint
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _token_ids, _tokens

N_COLUMNS = 2**63 - 1  # of hashed rows
INPUT_TYPES = ("string", "pair", "dict")


class Texts(NamedTuple):
    """Texts one behind the other: chars[offsets[j]:offsets[j + 1]] is text j, in UTF-8."""

    chars: np.ndarray
    offsets: np.ndarray

    @classmethod
    def with_lengths(cls, lengths):
        """Room for texts of these lengths in bytes."""
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return cls(np.zeros(offsets[-1] + _token_ids.PADDING, dtype=np.uint8), offsets)

    def lengths(self, entries):
        """Bytes of some texts."""
        return self.offsets[1:][entries] - self.offsets[entries]

    def copy_to(self, target, entries, slots):
        """Copy texts into slots of `target` that have their lengths."""
        _token_ids.copy_texts(
            self.chars, self.offsets, entries, slots, target.offsets, target.chars
        )

    def decoded(self, entries):
        """List of str; bytes that are not UTF-8 as backslashes and hexadecimal digits."""
        return [
            self.chars[start:end].tobytes().decode("utf-8", "backslashreplace")
            for start, end in zip(self.offsets[entries], self.offsets[1:][entries], strict=True)
        ]


class TokenRows:
    """Rows of hashed tokens and their texts.

    Attributes
    ----------
    X : csr_array of shape (n_samples, 2**63 - 1), float32
        Values in the columns of the tokens' ids, int64; unsorted, and a token that is repeated
        in a row is repeated here. Tokens of value zero are left out.

    texts : Texts
        Text of the token of each entry of X.
    """

    def __init__(self, X, texts):
        self.X = X
        self.texts = texts

    def text(self, entries):
        """Texts behind entries of X.

        Parameters
        ----------
        entries : array-like of int
            Positions in `X.indices`.

        Returns
        -------
        list of str
        """
        return self.texts.decoded(np.asarray(entries, dtype=np.intp))


def hash_rows(raw_X, *, input_type="string", seed=0, n_threads=1):
    """Hash rows of tokens to columns of a CSR matrix.

    Tokens, values and rows are those of :class:`sklearn.feature_extraction.FeatureHasher`;
    a row may also be an array of fixed-width bytes or str.

    Parameters
    ----------
    raw_X : iterable of iterables
        Rows. A token is a str, which stands for its bytes in UTF-8, or bytes; a value is a
        number, or a str, which makes "token=value" of value 1.

    input_type : {"string", "pair", "dict"}, default="string"
        Whether rows hold tokens of value 1 or pairs (token, value), or map tokens to values.

    seed : int, default=0
        Of the hash, 0 to 2**64 - 1. About ``m**2 / 2**64`` pairs among `m` distinct tokens
        have the same id.

    n_threads : int, default=1
        OpenMP threads that hash; the ids are the same with any number.

    Returns
    -------
    TokenRows

    Raises
    ------
    ValueError
        If there are no rows, a row is a single string, a value is not finite in float32, or a
        token cannot be encoded in UTF-8; with the numbers of token and row.

    TypeError
        If a row, token or value has another type than said above.

    Examples
    --------
    >>> from sklsh._tokens import hash_rows
    >>> rows = hash_rows([["to", "be"], ["to"]])
    >>> rows.X.shape
    (2, 9223372036854775807)
    >>> bool(rows.X.indices[0] == rows.X.indices[2])
    True
    >>> rows.text([1, 2])
    ['be', 'to']
    """
    if input_type not in INPUT_TYPES:
        raise ValueError(f"input_type must be one of {INPUT_TYPES}; got {input_type!r}.")
    arena = _tokens.TokenArena(input_type != "string", length_hint(raw_X))
    rows = raw_X if isinstance(raw_X, list) else _iterated(raw_X)
    if input_type == "dict":
        arena.add_rows(map(_items, rows, count()), None)
    else:
        arena.add_rows(rows, _listed_tokens if input_type == "string" else _listed)
    chars, offsets, values, indptr = arena.finish()
    if len(indptr) == 1:
        raise ValueError("raw_X must hold at least one sample; it is empty.")
    ids = np.empty(len(offsets) - 1, dtype=np.int64)
    _token_ids.hash_tokens(chars, offsets, seed, ids, n_threads)
    if input_type == "string":
        values = np.ones(len(ids), dtype=np.float32)
    X = sp.csr_array((values, ids, indptr), shape=(len(indptr) - 1, N_COLUMNS))
    return TokenRows(X, Texts(chars, offsets))


def _iterated(raw_X):
    try:
        return iter(raw_X)
    except TypeError as error:
        raise TypeError(
            f"raw_X must be an iterable of samples; got {raw_X!r} of type {type(raw_X).__name__}."
        ) from error


def _listed(row, number):
    """A list of a row that is none."""
    if isinstance(row, (str, bytes)):
        raise ValueError(
            "Samples can not be a single string: each must be an iterable of tokens; sample "
            f"{number} is {row!r}."
        )
    try:
        tokens = iter(row)
    except TypeError as error:
        raise TypeError(
            f"Sample {number} must be an iterable of tokens; got {row!r} of type "
            f"{type(row).__name__}."
        ) from error
    return list(tokens)


def _listed_tokens(row, number):
    """A row as a list, or as the array of fixed-width tokens that it is."""
    if not isinstance(row, np.ndarray) or row.dtype.kind not in "SU":
        return _listed(row, number)
    if row.ndim != 1:
        raise ValueError(
            f"Sample {number} must be an array of one dimension; got shape {row.shape}."
        )
    return row if row.dtype.isnative else row.astype(row.dtype.newbyteorder("="))


def _items(row, number):
    """A row as the dict that it is, or as a list of the pairs of a mapping."""
    if type(row) is dict:
        return row
    if not hasattr(row, "items"):
        raise TypeError(
            f"Sample {number} must map tokens to values; got {row!r} of type {type(row).__name__}."
        )
    return list(row.items())


class TokenNames:
    """Texts of the ids that are in an active table, in memory for these alone.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Ids whose text is known, ascending.

    texts : Texts
        Their texts.
    """

    def __init__(self):
        self.ids = np.empty(0, dtype=np.int64)
        self.texts = Texts.with_lengths([])

    @property
    def nbytes(self):
        """Bytes of ids and texts."""
        return self.ids.nbytes + sum(part.nbytes for part in self.texts)

    def update(self, active_ids, token_rows):
        """Keep the texts of active ids, look for those not yet known, forget the others.

        O(k + entries), and O(k log k) to sort the ids if they do not come ascending.

        Parameters
        ----------
        active_ids : ndarray of shape (k,), int64
            Distinct ids.

        token_rows : TokenRows
            Rows among whose tokens to look. Where several have the same id, the first one
            gives its name.

        Returns
        -------
        self : TokenNames
        """
        active_ids = np.ascontiguousarray(active_ids, dtype=np.int64)
        if not (active_ids[1:] > active_ids[:-1]).all():
            active_ids = np.sort(active_ids)
        if np.array_equal(active_ids, self.ids):
            return self
        known = _places(active_ids, self.ids)
        missing = active_ids[known < 0]
        first = np.full(len(missing), -1, dtype=np.intp)
        places = np.full(1 << (2 * len(missing)).bit_length(), -1, dtype=np.intp)
        _token_ids.first_entries(token_rows.X.indices, missing, places, first)
        return self._set(active_ids, known, token_rows.texts, first)

    def merged(self, other):
        """TokenNames of the ids of both, with this one's text where both have it."""
        ids = np.union1d(self.ids, other.ids)
        known = _places(ids, self.ids)
        others = _places(ids[known < 0], other.ids)
        merged = TokenNames()
        merged.texts = self.texts
        return merged._set(ids, known, other.texts, others)

    def names(self, ids):
        """Text of each id, an ndarray of objects; f"x{id}" where it is not known."""
        ids = np.asarray(ids, dtype=np.int64)
        names = np.array([f"x{id}" for id in ids.tolist()], dtype=object)
        places = np.searchsorted(self.ids, ids)
        places[places == len(self.ids)] = 0
        known = self.ids[places] == ids if len(self.ids) else np.zeros(len(ids), dtype=bool)
        names[known] = np.array(self.texts.decoded(places[known]), dtype=object)
        return names

    def _set(self, ids, known, other_texts, others):
        """Take over ids: places of the known ones; entries of the rest in `other_texts`."""
        places = known.copy()
        places[known < 0] = others
        is_known, is_found = known >= 0, places >= 0
        is_other = is_found & ~is_known
        lengths = np.zeros(len(ids), dtype=np.int64)
        lengths[is_known] = self.texts.lengths(places[is_known])
        lengths[is_other] = other_texts.lengths(places[is_other])
        slots = np.cumsum(is_found) - 1
        texts = Texts.with_lengths(lengths[is_found])
        self.texts.copy_to(texts, places[is_known], slots[is_known])
        other_texts.copy_to(texts, places[is_other], slots[is_other])
        self.ids, self.texts = ids[is_found], texts
        return self


def _places(ids, among):
    """Where each id stands in another ascending array; -1 where it does not."""
    places = np.empty(len(ids), dtype=np.intp)
    _token_ids.match_sorted(ids, among, places)
    return places
