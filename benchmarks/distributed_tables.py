"""Tables of what processes that train together send each other, and what they learn."""

import numpy as np
from table_parts import mean, source

TOLERANCE = 1.02  # final loss over that of dense exchange, mean over the seeds


def distributed_tables(kept):
    """For each problem all settings, and each scheme at the best of its settings."""
    lines = []
    for run in kept["runs"]:
        rows = with_ratios(run["results"])
        lines += [f"**{run['data']}**; {run['setting']}", ""]
        lines += [*settings_table(rows), "", *best_table(rows), "", source(run), ""]
    return lines[:-1]


def with_ratios(results):
    """Results with their loss over that of dense exchange, same workers and seed."""
    dense = {(r["workers"], r["seed"]): r["loss"] for r in results if r["scheme"] == "dense"}
    return [r | {"ratio": r["loss"] / dense[r["workers"], r["seed"]]} for r in results]


def settings_table(rows):
    """What a process sends a step, in kB, and, in parentheses, the loss over dense's."""
    workers = sorted({r["workers"] for r in rows})
    lines = [
        f"| kB a step (loss / dense) | {' | '.join(f'{n} workers' for n in workers)} "
        f"| accuracy, {workers[-1]} workers |",
        "|---" * (2 + len(workers)) + "|",
    ]
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        cells = [method]
        for n in workers:
            here = [r for r in mine if r["workers"] == n]
            cells.append(f"{kilobytes(here)} ({form(mean(here, 'ratio'))})")
        cells.append(f"{mean(here, 'accuracy'):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def best_table(rows):
    """Fewest kB of each scheme's settings that reach the loss of dense, within TOLERANCE."""
    workers = sorted({r["workers"] for r in rows})
    lines = [
        f"| fewest kB within {TOLERANCE - 1:.0%} of dense's loss "
        f"| {' | '.join(f'{n} workers' for n in workers)} |",
        "|---" * (1 + len(workers)) + "|",
    ]
    for scheme in dict.fromkeys(r["scheme"] for r in rows):
        cells = [scheme]
        for n in workers:
            here = [r for r in rows if (r["scheme"], r["workers"]) == (scheme, n)]
            groups = [
                [r for r in here if r["method"] == method]
                for method in dict.fromkeys(r["method"] for r in here)
            ]
            reached = [g for g in groups if mean(g, "ratio") <= TOLERANCE]
            best = min(reached, key=lambda g: mean(g, "bytes"), default=None)
            cells.append(kilobytes(best) if best else "none")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def kilobytes(rows):
    """Mean over the seeds."""
    kb = mean(rows, "bytes") / 1000
    return f"{kb:,.0f}" if kb >= 100 else f"{kb:.3g}"


def form(ratio):
    """Three digits, or that training went astray."""
    return f"{ratio:.3f}" if np.isfinite(ratio) and ratio < 100 else "diverges"
