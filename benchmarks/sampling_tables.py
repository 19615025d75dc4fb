"""Tables of what samplers of classes are worth."""

import numpy as np
from table_parts import mean, short, source


def negatives_table(run):
    """What each way to choose negatives costs and comes to, means over the seeds."""
    lines = [f"{run['data']}; {run['setting']}.", ""]
    lines += ["| negatives | CPU µs per row | P@1 at the end |", "|---|---|---|"]
    for name in dict.fromkeys(r["sampler"] for r in run["results"]):
        mine = [r for r in run["results"] if r["sampler"] == name]
        p1 = [r["curve"][-1][1] for r in mine]
        cost = mean(mine, "cpu_us_per_row")
        lines.append(f"| {name} | {cost:.0f} | {np.mean(p1):.3f} (spread {np.ptp(p1):.3f}) |")
    return [*lines, "", source(run)]


def partition_tables(run):
    """What each estimate of the partition function costs, and how far it is off."""
    lines = [f"{run['setting']}.", ""]
    for data in dict.fromkeys(r["data"] for r in run["results"]):
        lines += [
            f"**{data}**",
            "",
            "| | | products | CPU µs per query | bias (standard error) | variance "
            "| median error of log Z |",
            "|---|---|---|---|---|---|---|",
        ]
        for r in run["results"]:
            if r["data"] == data:
                off = f"{r['bias']:.3f} ({r['bias_error']:.3f})"
                cells = [r["way"], r["size"], f"{r['products']:,.0f}", short(r["cpu_us"])]
                cells += [off, short(r["variance"]), short(r["log_error"])]
                lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return [*lines, source(run)]


def softmax_tables(run):
    """For each task what each sampler and correction comes to, along CPU time."""
    lines = []
    for part in run["runs"]:
        results = part["results"]
        epochs = sorted({r["epochs"] for r in results if r["epochs"] >= 1})
        lines += [f"**{part['data']}**; {part['setting']}. Perplexity (CPU s), P@1, tail P@1", ""]
        lines.append(f"| | classes | {' | '.join(f'{n} epochs' for n in epochs)} |")
        lines.append("|---" * (len(epochs) + 2) + "|")
        for method in dict.fromkeys(r["method"] for r in results):
            mine = [r for r in results if r["method"] == method]
            cells = [softmax_cell([r for r in mine if r["epochs"] == n]) for n in epochs]
            lines.append(f"| {method} | {mean(mine, 'classes'):,.0f} | {' | '.join(cells)} |")
        lines += ["", source(part), ""]
    return lines[:-1]


def softmax_cell(rows):
    """Means of a method's runs of so many epochs."""
    if not rows:
        return ""
    cell = f"{mean(rows, 'perplexity'):,.0f} ({mean(rows, 'cpu_s'):,.0f})"
    shown = [f"{mean(rows, key):.3f}" for key in ("P@1", "tail P@1") if key in rows[0]]
    return ", ".join([cell, *shown])


def link_prediction_table(run):
    """Means over the seeds, and their spread."""
    names = "P@1", "MRR", "hits@10", "cpu_s"
    lines = [f"{run['data']}; {run['setting']}.", "", "| P@1 | filtered MRR | hits@10 | CPU s |"]
    lines.append("|---" * len(names) + "|")
    cells = [
        f"{mean(run['results'], name):.4g} ({np.ptp([r[name] for r in run['results']]):.2g})"
        for name in names
    ]
    return [*lines, f"| {' | '.join(cells)} |", "", source(run)]
