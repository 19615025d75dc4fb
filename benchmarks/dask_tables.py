"""Tables of fits over partitions: what they take and reach, and what to expect of clusters."""

import numpy as np
from table_parts import mean, source

WIRES = {"1 Gbit/s": 1.25e8, "10 Gbit/s": 1.25e9}  # bytes a second
ROUND_SECONDS = 0.05  # to schedule a round, assumed
MERGE_BYTES_PER_SECOND = 1e9  # of a model's changes, by the worker that puts them together
CLUSTERS = 2, 4, 8, 32, 100


def dask_tables(kept):
    """A table for each estimator, and the cost model of the networks'."""
    lines = []
    for run in kept["runs"]:
        figures = [name for name in ("P@1", "recall", "accuracy") if name in run["results"][0]]
        lines += [f"**{run['data']}**; {run['setting']}", ""]
        lines += [*fits_table(run["results"], figures), "", source(run), ""]
    for run in kept["runs"]:
        lines += [*model_table(run), ""]
    return lines[:-1]


def fits_table(results, figures):
    """Times and figures of each setting, means over the seeds, with the least and the largest."""
    lines = [
        f"| workers | models | rounds | local s | merging s | merging / local "
        f"| {' | '.join(figures)} |",
        "|---" * (6 + len(figures)) + "|",
    ]
    for method in dict.fromkeys(r["method"] for r in results):
        here = [r for r in results if r["method"] == method]
        first, local = here[0], mean(here, "local_s")
        if first["workers"] is None:
            cells = ["none: `fit` of all rows", "1", "", f"{local:.1f} (CPU)", "", ""]
        else:
            merging = mean(here, "merge_s")
            auto = ' ("auto")' if first["asked"] == "auto" else ""
            cells = [
                str(first["workers"]), str(first["models"]), f"{first['rounds']:.0f}{auto}",
                f"{local:.1f}", f"{merging:.2f}", f"{merging / local:.0%}",
            ]  # fmt: skip
        cells += [spread([r[name] for r in here]) for name in figures]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values):
    """Mean, with the range where there are several."""
    digits = 1 if max(values) > 1.5 else 3
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1 and min(values) < max(values):
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def model_table(run):
    """Speed-up to expect of clusters, by the local time measured here and stated assumptions."""
    alone = [r for r in run["results"] if r["workers"] is None]
    auto = [r for r in run["results"] if r["models"] == 2 and r["asked"] == "auto"]
    seconds, n_rounds = mean(alone, "local_s"), mean(auto, "rounds")
    n_bytes = 1e6 * mean(auto, "state_MB")
    lines = [
        f"Speed-up over one worker that the cost model expects of {run['data'].split(':')[0]}: "
        f"{seconds:.3g} CPU seconds of training, divided evenly, and {n_rounds:.0f} round(s) in "
        f"which each worker sends and receives {n_bytes / 1e6:.3g} MB, one worker receives all "
        "that is sent through its own wire and puts it together at "
        f"{MERGE_BYTES_PER_SECOND / 1e9:.0f} GB/s, the model goes from worker to worker in a "
        f"tree, and scheduling takes {1000 * ROUND_SECONDS:.0f} ms. It assumes equal partitions "
        "and machines, and says nothing of accuracy:",
        "",
        f"| workers | {' | '.join(map(str, CLUSTERS))} |",
        "|---" * (1 + len(CLUSTERS)) + "|",
    ]
    for wire, speed in WIRES.items():
        cells = []
        for n in CLUSTERS:
            # all changes into one worker, and the state from worker to worker in a tree
            hops = np.ceil(np.log2(n))
            merging = n * n_bytes * (1 / speed + 1 / MERGE_BYTES_PER_SECOND)
            a_round = ROUND_SECONDS + merging + hops * n_bytes / speed
            cells.append(f"{seconds / (seconds / n + n_rounds * a_round):.2g}")
        lines.append(f"| {wire} | {' | '.join(cells)} |")
    return lines
