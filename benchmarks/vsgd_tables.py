"""Tables of what the rates are worth that vSGD-fd finds by itself."""

import numpy as np
from table_parts import mean, short, source

METHODS = {
    "vsgd": '`"vsgd"`', "sgd": "SGD, best rate of a grid", "adam": "Adam, rate .001",
    "default": "the default",
}  # fmt: skip


def vsgd_tables(run):
    """Noisy functions, then real sets."""
    return [
        f"Excess loss after 1,000 steps, medians of {run['seeds']} seeds; in parentheses the best "
        "rate of the grid:",
        "",
        *function_lines(run["functions"]),
        "",
        "Test error in percent; test loss; CPU µs of a step; and the rate that did best:",
        "",
        *real_lines(run["real"]),
        "",
        source(run),
    ]


def function_lines(results):
    """A line for each function, number of weights, and samples of a step."""
    lines = [
        "| function | weights | samples a step | vSGD | SGD | Adam | vSGD / SGD |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        cells = [r["function"], f"{r['d']}", f"{r['n']}", f"{r['vsgd']:.2g}"]
        cells += [f"{r[name]:.2g} ({r[f'{name}_rate']:.2g})" for name in ("sgd", "adam")]
        lines.append(f"| {' | '.join([*cells, short(r['vsgd'] / r['sgd'])])} |")
    return lines


def real_lines(results):
    """A line for each set, means over the seeds."""
    lines = [f"| | {' | '.join(METHODS.values())} |", "|---" * (1 + len(METHODS)) + "|"]
    for task in dict.fromkeys(r["task"] for r in results):
        mine = [r for r in results if r["task"] == task]
        cells = [f"{task}, {mine[0]['epochs']} epochs"]
        cells += [real_cell([r for r in mine if r["method"] == method]) for method in METHODS]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def real_cell(rows):
    """Error, loss, cost, and the rates that were best."""
    cell = f"{100 * mean(rows, 'error'):.1f}; {mean(rows, 'loss'):.3f}; "
    cell += f"{np.median([r['us_per_step'] for r in rows]):,.0f}"
    rates = dict.fromkeys(f"{r['rate']:g}" for r in rows if "rate" in r)
    return "; ".join([cell, " or ".join(rates)]) if rates else cell
