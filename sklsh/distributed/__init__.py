"""Training that is spread over machines: on Dask's partitions, or process by process.

Importing it needs neither Dask nor mpi4py; :func:`fit` and :func:`predict` need Dask, the
extra ``sklsh[dask]``.
"""

from sklsh.distributed._compressor import SketchCompressor
from sklsh.distributed._fit import fit
from sklsh.distributed._predict import predict

__all__ = ["SketchCompressor", "fit", "predict"]
