"""What a bug report needs to say of the machine."""

import platform
import sys
from contextlib import suppress
from importlib import metadata

import numpy
import scipy
import sklearn
import threadpoolctl

from sklsh._kernels import _simd, _threads
from sklsh._version import __version__

OPTIONAL = ("dask", "distributed", "mpi4py")


def show_versions():
    """Print versions, of optional packages if they are installed, instruction set, threads, BLAS.

    Examples
    --------
    >>> import sklsh
    >>> sklsh.show_versions()
    sklsh: ...
    """
    facts = {
        "sklsh": __version__,
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "platform": platform.platform(),
        "instruction set": f"{_simd.level()} (of {', '.join(_simd.available_levels())})",
        "OpenMP threads": _threads.max_threads() or "built without OpenMP",
    }
    for package in OPTIONAL:
        with suppress(metadata.PackageNotFoundError):
            facts[package] = metadata.version(package)
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            architecture = pool.get("architecture", "")
            facts["BLAS"] = f"{pool['internal_api']} {pool['version']} {architecture}".strip()
    for name, fact in facts.items():
        print(f"{name}: {fact}")
