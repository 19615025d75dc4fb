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
    distributed = dask("distributed")
    if client is not None:
        if not isinstance(client, distributed.Client):
            raise TypeError(
                f"client must be a dask.distributed.Client; got {type(client).__name__}."
            )
        if client.asynchronous or client.status != "running":
            state = "asynchronous" if client.asynchronous else client.status
            raise ValueError(f"client must be synchronous and running; got one that is {state}.")
        return client
    try:
        return distributed.default_client()
    except ValueError as error:
        raise ValueError(
            "client is missing, and there is none at the moment: create a "
            "dask.distributed.Client, of a cluster or of Client() for this machine."
        ) from error
