"""Lines of text files, plain or compressed, read piece by piece; errors that name the place."""

import contextlib
import gzip
import os
import zlib
from numbers import Integral

import numpy as np

from sklsh._memory import require_bytes

BLOCK = 1 << 20  # bytes read at a time
CHECK_EVERY = 1 << 26  # bytes held between two looks at the free memory
_GZIP_MARK = b"\x1f\x8b"


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


class LineReader:
    """Reads an open file by whole lines.

    Parameters
    ----------
    file : object
        Its method `read(n_bytes)` gives bytes, none at the end. It is unpacked if it begins
        as gzip does.

    name : str
        What error messages call the file.

    Attributes
    ----------
    line : int
        Number of the last line that was parsed, of which whoever parses keeps account.
    """

    def __init__(self, file, name):
        self._file, self.name = file, name
        self._is_unpacked = False  # before the first bytes are read
        self._rest = b""  # the beginning of the next line
        self.line = 0

    def read(self):
        """The next whole lines, a block or more if a line is longer; empty at the end."""
        parts, held, checked = [self._rest], 0, 0
        while True:
            block = self._read_block()
            cut = block.rfind(b"\n") + 1
            if cut or not block:
                break
            parts.append(block)
            held += len(block)
            if held > checked + CHECK_EVERY:  # once more when joined, 4 times when parsed
                require_bytes(5 * held, f"A line of {self.name}")
                checked = held
        parts.append(block[:cut])
        self._rest = block[cut:]
        return memoryview(b"".join(parts))

    def error(self, message, line=None):
        """The ValueError about a line, or about the whole file."""
        place = self.name if line is None else f"{self.name}, line {line}"
        return ValueError(f"{place}: {message}.")

    def _read_block(self):
        try:
            if not self._is_unpacked:
                self._unpack()
            block = self._file.read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if self.line == 0:
                message = f"damaged gzip data, before any line could be read: {error}"
                raise self.error(message) from error
            raise self.error(f"damaged gzip data behind this line: {error}", self.line) from error
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
            raise path_error(f"{self.name} gives {type(block).__name__}")


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


def quoted(text):
    """Bytes as an error message has them."""
    return repr(bytes(text))[1:]  # without the b
