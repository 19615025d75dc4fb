"""What holds of an exchange under any communicator; also a program that mpirun starts."""

import numpy as np

from sklsh.distributed import SketchCompressor

N_ROWS, WIDTH = 300, 2
SCHEMES = ("auto", "dense", "coo", "topk", "s2", "fetch")
EXACT = ("dense", "coo")


def gradient_of(rank, step=0, n_rows=N_ROWS, width=WIDTH):
    """Any floats in some rows; in none on rank 2."""
    rng = np.random.default_rng([rank, step])
    n = 0 if rank == 2 else 40 + 10 * rank
    rows = np.sort(rng.choice(n_rows, n, replace=False)).astype(np.int32)
    return rows, rng.normal(size=(n, width)).astype(np.float32)


def as_matrix(rows, values, n_rows=N_ROWS):
    """The matrix with its zeros."""
    matrix = np.zeros((n_rows, values.shape[1]), dtype=np.float32)
    matrix[rows] = values
    return matrix


def sum_in_order(gradients):
    """Of matrices, in float32."""
    total = np.zeros((N_ROWS, WIDTH), dtype=np.float32)
    for gradient in gradients:
        total += as_matrix(*gradient)
    return total


def run_schemes(comm, n_steps=2):
    """What a process receives: by scheme the last sum, its residual and the bytes it sent."""
    results = {}
    for scheme in SCHEMES:
        compressor = SketchCompressor(scheme, k=25, momentum=0.5)
        totals = []
        for step in range(n_steps):
            rows, values = gradient_of(comm.Get_rank(), step)
            totals.append(compressor.all_reduce(rows, values, N_ROWS, comm))
        keeps = scheme in ("auto", "topk")
        results[scheme] = totals, compressor.residual() if keeps else None, compressor.bytes_sent_
    return results


def check(results):
    """All processes have the same sums, and they are right."""
    n_processes, n_steps = len(results), len(results[0]["dense"][0])
    gradients = [[gradient_of(r, s) for r in range(n_processes)] for s in range(n_steps)]
    for scheme in SCHEMES:
        totals = [result[scheme][0] for result in results]
        for step in range(n_steps):
            rows, values = totals[0][step]
            assert rows.dtype == np.int32 and values.dtype == np.float32
            assert (np.diff(rows) > 0).all()
            assert all(np.array_equal(rows, other[step][0]) for other in totals)
            assert all(np.array_equal(values, other[step][1]) for other in totals)
            if scheme == "s2":
                union = np.unique(np.concatenate([rows for rows, _ in gradients[step]]))
                assert np.array_equal(rows, union)
            if scheme in EXACT:
                assert np.array_equal(as_matrix(rows, values), sum_in_order(gradients[step]))
        if scheme in ("auto", "topk"):
            received = sum(as_matrix(*total) for total in totals[0])
            held_back = sum(result[scheme][1] for result in results)
            brought = sum(map(sum_in_order, gradients))
            np.testing.assert_allclose(received + held_back, brought, atol=1e-5)
            assert held_back.any() == (n_processes > 1 or scheme == "topk")


if __name__ == "__main__":
    from mpi4py import MPI

    everything = MPI.COMM_WORLD.allgather(run_schemes(MPI.COMM_WORLD))
    check(everything)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(f"{len(everything)} processes agree")
