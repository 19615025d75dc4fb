"""Locality-sensitive hashing: codes that near vectors share, and an index made of them."""

from sklsh.lsh._index import LSHIndex
from sklsh.lsh._transformers import DWTA, SimHash

__all__ = ["DWTA", "LSHIndex", "SimHash"]
