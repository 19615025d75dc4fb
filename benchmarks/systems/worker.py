"""One run in a process of its own: fit, predict, save, and what they took.

    python -m systems.worker '{"system": NAME, "seed": 0, "epochs": 10, "k": 5,
                               "data": DIR, "out": DIR}'

reads X_train.npz, Y_train.npz and X_test.npz from `data`, writes labels.npy and run.json to
`out`. Leaves with status MISSING if the system is not installed. Needs no sklsh of its own.
"""

import json
import platform
import resource
import sys
import time
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import scipy
import scipy.sparse as sp

from systems import SYSTEMS

MISSING = 3


def peak_bytes():
    """Largest resident set of this process so far.

    Linux counts what the parent held before it started this program into ru_maxrss, so
    VmHWM is read where it is to be had.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Clock:
    """CPU and wall seconds since the last look, children left out."""

    def __init__(self):
        self.last = time.process_time(), time.perf_counter()

    def seconds(self, name):
        """Both, under keys that begin with `name`."""
        now = time.process_time(), time.perf_counter()
        cpu, wall = (b - a for a, b in zip(self.last, now, strict=True))
        return {f"{name}_cpu_s": cpu, f"{name}_wall_s": wall}


def run(task):
    """Do the task; returns labels, figures and versions."""
    system = SYSTEMS[task["system"]]
    package = system.package.split("==")[0]
    module = import_module(f"systems.{system.module}")
    data, out = Path(task["data"]), Path(task["out"])
    X, Y, X_test = (sp.load_npz(data / f"{name}.npz") for name in ("X_train", "Y_train", "X_test"))
    epochs = {"epochs": task["epochs"]} if system.epochs else {}
    folder = out / "model"
    folder.mkdir()
    model = module.Model(seed=task["seed"], folder=folder, **epochs, **system.settings)

    inputs = model.fit_input(X, Y)
    clock = Clock()
    model.fit(*inputs)
    figures = clock.seconds("fit")
    if hasattr(model, "fit_parts"):
        figures |= model.fit_parts(figures["fit_cpu_s"])
    rows = model.rows(X_test)
    clock = Clock()
    labels = model.predict(rows, task["k"])
    figures |= clock.seconds("predict")
    figures["predict_cpu_ms_per_row"] = 1000 * figures["predict_cpu_s"] / X_test.shape[0]
    figures["peak_mb"] = peak_bytes() / 1e6
    model.save()
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    figures["model_mb"] = n_bytes / 1e6
    versions = {
        package: metadata.version(package),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    return labels, figures, versions


def main():
    """Run the task given on the command line."""
    task = json.loads(sys.argv[1])
    package = SYSTEMS[task["system"]].package
    try:
        metadata.version(package.split("==")[0])
    except metadata.PackageNotFoundError:
        sys.exit(MISSING)
    labels, figures, versions = run(task)
    out = Path(task["out"])
    np.save(out / "labels.npy", labels)
    (out / "run.json").write_text(json.dumps({"figures": figures, "versions": versions}))


if __name__ == "__main__":
    main()
