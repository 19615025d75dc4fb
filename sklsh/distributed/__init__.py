"""Training that is spread over machines: on Dask's partitions, or process by process.

Importing it needs neither Dask nor mpi4py; :func:`fit` needs Dask, the extra ``sklsh[dask]``.
"""

from sklsh.distributed._compressor import SketchCompressor
from sklsh.distributed._fit import fit

__all__ = ["SketchCompressor", "fit"]
