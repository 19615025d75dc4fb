"""Doctests that need an optional dependency are left out where it is not installed."""

from importlib.util import find_spec

NEED_DASK = ["_fit.py", "_predict.py", "_rounds.py", "_tasks.py"]
collect_ignore = [f"sklsh/distributed/{name}" for name in NEED_DASK if not find_spec("distributed")]
