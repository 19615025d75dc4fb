"""When is the support found exactly? MISSION beside greedy hard thresholding and dense SGD.

    python benchmarks/phase_transition.py [--sparsity 4 8] [--rows N ...] [--trials 50]
        [--systems NAME ...] [--json FILE] [--picture FILE]

A trial draws n rows of p = 1,000 Gaussian features and a linear model with k weights of size .8
to 1.2 and random sign; the targets have Gaussian noise of deviation .1. All systems see the rows
one at a time, in 20 epochs with the constant rate 2 / p, and name k features. A trial succeeds if
these are the true ones:

    mission    MISSIONSelector, mode="mission", 3 x 256 cells: weights in the sketch, the largest
               estimates are the model
    active     the same with mode="active" and the l1 penalty that is usual for the lasso, the
               noise's deviation times sqrt(2 log p / n): in this mode all weights predict, so
               only a penalty makes few of them large where there are fewer rows than features
    unpenalized    the same without it
    vector     the same as "mission", the weights in a vector of p in place of the sketch: what
               it would come to without collisions
    dense      plain SGD on all p weights, the k largest at the end
    greedy     iterative hard thresholding: after every step all but the k largest weights are 0

Standard deviations are those of a share among as many trials. The picture needs matplotlib.
"""

import argparse
import itertools
import json
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts, phase_transition_tables

from sklsh import MISSIONSelector

P, NOISE, EPOCHS, RATE = 1000, 0.1, 20, 2 / 1000
WIDTH, DEPTH = 256, 3
ROWS = (50, 100, 150, 200, 300, 400)


def draw(n, k, n_trials, seed):
    """Designs (n_trials, n, P), targets (n_trials, n) and supports (n_trials, k), ascending."""
    rng = np.random.default_rng([seed, n, k])
    X = rng.standard_normal((n_trials, n, P), dtype=np.float32)
    supports = np.stack([np.sort(rng.choice(P, k, replace=False)) for _ in range(n_trials)])
    weights = rng.uniform(0.8, 1.2, supports.shape) * rng.choice([-1, 1], supports.shape)
    true = np.take_along_axis(X, supports[:, None], axis=2)
    y = np.einsum("tnk,tk->tn", true, weights) + NOISE * rng.standard_normal((n_trials, n))
    return X, y.astype(np.float32), supports


def largest(weights, k):
    """Ids of the k largest weights of each row, ascending."""
    return np.sort(np.argpartition(-np.abs(weights), k - 1, axis=1)[:, :k], axis=1)


def descent(X, y, k, seed, model, forget=False):
    """Supports from SGD on p weights, of all trials at once.

    `model` tells which weights predict, "all" or the "largest" k; the gradient goes to all. With
    `forget`, all but the largest are 0 after every step.
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros((len(X), P), np.float32)
    for i in np.concatenate([rng.permutation(X.shape[1]) for _ in range(EPOCHS)]):
        x, used = X[:, i], weights
        if model == "largest":
            used = only_largest(weights, k)
        error = y[:, i] - np.einsum("tp,tp->t", used, x)
        weights = (used if forget else weights) + (np.float32(RATE) * error)[:, None] * x
    return largest(weights, k)


def only_largest(weights, k):
    """The weights, with 0 for all but the k largest of each row."""
    kept, ids = np.zeros_like(weights), largest(weights, k)
    np.put_along_axis(kept, ids, np.take_along_axis(weights, ids, axis=1), axis=1)
    return kept


def sketched(X, y, k, seed, **settings):
    """Supports from MISSIONSelector, trial by trial."""
    selector = MISSIONSelector(
        n_features_to_select=k, width=WIDTH, depth=DEPTH, loss="squared_error",
        learning_rate_init=RATE, learning_rate="constant", batch_size=1, max_iter=EPOCHS,
        random_state=seed, n_jobs=1, **settings,
    )  # fmt: skip
    return np.stack([selector.fit(*trial).feature_ids_ for trial in zip(X, y, strict=True)])


def penalized(X, y, k, seed):
    """The same with an l1 penalty for the active set."""
    alpha = NOISE * np.sqrt(2 * np.log(P) / X.shape[1])
    return sketched(X, y, k, seed, mode="active", alpha=alpha, l1_ratio=1.0)


SYSTEMS = {
    "mission": lambda *trials: sketched(*trials, mode="mission", alpha=0),
    "active": penalized,
    "unpenalized": lambda *trials: sketched(*trials, mode="active", alpha=0),
    "vector": lambda *trials: descent(*trials, model="largest"),
    "dense": lambda *trials: descent(*trials, model="all"),
    "greedy": lambda *trials: descent(*trials, model="largest", forget=True),
}


def run(args):
    """Rows of the result, as they come."""
    for k, n in itertools.product(args.sparsity, args.rows):
        X, y, supports = draw(n, k, args.trials, args.seed)
        for name in args.systems:
            found = SYSTEMS[name](X, y, k, args.seed)
            success = float((found == supports).all(axis=1).mean())
            deviation = np.sqrt(success * (1 - success) / args.trials)
            yield {
                "system": name, "k": k, "n": n, "success": round(success, 4),
                "deviation": round(float(deviation), 4),
            }  # fmt: skip


def draw_picture(results, path):
    """A panel for each k; the same file from the same results."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "phase transition"
    from matplotlib import pyplot as plt

    sparsities = list(dict.fromkeys(r["k"] for r in results))
    figure, panels = plt.subplots(
        1, len(sparsities), figsize=(3 * len(sparsities) + 1.5, 3), sharey=True, squeeze=False
    )
    for panel, k in zip(panels[0], sparsities, strict=True):
        for name in dict.fromkeys(r["system"] for r in results):
            curve = [r for r in results if (r["k"], r["system"]) == (k, name)]
            n, success, deviation = (
                [r[key] for r in curve] for key in ("n", "success", "deviation")
            )
            panel.errorbar(n, success, yerr=deviation, label=name, marker="o", markersize=3)
        panel.set(title=f"k = {k}", xlabel="rows", ylim=(-0.05, 1.05))
    panels[0][0].set_ylabel("support found exactly")
    panels[0][-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sparsity", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="an .svg or .png")
    args = parser.parse_args()
    results = []
    for result in run(args):
        results.append(result)
        print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
    setting = {
        "data": f"{P:,} Gaussian features, noise {NOISE}, {args.trials} trials",
        "setting": f"{EPOCHS} epochs, rate {RATE}, sketches of {DEPTH} x {WIDTH} cells",
        "results": results,
    }
    kept = facts() | setting
    print("\n".join(["", *phase_transition_tables(kept)]))
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n")
    if args.picture:
        draw_picture(results, args.picture)


if __name__ == "__main__":
    main()
