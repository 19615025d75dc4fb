"""What every result file says of its run, and the tables that README and docs make of them.

    python benchmarks/results.py

writes the tables between the markers of PAGES again from benchmarks/results/*.json.
"""

import json
import platform
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import sklearn
from dask_tables import dask_tables
from distributed_tables import distributed_tables
from hidden_tables import hidden_tables
from optimizer_tables import optimizers_tables
from row_tables import rows_tables
from sampling_tables import (
    link_prediction_table,
    negatives_table,
    partition_tables,
    softmax_tables,
)
from table_parts import mean, short, source
from vsgd_tables import vsgd_tables

import sklsh
from sklsh._kernels import _simd

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = "README.md", "docs/distributed.md"
COSTS = ("fit_cpu_s", "predict_cpu_ms_per_row", "model_mb", "peak_mb")
VERSIONS_SHOWN = {
    "sklsh": "sklsh", "torch": "PyTorch", "omikuji": "omikuji", "libpecos": "PECOS",
    "napkinxc": "napkinXC",
}  # fmt: skip


def facts(data=()):
    """Command, versions and machine, without the paths of this one; `data` becomes DIR."""
    words = ["DIR" if Path(word) in data else word for word in sys.argv[1:]]
    for option in ("--json", "--rivals-python", "--picture"):
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
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
    lines = [
        f"{run['data']}; {run['setting']}.",
        "",
        "| labels | | CPU µs per row | PyTorch / this | PyTorch full / this | of the bound "
        "| P@1 after one epoch | peak memory / model |",
        "|---|---|---|---|---|---|---|---|",
    ]
    forms = {
        "CPU us": short, "x PyTorch": short, "x full": short, "of bound": "{:.0%}".format,
        "P@1": "{:.3f}".format, "/ model": "{:.2f}".format,
    }  # fmt: skip
    for key in dict.fromkeys((r["classes"], r["system"]) for r in run["results"]):
        mine = [r for r in run["results"] if (r["classes"], r["system"]) == key]
        cells = {"labels": f"{key[0]:,}", "system": key[1]}
        for name, form in forms.items():
            measured = [r for r in mine if name in r]  # memory in the first seed only
            cells[name] = form(mean(measured, name)) if measured else ""
        if len(mine) > 1 and cells["P@1"]:
            cells["P@1"] += f" (spread {np.ptp([r['P@1'] for r in mine]):.3f})"
        lines.append(f"| {' | '.join(cells.values())} |")
    return [*lines, "", f"{source(run)} {bounds(run['measured'])}"]


def predict_table(run):
    """What the best labels of a row cost, way by way, and how many of them are found."""
    lines = [
        f"{run['data']}; {run['setting']}.",
        "",
        "| labels | | CPU µs per row | PyTorch's best / this | of the best labels | P@1 |",
        "|---|---|---|---|---|---|",
    ]
    for r in run["results"]:
        faster = short(r["torch_over_this"]) if "torch_over_this" in r else ""
        found = next((f"{v:.3f}" for key, v in r.items() if key.startswith("recall")), "")
        cells = [f"{r['classes']:,}", r["system"], f"{r['cpu_us_per_row']:,.0f}", faster, found]
        cells.append(f"{r['P@1']:.3f}" if "P@1" in r else "")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", source(run)]


