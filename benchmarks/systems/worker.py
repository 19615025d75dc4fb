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
    """CPU and wall seconds since it was made.

    Parameters
    ----------
    process_time : callable
        Tells CPU seconds; by default those of this process without its children.
    """

    def __init__(self, process_time=time.process_time):
        self.process_time = process_time
        self.last = process_time(), time.perf_counter()

    def seconds(self, name):
        """Both, under keys that begin with `name`."""
        now = self.process_time(), time.perf_counter()
        cpu, wall = (b - a for a, b in zip(self.last, now, strict=True))
        return {f"{name}_cpu_s": cpu, f"{name}_wall_s": wall}


def model_of(task):
    """The model that the task names, its folder made; leaves if it is not installed."""
    system = SYSTEMS[task["system"]]
    try:
        metadata.version(system.distribution)
    except metadata.PackageNotFoundError:
        print(f"pip install {system.package} for {sys.executable}", file=sys.stderr)
        sys.exit(MISSING)
    module = import_module(f"systems.{system.module}")
    folder = Path(task["out"], "model")
    folder.mkdir()
    epochs = {"epochs": task["epochs"]} if system.epochs else {}
    return module.Model(seed=task["seed"], folder=folder, **epochs, **system.settings)


def versions_of(name):
    """Of the system's package, and of what it runs under."""
    distribution = SYSTEMS[name].distribution
    return {
        distribution: metadata.version(distribution),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def run(task):
    """Do the task; returns labels, figures and versions."""
    model = model_of(task)
    data = Path(task["data"])
    X, Y, X_test = (sp.load_npz(data / f"{name}.npz") for name in ("X_train", "Y_train", "X_test"))
    process_time = getattr(model, "process_time", time.process_time)

    inputs = model.fit_input(X, Y)
    clock = Clock(process_time)
    model.fit(*inputs)
    figures = clock.seconds("fit")
    if hasattr(model, "fit_parts"):
        figures |= model.fit_parts(figures["fit_cpu_s"])
    rows = model.rows(X_test)
    clock = Clock(process_time)
    labels = model.predict(rows, task["k"])
    figures |= clock.seconds("predict")
    figures["predict_cpu_ms_per_row"] = 1000 * figures["predict_cpu_s"] / X_test.shape[0]
    figures["peak_mb"] = (peak_bytes() + getattr(model, "peak_bytes", 0)) / 1e6
    model.save()
    files = Path(task["out"], "model").rglob("*")
    n_bytes = sum(path.stat().st_size for path in files if path.is_file())
    figures["model_mb"] = n_bytes / 1e6
    return labels, figures, getattr(model, "versions", {}) | versions_of(task["system"])


def main():
    """Run the task given on the command line."""
    task = json.loads(sys.argv[1])
    labels, figures, versions = run(task)
    out = Path(task["out"])
    np.save(out / "labels.npy", labels)
    (out / "run.json").write_text(json.dumps({"figures": figures, "versions": versions}))


if __name__ == "__main__":
    main()
