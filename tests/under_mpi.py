"""Programs of the tests under Open MPI, where it and mpi4py are there; they are optional."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_mpi = pytest.mark.skipif(
    not (shutil.which("mpirun") and find_spec("mpi4py")),
    reason="mpirun and mpi4py are optional, and not installed; a comm in process is tested always",
)


def assert_two_processes_agree(name):
    """Run a program beside this file in two processes."""
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        ["mpirun", "-n", "2", "--oversubscribe", sys.executable, Path(__file__).with_name(name)],
        env=os.environ | root, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "2 processes agree\n", done.stderr
