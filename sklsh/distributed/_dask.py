"""Dask, where it is installed."""

from importlib import import_module


def dask(module=""):
    """The package `dask`, or another by its name, such as "distributed".

    Raises
    ------
    ImportError
        If it is not installed; says how to.
    """
    try:
        return import_module(module or "dask")
    except ImportError as error:
        raise ImportError(
            "Fits and predictions over partitions run on Dask, which is not installed: "
            "pip install 'sklsh[dask]'."
        ) from error


def current_client(client):
    """The client to compute with: the one given, or that of now."""
    if client is not None:
        return client
    try:
        return dask("distributed").default_client()
    except ValueError as error:
        raise ValueError(
            "client is missing, and there is none at the moment: create a "
            "dask.distributed.Client, of a cluster or of Client() for this machine."
        ) from error
