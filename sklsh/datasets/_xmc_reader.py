"""Reads extreme multi-label text piece by piece: lines out of a file, rows out of lines."""

import re
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklsh._kernels import _xmc_text
from sklsh._memory import require_bytes
from sklsh.datasets import _lines
from sklsh.datasets._lines import LineReader, quoted

MOST_COLUMNS = 2**31 - 1  # columns are counted in int32
_LONGEST_HEADER = 100
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
        self._lines = LineReader(file, name)
        self._text = b""  # lines to be parsed
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
            if held > checked + _lines.CHECK_EVERY:
                require_bytes(held, f"Joining {n_rows:,} rows of {self._lines.name}")
                checked = held
        if n_rows != n and self.n_rows is not None and self._n_read < self.n_rows:
            raise self._lines.error(
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
        self._lines.line += n_lines
        self._n_read += n_rows
        if problem:
            raise self._lines.error(self._complaint(problem, place), self._lines.line)
        if self.n_rows is not None and self._n_read > self.n_rows:
            raise self._lines.error(
                f"the header says {self.n_rows:,} rows, this is another", self._lines.line
            )
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
            raise self._lines.error(
                f"values of the repeated feature {piece.features[wrong[0]]} of row {row} "
                "(counted from 0) add up to more than float32 holds"
            )

    def _complaint(self, problem, place):
        """What was expected and found where the kernel stopped."""
        found = quoted(re.match(rb"[^ \t\r\n]*", self._text[place : place + 60]).group())
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
                shown = quoted(first[:60].rstrip()) if start else "an empty file"
                hint = "" if is_certain else "; without one, give n_features and n_classes"
                raise self._lines.error(
                    "expected a header, the numbers of rows, features and labels, such as "
                    f"'1000 500 300', found {shown}{hint}",
                    1,
                )
            return
        self.n_rows, n_features, n_classes = map(int, found.groups())
        if max(n_features, n_classes) > MOST_COLUMNS or self.n_rows > np.iinfo(np.intp).max:
            raise self._lines.error(
                f"the header must have rows of int64 and columns of at most {MOST_COLUMNS:,}, "
                f"found {quoted(first.strip())}",
                1,
            )
        if self.n_features is None:
            self.n_features = n_features
        if self.n_classes is None:
            self.n_classes = n_classes
        self._text, self._lines.line = self._text[len(first) :], 1

    def _fill(self):
        """Whether there are lines to parse, read if need be."""
        if len(self._text) == 0:
            self._text = self._lines.read()
        return len(self._text) > 0


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
