"""Reads extreme multi-label text piece by piece: lines out of a file, rows out of lines."""

import contextlib
import gzip
import os
import re
import zlib
from numbers import Integral
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _xmc_text
from sklsh._memory import require_bytes

BLOCK = 1 << 20  # bytes read at a time
MOST_COLUMNS = 2**31 - 1  # columns are counted in int32
_CHECK_EVERY = 1 << 26  # bytes of rows between two looks at the free memory
_LONGEST_HEADER = 100
_GZIP_MARK = b"\x1f\x8b"
_HEADER = re.compile(rb"[ \t]*(\d+)[ \t]+(\d+)[ \t]+(\d+)[ \t]*\r?\n?")


class _Piece(NamedTuple):
    """Rows of one block of text; the counts are of each row."""

    labels: np.ndarray
    label_counts: np.ndarray
    features: np.ndarray
    values: np.ndarray
    feature_counts: np.ndarray

    @property
    def n_bytes(self):
        return sum(part.nbytes for part in self)


def opened(path):
    """Context of a file for reading; file objects are passed on and left open."""
    return contextlib.nullcontext(path) if hasattr(path, "read") else open(path, "rb")


class _Resumed:
    """A file object together with the bytes that were read of it already."""

    def __init__(self, start, file):
        self._start, self._file = start, file

    def read(self, n):
        if not self._start:
            return self._file.read(n)
        part, self._start = self._start[:n], self._start[n:]
        return part


