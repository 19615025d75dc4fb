"""Tables of what it is worth to choose the rows to train on."""

import numpy as np
from table_parts import mean, source

CURVES = (
    "CPU time until the test loss is uniform's last, over uniform's own until then, median of the "
    "seeds (least to most), and the last test loss; with the rate, where each took its best:"
)
WINDOW = 5  # evaluations whose mean is the loss at the last of them


def rows_tables(kept):
    """Generated rows along their curves, real sets at equal CPU time, and parts of a step."""
    results = kept["results"]
    lines = [f"{kept['setting']}.", "", CURVES, ""]
    lines += [*curve_lines([r for r in results if "curve" in r]), ""]
    lines += [*real_lines([r for r in results if "model" in r]), ""]
    if kept["parts"]:
        lines += [parts_sentence(kept["parts"]), ""]
    return [*lines, source(kept)]


# ---- generated rows ----


def curve_lines(results):
    """For each method and task when it has come to uniform's last loss, and its own last loss."""
    tasks = list(dict.fromkeys(r["task"] for r in results))
    lines = [f"| | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
    for method in dict.fromkeys(r["method"] for r in results):
        cells = [curve_cell([r for r in results if r["task"] == task], method) for task in tasks]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", f"| {tasks[0]} | test error on hard rows | hard rows of all drawn | CPU s |"]
    lines.append("|---" * 4 + "|")
    first = [r for r in results if r["task"] == tasks[0]]
    for method in dict.fromkeys(r["method"] for r in first):
        mine = [r for r in first if r["method"] == method]
        cells = [f"{mean(mine, 'hard error'):.1%}" if "hard error" in mine[0] else ""]
        cells.append(f"{mean(mine, 'hard draws'):.0%}" if "hard draws" in mine[0] else "")
        cells.append(f"{mean(mine, 'cpu_s'):.2f}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def curve_cell(results, method):
    """Median over the seeds of the share of uniform's time, with its range; mean of the loss."""
    mine = [r for r in results if r["method"] == method]
    if not mine:
        return ""
    if any("diverged" in r for r in mine):
        return "diverges"
    uniform = {r["seed"]: r for r in results if r["method"] == "uniform"}
    shares = [share_of_time(r["curve"], uniform[r["seed"]]["curve"]) for r in mine]
    last = np.mean([smooth(r["curve"])[-1] for r in mine])
    middle, least, most = (
        f"{share:.2f}" if np.isfinite(share) else "never"
        for share in (np.median(shares), min(shares), max(shares))
    )
    rate = f", rate {mine[0]['rate']}" if len({r["rate"] for r in results}) > 1 else ""
    return f"{middle} ({least} to {most}), {last:.4f}{rate}"


def smooth(curve):
    """Means of the last few losses at each evaluation; fewer by those it takes for the first."""
    losses = [loss for _, _, loss in curve]
    n = min(WINDOW, len(losses))
    return np.convolve(losses, np.full(n, 1 / n), mode="valid")


def share_of_time(curve, uniform):
    """CPU time until the loss is uniform's last, over uniform's own until then."""
    target = smooth(uniform)[-1] * (1 + 1e-9)
    return time_to(target, curve) / time_to(target, uniform)


def time_to(target, curve):
    """CPU seconds until the smooth loss is at most that; infinite if never."""
    losses = smooth(curve)
    reached = losses <= target
    if not reached.any():
        return np.inf
    return curve[len(curve) - len(losses) + int(reached.argmax())][1]


# ---- real sets ----


def real_lines(results):
    """Test errors beside uniform's in the same CPU time; below, what the samplers did and cost."""
    methods = list(dict.fromkeys(r["method"] for r in results))
    head = [f"| | {' | '.join(methods)} |", "|---" * (1 + len(methods)) + "|"]
    errors, costs = list(head), list(head)
    for task, model, budget in dict.fromkeys((r["task"], r["model"], r["budget"]) for r in results):
        same = [r for r in results if (r["task"], r["model"]) == (task, model)]
        title = f"{task}, {model}, {budget} epochs"
        groups = [
            [r for r in same if (r["method"], r["budget"]) == (method, budget) and r["shown"]]
            for method in methods
        ]
        uniform = [r for r in same if r["method"] == "uniform"]
        errors.append(f"| {title} | {' | '.join(error_cell(g, uniform) for g in groups)} |")
        costs.append(f"| {title} | {' | '.join(cost_cell(g, groups[0]) for g in groups)} |")
    return [
        "Test error in percent ± standard deviation over the seeds; in parentheses that of "
        "uniform draws in the same CPU time:",
        "",
        *errors,
        "",
        "CPU time of an epoch over that of uniform draws; share of the draws that went by scores; "
        "`sampling_gain_`; rate chosen:",
        "",
        *costs,
    ]


def error_cell(rows, uniform):
    """Mean and deviation of a method's errors, and uniform's error in that time."""
    if not rows:
        return ""
    if any("diverged" in r for r in rows):
        return "diverges"
    errors = [100 * r["error"] for r in rows]
    cell = f"{np.mean(errors):.2f} ± {np.std(errors, ddof=min(1, len(errors) - 1)):.2f}"
    if rows[0]["method"] == "uniform":
        return cell
    return f"{cell} ({100 * error_in_time(uniform, mean(rows, 'cpu_s')):.2f})"


def error_in_time(uniform, seconds):
    """Uniform's mean error after so many CPU seconds, between its numbers of epochs."""
    groups = [
        [r for r in uniform if r["epochs"] == n] for n in sorted({r["epochs"] for r in uniform})
    ]
    times = [np.log(mean(group, "cpu_s")) for group in groups]
    return np.interp(np.log(seconds), times, [mean(group, "error") for group in groups])


def cost_cell(rows, uniform):
    """What an epoch costs, how often scores were used, and what they were worth."""
    if not rows or any("diverged" in r for r in rows):
        return ""
    own = {r["seed"]: r["cpu_s"] / r["epochs"] for r in uniform}
    ratios = [r["cpu_s"] / r["epochs"] / own[r["seed"]] for r in rows]
    cells = [f"{np.median(ratios):.2f}"]
    if "by scores" in rows[0]:
        cells.append(f"{mean(rows, 'by scores'):.0%}")
        gains = [r["gain"] for r in rows if r["gain"] is not None]
        cells.append(f"{np.mean(gains):.1f}" if gains else "–")
    return "; ".join([*cells, f"{rows[0]['rate']:g}"])


# ---- parts ----


def parts_sentence(parts):
    """Where the time of the default sampler goes."""
    shown = ", ".join(
        f"{name} {parts[name]:.1%}" for name in ("hashing", "scoring", "drawing", "feedback")
    )
    total = sum(parts[name] for name in ("hashing", "scoring", "drawing", "feedback"))
    return (
        f"The default sampler takes {total:.1%} of the time of the steps on the hard region: "
        f"{shown}."
    )
