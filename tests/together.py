"""A network that processes train together; also a program that mpirun starts."""

import numpy as np
from models import wide_model, wide_problem

from sklsh.distributed import SketchCompressor, fit

SCHEMES = ("auto", "dense", "coo", "topk", "s2", "fetch")


def fit_wide(comm, scheme):
    """A process's model of many classes, and its compressor; the first has half of the rows."""
    X, Y = wide_problem(160)
    n, rank, size = X.shape[0], comm.Get_rank(), comm.Get_size()
    mine = slice(n // 2) if rank == 0 else slice(n // 2 + rank - 1, n, max(1, size - 1))
    compressor = SketchCompressor(scheme, k=0.2)
    model = wide_model(loss="softmax_logistic", hidden_dropout=0.1)
    return fit(model, X[mine], Y[mine], comm=comm, compressor=compressor), compressor


def arrays_of(model):
    """All weights and optimizer state."""
    parameters = model._network.parameters
    return [array for one in parameters for array in (one.weights, *one.slots)]


if __name__ == "__main__":
    from mpi4py import MPI

    model, _ = fit_wide(MPI.COMM_WORLD, "auto")
    everything = MPI.COMM_WORLD.allgather(arrays_of(model))
    for other in everything[1:]:
        assert all(map(np.array_equal, everything[0], other))
    rank = MPI.COMM_WORLD.Get_rank()
    X = np.full((9, 4), np.nan if rank == 1 else 0)
    try:
        fit(wide_model(), X, np.arange(9), comm=MPI.COMM_WORLD)
    except ValueError as error:
        raised = MPI.COMM_WORLD.allgather(str(error))
    assert set(raised) == {raised[0]} and raised[0].startswith("process 1: Input X contains NaN")
    if rank == 0:
        print(f"{len(everything)} processes agree")
