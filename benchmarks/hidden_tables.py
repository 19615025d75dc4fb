"""Tables of hidden layers that compute a few units for each row."""

import numpy as np
from table_parts import mean, short, source

TITLES = {"dense": "dense", "lsh": '`hidden_sampling="lsh"`', "uniform": "random units"}


def hidden_tables(kept):
    """Accuracy and operations by set, and time along the width."""
    results = kept["results"]
    lines = accuracy_lines([r for r in results if r["task"] == "accuracy"])
    lines += ["", *width_lines([r for r in results if r["task"] == "width"])]
    return [*lines, "", source(kept)]


def accuracy_lines(results):
    """Each system's mean accuracy, its spread over the seeds, and its share of operations."""
    sets = list(dict.fromkeys(r["set"] for r in results))
    lines = [f"| | {' | '.join(sets)} | mean |", "|---" * (2 + len(sets)) + "|"]
    for system in dict.fromkeys(r["system"] for r in results):
        mine = [[r for r in results if (r["set"], r["system"]) == (s, system)] for s in sets]
        cells = [accuracy_cell(rows) for rows in mine]
        middle = np.mean([mean(rows, "accuracy") for rows in mine])
        lines.append(f"| {TITLES[system]} | {' | '.join(cells)} | {100 * middle:.1f} |")
    return lines


def accuracy_cell(rows):
    """Accuracy in percent (spread), and operations of the dense network's."""
    found = 100 * np.array([r["accuracy"] for r in rows])
    cell = f"{found.mean():.1f} ({np.ptp(found):.1f})"
    if "share" not in rows[0]:
        return f"{cell}, {mean(rows, 'cpu_s'):.0f} s"
    shares = f"{mean(rows, 'share'):.1%} ({mean(rows, 'share of dense rows'):.1%})"
    return f"{cell}, {shares}, {mean(rows, 'cpu_s'):.0f} s"


def width_lines(results):
    """CPU microseconds of a training row by system and width."""
    widths = sorted({r["width"] for r in results})
    lines = [
        f"| CPU µs per row | {' | '.join(f'{w:,} units' for w in widths)} |",
        "|---" * (1 + len(widths)) + "|",
    ]
    for system in dict.fromkeys(r["system"] for r in results):
        by_width = {r["width"]: r for r in results if r["system"] == system}
        cells = [short(by_width[w]["cpu_us_per_row"]) if w in by_width else "" for w in widths]
        title = f"{system} of the units" if system.endswith("%") else system
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines
