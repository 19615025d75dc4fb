"""What every result file says of its run, and the tables that README makes of them.

    python benchmarks/results.py

writes the tables between the markers of README.md again from benchmarks/results/*.json.
"""

import json
import platform
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import sklearn

import sklsh
from sklsh._kernels import _simd

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def facts(data=()):
    """Command, versions and machine; the folders `data` of this machine become DIR."""
    words = ["DIR" if Path(word) in data else word for word in sys.argv[1:]]
    if "--json" in words:
        del words[words.index("--json") : words.index("--json") + 2]
    return {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "versions": {
            "sklsh": sklsh.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "machine": {"cpu": cpu_model(), "instruction_set": _simd.level()},
    }


def cpu_model():
    """Name of the CPU, where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*: (.*)", text)
    return found.group(1) if found else platform.processor()


def width_table(run):
    """Cost of a training row beside PyTorch's, means over the seeds."""
    rows = [f"{run['data']}; {run['setting']}.", ""]
    rows += ["| | CPU µs per row | PyTorch / this | P@1 after one epoch |", "|---|---|---|---|"]
    names = dict.fromkeys(r["system"] for r in run["results"])
    for name in names:
        mine = [r for r in run["results"] if r["system"] == name]
        cpu, ratio, p1 = (
            np.mean([r[key] for r in mine]) for key in ("cpu_us_per_row", "torch_over_this", "P@1")
        )
        spread = np.ptp([r["P@1"] for r in mine])
        rows.append(f"| {name} | {cpu:.0f} | {ratio:.1f} | {p1:.3f} (spread {spread:.3f}) |")
    return rows


def xmc_table(run):
    """Precision on real data, defaults beside the exact network."""
    rows = [
        "| data | | P@1 (spread) | P@3 | P@5 | classes a step looks at | CPU s of fit |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {r['data']} | {r['variant']} | {r['P@1']:.1f} ({r['P@1_spread']:.1f}) "
        f"| {r['P@3']:.1f} | {r['P@5']:.1f} "
        f"| {r['share']:.0%} | {r['fit_cpu_s']:.0f} |"
        for r in run["results"]
    ]
    return rows


def out_of_core_table(run):
    """Speed and memory of training from a file."""
    result = run["results"]
    return [
        f"{run['data']}; {run['setting']}.",
        "",
        "| file | reading | reading and training | memory beside the model | model | P@1 |",
        "|---|---|---|---|---|---|",
        f"| {result['file_bytes'] / 1e6:,.0f} MB "
        f"| {result['reading_mb_per_cpu_s']:.0f} MB per CPU s "
        f"| {result['training_rows_per_cpu_s']:,} rows per CPU s "
        f"| {result['training_bytes_above_imports_and_model'] / 1e6:.0f} MB "
        f"| {result['model_bytes'] / 1e6:.0f} MB | {result['P@1']:.2f} |",
    ]


TABLES = {"width": width_table, "xmc": xmc_table, "out_of_core": out_of_core_table}


def readme_with_tables(text):
    """The README, its tables made from the result files."""
    for name, table in TABLES.items():
        run = json.loads((RESULTS / f"{name}.json").read_text())
        block = "\n".join([*table(run), "", f"From `{run['command']}`, {run['machine']['cpu']}."])
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        text = re.sub(pattern, lambda m, block=block: f"{m[1]}{block}\n{m[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(readme_with_tables(readme.read_text()))
