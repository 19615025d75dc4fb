"""Extreme multi-label data: files of the XMC repository's format, real and synthetic sets."""

from sklsh.datasets._python_calls import load_python_calls
from sklsh.datasets._svmlight import load_svmlight_multilabel
from sklsh.datasets._synthetic import make_xmc_classification
from sklsh.datasets._xmc_file import iter_xmc_file, load_xmc_file, save_xmc_file

__all__ = [
    "iter_xmc_file",
    "load_python_calls",
    "load_svmlight_multilabel",
    "load_xmc_file",
    "make_xmc_classification",
    "save_xmc_file",
]