class XMCReader:
    """Reads the rows of an open file as CSR matrices.

    Parameters
    ----------
    file : object
        Its method `read(n_bytes)` gives bytes, none at the end. It is unpacked if it begins
        as gzip does.

    name : str
        What error messages call the file.

    header : {"auto", True, False}
        Whether the first line gives the numbers of rows, features and labels; "auto":
        if it looks like it.

    needs_columns : bool
        Whether a first line that is no header is refused unless both numbers below are
        given.

    n_features, n_classes : int or None
        Columns of X and Y, which take precedence over the header's; None where neither
        tells.
    """

    def __init__(self, file, name, *, header, needs_columns, n_features, n_classes):
        self._file, self._name = file, name
        self._is_unpacked = False  # before the first bytes are read
        self._text, self._rest = b"", b""  # lines to be parsed; the beginning of the next
        self._line = 0  # number of the last line that was parsed
        self._n_read = 0
        self.n_rows = None  # as the header has it
        self.n_features, self.n_classes = n_features, n_classes
        if header:
            needs_columns = needs_columns and None in (n_features, n_classes)
            self._read_header(is_certain=header != "auto", is_needed=needs_columns)

    def read(self, n):
        """X and Y of the next rows, n or as many as there are; all if n is None."""
        pieces, n_rows, held, checked = [], 0, 0, 0
        while n_rows != n and self._fill():
            pieces.append(self._parse(None if n is None else n - n_rows))
            n_rows += len(pieces[-1].label_counts)
            held += pieces[-1].n_bytes
            if held > checked + _CHECK_EVERY:
                require_bytes(held, f"Joining {n_rows:,} rows of {self._name}")
                checked = held
        if n_rows != n and self.n_rows is not None and self._n_read < self.n_rows:
            raise self._error(
                f"the file ends after {self._n_read:,} rows, but its header says {self.n_rows:,}; "
                "it may be cut short"
            )
        joined = _Piece(*map(_joined, zip(*pieces, strict=True))) if pieces else _no_rows()
        del pieces
        X = _csr(joined.values, joined.features, joined.feature_counts, self.n_features)
        ones = np.ones(len(joined.labels), dtype=np.uint8)
        return X, _csr(ones, joined.labels, joined.label_counts, self.n_classes)

    def _parse(self, most_rows):
        """Parse rows of the text at hand, at most `most_rows`."""
        n = len(self._text)
        most_rows = n if most_rows is None else most_rows
        if self.n_rows is not None:  # one row too many is enough to tell
            most_rows = min(most_rows, self.n_rows - self._n_read + 1)
        labels = np.empty(n // 2 + 1, dtype=np.int32)
        features = np.empty(n // 4 + 1, dtype=np.int32)
        values = np.empty(n // 4 + 1, dtype=np.float32)
        label_ends, feature_ends = np.empty((2, min(most_rows, n // 2 + 1)), dtype=np.intp)
        n_rows, n_lines, place, problem = _xmc_text.parse_rows(
            self._text,
            MOST_COLUMNS if self.n_classes is None else self.n_classes,
            MOST_COLUMNS if self.n_features is None else self.n_features,
            labels,
            label_ends,
            features,
            values,
            feature_ends,
        )
        self._line += n_lines
        self._n_read += n_rows
        if problem:
            raise self._error(self._complaint(problem, place), self._line)
        if self.n_rows is not None and self._n_read > self.n_rows:
            raise self._error(f"the header says {self.n_rows:,} rows, this is another", self._line)
        self._text = self._text[place:]
        label_counts, feature_counts = (
            np.diff(ends[:n_rows], prepend=0) for ends in (label_ends, feature_ends)
        )
        n_labels, n_entries = label_counts.sum(), feature_counts.sum()
        labels, label_counts, _ = _tidy(labels[:n_labels], label_counts)
        features, feature_counts, values = _tidy(
            features[:n_entries], feature_counts, values[:n_entries]
        )
        piece = _Piece(labels, label_counts, features, values, feature_counts)
        self._check_sums(piece)
        return piece

    def _check_sums(self, piece):
        """Refuse sums of repeated features that are beyond float32."""
        wrong = np.flatnonzero(~np.isfinite(piece.values))
        if len(wrong):
            row = np.searchsorted(np.cumsum(piece.feature_counts), wrong[0], side="right")
            row += self._n_read - len(piece.feature_counts)
            raise self._error(
                f"values of the repeated feature {piece.features[wrong[0]]} of row {row} "
                "(counted from 0) add up to more than float32 holds"
            )

    def _complaint(self, problem, place):
        """What was expected and found where the kernel stopped."""
        found = _shown(re.match(rb"[^ \t\r\n]*", self._text[place : place + 60]).group())
        if problem == _xmc_text.Problem.VALUE:
            return f"expected a finite float32 behind the colon, found {found}"
        what, n, hint = {
            _xmc_text.Problem.LABEL: (
                "a label",
                self.n_classes,
                "; labels are parted by commas alone, and a row without labels begins with a blank",
            ),
            _xmc_text.Problem.FEATURE: ("feature:value with a feature", self.n_features, ""),
        }[problem]
        n = MOST_COLUMNS if n is None else n
        return f"expected {what} from 0 to below {n:,}, found {found}{hint}"

    def _read_header(self, is_certain, is_needed):
        start = bytes(self._text[:_LONGEST_HEADER]) if self._fill() else b""
        first = start[: start.find(b"\n") + 1 or None]
        is_whole = first.endswith(b"\n") or len(first) == len(self._text)
        found = _HEADER.fullmatch(first) if is_whole else None
        if found is None:
            if is_certain or is_needed:
                shown = _shown(first[:60].rstrip()) if start else "an empty file"
                hint = "" if is_certain else "; without one, give n_features and n_classes"
                raise self._error(
                    "expected a header, the numbers of rows, features and labels, such as "
                    f"'1000 500 300', found {shown}{hint}",
                    1,
                )
            return
        self.n_rows, n_features, n_classes = map(int, found.groups())
        if max(n_features, n_classes) > MOST_COLUMNS or self.n_rows > np.iinfo(np.intp).max:
            raise self._error(
                f"the header must have rows of int64 and columns of at most {MOST_COLUMNS:,}, "
                f"found {_shown(first.strip())}",
                1,
            )
        if self.n_features is None:
            self.n_features = n_features
        if self.n_classes is None:
            self.n_classes = n_classes
        self._text, self._line = self._text[len(first) :], 1

    def _fill(self):
        """Whether there are lines to parse, read if need be."""
        if len(self._text) == 0:
            self._text = self._read_lines()
        return len(self._text) > 0

    def _read_lines(self):
        """The next whole lines, a block or more if a line is longer; b"" at the end."""
        parts, held, checked = [self._rest], 0, 0
        while True:
            block = self._read_block()
            cut = block.rfind(b"\n") + 1
            if cut or not block:
                break
            parts.append(block)
            held += len(block)
            if held > checked + _CHECK_EVERY:  # once more when joined, 4 times when parsed
                require_bytes(5 * held, f"A line of {self._name}")
                checked = held
        parts.append(block[:cut])
        self._rest = block[cut:]
        return memoryview(b"".join(parts))

    def _read_block(self):
        try:
            if not self._is_unpacked:
                self._unpack()
            block = self._file.read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if self._line == 0:
                message = f"damaged gzip data, before any line could be read: {error}"
                raise self._error(message) from error
            raise self._error(f"damaged gzip data behind this line: {error}", self._line) from error
        self._check_binary(block)
        return block

    def _unpack(self):
        """Read the first bytes, and all through gzip if they are its mark."""
        start = self._file.read(len(_GZIP_MARK))
        self._check_binary(start)
        while 0 < len(start) < len(_GZIP_MARK) and (more := self._file.read(1)):
            start += more
        self._file = _Resumed(start, self._file)
        if start == _GZIP_MARK:
            self._file = gzip.GzipFile(fileobj=self._file)
        self._is_unpacked = True

    def _check_binary(self, block):
        if not isinstance(block, (bytes, bytearray)):
            raise path_error(f"{self._name} gives {type(block).__name__}")

    def _error(self, message, line=None):
        place = self._name if line is None else f"{self._name}, line {line}"
        return ValueError(f"{place}: {message}.")


def check_count(name, value, low=1, most=np.inf):
    """Raise ValueError unless the parameter is an integer within these limits."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= most:
        limits = f"of at least {low}" if most == np.inf else f"from {low} to {most:,}"
        raise ValueError(f"{name} must be an integer {limits}; got {value!r}.")


def file_name(path):
    """What to call a path or file object in an error message; TypeError if it is neither."""
    if hasattr(path, "read") or hasattr(path, "write"):
        return str(getattr(path, "name", None) or type(path).__name__)
    if not isinstance(path, (str, bytes, int, os.PathLike)):
        raise path_error(f"got {path!r}")
    return repr(path) if isinstance(path, int) else os.fsdecode(path)


def path_error(found):
    """The TypeError for something that cannot be read from, or written to, as bytes."""
    return TypeError(f"path must be a path or a file opened in binary mode; {found}.")


def _shown(text):
    return repr(bytes(text))[1:]  # without the b


def _tidy(indices, counts, values=None):
    """Copies, indices of each row sorted, values of repeated ones added up as they come."""
    row = np.repeat(np.arange(len(counts)), counts)
    if ((np.diff(indices) > 0) | (np.diff(row) > 0)).all():
        return indices.copy(), counts, None if values is None else values.copy()
    order = np.lexsort((indices, row))  # stable
    indices, row = indices[order], row[order]
    is_first = (np.diff(indices, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 0)
    first = np.flatnonzero(is_first)
    if values is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.add.reduceat(values[order], first)
    return indices[first], np.bincount(row[first], minlength=len(counts)), values


def _joined(parts):
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _no_rows():
    whole = np.empty(0, dtype=np.intp)
    indices = np.empty(0, dtype=np.int32)
    return _Piece(indices, whole, indices, np.empty(0, dtype=np.float32), whole)


def _csr(data, indices, counts, n_columns):
    """CSR of `counts` entries a row, with as many columns as it takes if `n_columns` is None."""
    index_type = np.int32 if len(indices) <= np.iinfo(np.int32).max else np.int64
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(index_type)
    if n_columns is None:
        n_columns = int(indices.max(initial=-1)) + 1
    parts = (data, indices.astype(index_type, copy=False), indptr)
    return sp.csr_array(parts, shape=(len(counts), n_columns))
