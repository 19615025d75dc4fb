"""Compiled kernels: arrays and sizes in, arrays out."""

import os


def _load_openmp():
    """Load OpenMP with threads that soon sleep where they have nothing to do.

    By default they spin, and a spinning thread that shares its core with a working one,
    of this process or another, holds it up for a whole time slice at each of the dozen
    parallel regions of a training step. A sleeping one takes tens of microseconds to wake.
    These spin for about as long, which bridges most of what lies between two regions.
    gcc's OpenMP reads the variable once, when it is loaded; it is taken back at once, and
    what a user set is left alone.
    """
    unset = not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if unset:
        os.environ["GOMP_SPINCOUNT"] = "5000"
    try:
        from sklsh._kernels import _threads

        _threads.max_threads()
    except ImportError as error:
        raise ImportError(
            "The kernels of sklsh are not built in this folder. Leave it to use an installed "
            "sklsh, or build here with: pip install -e ."
        ) from error
    finally:
        if unset:
            del os.environ["GOMP_SPINCOUNT"]


_load_openmp()
