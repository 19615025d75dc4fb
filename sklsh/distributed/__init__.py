"""Training that is spread over machines: on Dask's partitions, or process by process.

Importing it needs neither Dask nor mpi4py. :func:`fit` and :func:`predict` need Dask, the extra
``sklsh[dask]``, where rows lie in its partitions; where processes bring them :func:`fit` needs a
communicator such as mpi4py's.
"""

from sklsh.distributed._compressor import SketchCompressor
from sklsh.distributed._fit import fit
from sklsh.distributed._predict import predict

__all__ = ["SketchCompressor", "fit", "predict"]