def kernels_table(run):
    """Each kernel beside NumPy and the machine."""
    lines = [
        "| kernel | on | µs | billion operations / s | GB / s | of the bound | NumPy / this |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in run["results"]:
        rates = (short(r[key]) if r[key] else "" for key in ("G op/s", "GB/s"))
        cells = [r["kernel"], r["on"], f"{r['us']:,.0f}", *rates]
        cells += [f"{r['of bound']:.0%}", short(r["NumPy / this"])]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", f"{source(run)} {bounds(run['measured'])}"]


def bounds(machine):
    """What the machine was measured to do, in a sentence."""
    rates = ", ".join(f"{rate:,.0f} ({name})" for name, rate in machine["operations"].items())
    return (
        f"The bound is that of one core: {rates} billion operations per second, scattered rows "
        f"read at {machine['read']:.1f} and updated at {machine['rewrite']:.1f} GB per second."
    )


def xmc_tables(runs):
    """For each data set a table of the systems, best P@1 first, means over the seeds."""
    lines = []
    for data in dict.fromkeys(r["data"] for r in runs):
        mine = [r for r in runs if r["data"] == data]
        size = mine[0]
        lines += [
            f"**{data}**: {size['n_rows']:,} rows, {size['n_features']:,} features, "
            f"{size['n_labels']:,} labels",
            "",
            "| | P@1 (spread) | P@3 | P@5 | PSP@1 | PSP@5 | fit CPU s | predict CPU ms a row "
            "| model MB | peak MB |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        groups = {}
        for r in mine:
            groups.setdefault((r["system"], r["epochs"]), []).append(r)
        best_first = sorted(groups.values(), key=lambda rows: -mean(rows, "P@1"))
        lines += [*map(xmc_line, best_first), ""]
    return lines[:-1]


def xmc_line(rows):
    """One system's line of a table, from its seeds."""
    title, epochs = rows[0]["title"], rows[0]["epochs"]
    title += f", {epochs} epochs" if epochs else ""
    spread = f" ({np.ptp([r['P@1'] for r in rows]):.1f})" if len(rows) > 1 else ""
    cells = [title, f"{mean(rows, 'P@1'):.1f}{spread}"]
    cells += [f"{mean(rows, key):.1f}" for key in ("P@3", "P@5", "PSP@1", "PSP@5")]
    cells += [short(mean(rows, key)) for key in COSTS]
    return f"| {' | '.join(cells)} |"


def tail_tables(run):
    """Accuracy along the number of training rows, and its parts by the frequency of labels."""
    lines = []
    for data in dict.fromkeys(r["data"] for r in run["results"]):
        mine = [r for r in run["results"] if r["data"] == data]
        rows = sorted({r["n_rows"] for r in mine})
        columns = " | ".join(f"{n:,} rows" for n in rows)
        lines += [f"**{data}**, P@1 / PSP@5 by training rows", "", f"| | {columns} |"]
        lines += ["|---" * (len(rows) + 1) + "|"]
        for title in dict.fromkeys(r["title"] for r in mine):
            by_rows = {r["n_rows"]: r for r in mine if r["title"] == title}
            cells = [f"{by_rows[n]['P@1']:.1f} / {by_rows[n]['PSP@5']:.1f}" for n in rows]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        split = [r for r in mine if "parts" in r]
        parts = split[0]["parts"]
        columns = " | ".join(
            f"labels of {p['rows of a label']} rows ({p['of test labels']:.0f} %)" for p in parts
        )
        lines += [
            "",
            f"**{data}**, part of P@5 / of PSP@5 / recall at 5, by frequency of the label",
        ]
        lines += ["", f"| | {columns} |", "|---" * (len(parts) + 1) + "|"]
        for r in split:
            cells = [f"{p['P@5']:.1f} / {p['PSP@5']:.1f} / {p['recall']:.0f}" for p in r["parts"]]
            lines.append(f"| {r['title']} | {' | '.join(cells)} |")
        lines.append("")
    return [*lines, source(run)]


def mission_tables(run):
    """For each family of rows what each selector costs and finds, medians over the seeds."""
    lines = [f"{run['data']}; {run['setting']}.", ""]
    for family in dict.fromkeys(r["family"] for r in run["results"]):
        mine = [r for r in run["results"] if r["family"] == family]
        ceiling = mean(mine, "ceiling")
        lines += [
            f"**{family}**; the true model's accuracy is {ceiling:.3f}", "",
            "| | thousand rows per CPU s | peak MB | state MB | recall, least / mean "
            "| accuracy of a refit |",
            "|---|---|---|---|---|---|",
        ]  # fmt: skip
        for title in dict.fromkeys(r["title"] for r in mine):
            lines.append(mission_line([r for r in mine if r["title"] == title]))
        lines.append("")
    return [*lines, source(run)]


def mission_line(rows):
    """One selector's line, from its seeds; what cannot be known stays empty."""
    cells = [rows[0]["title"], short(np.median([r["rows/s"] for r in rows]) / 1000)]
    peaks = [r["peak_mb"] for r in rows if "peak_mb" in r]
    cells += [short(peaks[0]) if peaks else "", short(rows[0]["state_mb"])]
    found = [r["recall"] for r in rows if "recall" in r]
    cells.append(f"{min(found):.2f} / {np.mean(found):.3f}" if found else "")
    cells.append(f"{np.median([r['refit'] for r in rows]):.3f}" if found else "")
    return f"| {' | '.join(cells)} |"


def phase_transition_tables(run):
    """Share of the trials that find the support, along the number of rows."""
    results = run["results"]
    rows = sorted({r["n"] for r in results})
    lines = [f"{run['data']}; {run['setting']}.", ""]
    lines += [
        f"| k | | {' | '.join(f'{n:,} rows' for n in rows)} |",
        "|---" * (len(rows) + 2) + "|",
    ]
    for k, name in dict.fromkeys((r["k"], r["system"]) for r in results):
        curve = {r["n"]: r["success"] for r in results if (r["k"], r["system"]) == (k, name)}
        cells = [f"{curve[n]:.2f}" if n in curve else "" for n in rows]
        lines.append(f"| {k} | {name} | {' | '.join(cells)} |")
    return [*lines, "", source(run)]


def selection_curve_tables(run):
    """Accuracy along the number of chosen features, means over the seeds, and bytes of state."""
    lines = []
    for data in dict.fromkeys(r["data"] for r in run["results"]):
        mine = [r for r in run["results"] if r["data"] == data]
        sizes = sorted({r["size"] for r in mine})
        lines += [f"**{data}**, test accuracy (MB of state) by number of features", ""]
        lines.append(f"| | {' | '.join(f'{n:,}' for n in sizes)} |")
        lines.append("|---" * (len(sizes) + 1) + "|")
        for title in dict.fromkeys(r["title"] for r in mine):
            cells = [title]
            for size in sizes:
                runs = [r for r in mine if (r["title"], r["size"]) == (title, size)]
                cells.append(f"{mean(runs, 'accuracy'):.3f}" if runs else "")
                if runs and "state_mb" in runs[0]:
                    cells[-1] += f" ({short(runs[0]['state_mb'])})"
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return [*lines, source(run)]


def token_hashing_table(run):
    """Strings hashed per second."""
    lines = ["| strings | | million per CPU s | / FeatureHasher |", "|---|---|---|---|"]
    for r in run["results"]:
        cells = [r["data"], r["system"], short(r["rate"]), short(r["ratio"])]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", source(run)]


def recipe_tables(run):
    """What the defaults are worth on held-out rows, one setting changed at a time."""
    results = run["results"]
    names = list(dict.fromkeys(r["data"] for r in results))
    columns = " | ".join(f"{name}: P@1 | P@5 | PSP@5 | CPU s" for name in names)
    lines = [f"| | {columns} |", "|---" * (1 + 4 * len(names)) + "|"]
    for variant in dict.fromkeys(r["variant"] for r in results):
        cells = [variant]
        for name in names:
            mine = [r for r in results if (r["data"], r["variant"]) == (name, variant)]
            cells += [f"{mean(mine, key):.1f}" for key in ("P@1", "P@5", "PSP@5")]
            cells.append(short(mean(mine, "fit_cpu_s")))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", source(run)]


def xmc_block(kept):
    """The tables, and where they come from."""
    runs = kept["runs"]
    versions = {k: v for r in runs for k, v in r["versions"].items() if k in VERSIONS_SHOWN}
    shown = ", ".join(f"{VERSIONS_SHOWN[k]} {versions[k]}" for k in VERSIONS_SHOWN if k in versions)
    cpus = " and ".join(dict.fromkeys(r["cpu"] for r in runs))
    return [
        *xmc_tables(runs), "",
        f"From `python benchmarks/xmc.py --data DIR ...`, one thread on {cpus}; {shown}.",
    ]  # fmt: skip


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
        "",
        source(run),
    ]


TABLES = {
    "width": width_table, "kernels": kernels_table, "xmc": xmc_block,
    "out_of_core": out_of_core_table, "negatives": negatives_table,
    "partition": partition_tables, "predict": predict_table,
    "tail": tail_tables, "recipe": recipe_tables, "mission": mission_tables,
    "phase_transition": phase_transition_tables, "selection_curves": selection_curve_tables,
    "token_hashing": token_hashing_table, "softmax": softmax_tables,
    "link_prediction": link_prediction_table, "rows": rows_tables, "vsgd": vsgd_tables,
    "hidden": hidden_tables, "optimizers": optimizers_tables,
    "distributed": distributed_tables, "dask": dask_tables,
}  # fmt: skip


def page_with_tables(text):
    """A page, the tables that it has a place for made from the result files."""
    for name, table in TABLES.items():
        if f"<!-- {name} -->" not in text:
            continue
        block = "\n".join(table(json.loads((RESULTS / f"{name}.json").read_text())))
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        text = re.sub(pattern, lambda m, block=block: f"{m[1]}{block}\n{m[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(page_with_tables(path.read_text()))
