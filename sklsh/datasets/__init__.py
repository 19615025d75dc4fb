"""Extreme multi-label data."""

from sklsh.datasets._python_calls import load_python_calls

__all__ = ["load_python_calls"]
