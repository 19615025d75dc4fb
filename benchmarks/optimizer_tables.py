"""Tables of what optimizers with state in count-sketches cost, save and learn."""

import numpy as np
from table_parts import mean, short, source


def optimizers_tables(run):
    """For each task cost, state and accuracy of each optimizer; and the peaks of memory."""
    lines = []
    for part in run["runs"]:
        table = memory_table if "peak_mb" in part["results"][0] else learning_table
        lines += [f"**{part['data']}**; {part['setting']}", "", *table(part["results"])]
        lines += ["", source(part), ""]
    return lines[:-1]


def learning_table(results):
    """Means over the seeds, the largest difference between seeds in parentheses."""
    epochs, words = len(results[0]["P@1"]), "perplexity" in results[0]
    columns = ["", "state MB", "CPU µs per row", "/ Adam"]
    columns += [f"P@1 after {n} of {epochs} epochs" for n in range(1, epochs + 1)]
    columns += ["perplexity"] if words else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    costs = {r["seed"]: r["cpu_us_per_row"] for r in results if r["method"] == "Adam"}
    for method in dict.fromkeys(r["method"] for r in results):
        mine = [r for r in results if r["method"] == method]
        ratio = np.mean([r["cpu_us_per_row"] / costs[r["seed"]] for r in mine])
        cells = [method, short(mean(mine, "state_mb")), short(mean(mine, "cpu_us_per_row"))]
        cells.append(f"{ratio:.2f}")
        cells += [spread([r["P@1"][n] for r in mine]) for n in range(epochs)]
        cells += [spread([r["perplexity"][-1] for r in mine])] if words else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def memory_table(results):
    """Peak memory beside that of the first optimizer."""
    lines = ["| | weights and state, MB | peak MB | / the first |", "|---|---|---|---|"]
    first = results[0]["peak_mb"]
    for r in results:
        cells = [r["method"], f"{r['model_mb']:,.0f}", f"{r['peak_mb']:,.0f}"]
        cells.append(f"{r['peak_mb'] / first:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values):
    """Mean, and the difference between the largest and the smallest if there are several."""
    width = f" ({np.ptp(values):.1f})" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{width}"
