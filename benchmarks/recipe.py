"""What each default of SLIDEClassifier is worth on extreme multi-label data.

    python benchmarks/recipe.py --data DIR [DIR ...] [--variants NAME ...] [--seeds 2]
        [--json FILE]

The data are those of benchmarks/xmc.py; only their training halves are read. A fifth of the
rows, at most 10,000, is held out, and the classifier is trained on the others: as it comes, with
other hidden dropout, and without that with one more setting changed at a time. So defaults can
be chosen, and questioned, without a look at test rows.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from results import facts, recipe_tables
from xmc import read, scaled

from sklsh import SLIDEClassifier
from sklsh.metrics import jain_propensities, precision_at_k, psp_at_k

DROPOUT = {
    "defaults": {},
    "hidden dropout .3": {"hidden_dropout": 0.3},
    "no hidden dropout": {"hidden_dropout": 0},
}
CHANGES = {
    "256 units": {"hidden_layer_sizes": 256},
    "rate .01": {"learning_rate_init": 0.01},
    "rate .0025": {"learning_rate_init": 0.0025},
    "no word dropout": {"input_dropout": 0},
    "softmax throughout": {"loss": "softmax"},
    "logistic from the start": {"loss": "logistic"},
    'correction="logq"': {"correction": "logq"},
    'correction="none"': {"correction": "none"},
    'negatives="uniform"': {"negatives": "uniform"},
    "row-wise Adam": {"optimizer": "rowwise_adam"},
    "float32 products": {"product_dtype": "float32"},
}
VARIANTS = DROPOUT | {
    f"no hidden dropout, {name}": DROPOUT["no hidden dropout"] | change
    for name, change in CHANGES.items()
}
K = (1, 3, 5)
MOST_HELD_OUT = 10_000


def split(folder):
    """(X, Y) to train on and (X, Y) held out, of the training half alone."""
    X, _, Y, _ = read(folder)
    order = np.random.default_rng(0).permutation(X.shape[0])
    n = min(X.shape[0] // 5, MOST_HELD_OUT)
    held_out, rows = np.sort(order[:n]), np.sort(order[n:])
    X, X_held_out = scaled(X[rows], X[held_out])
    return (X, Y[rows]), (X_held_out, Y[held_out])


def measure(settings, train, held_out, seed):
    """P and PSP on the held-out rows in percent, and CPU seconds of training."""
    start = time.process_time()
    model = SLIDEClassifier(random_state=seed, n_jobs=1, **settings).fit(*train)
    result = {"fit_cpu_s": time.process_time() - start}
    labels = model.predict_top_k(held_out[0], max(K))[0]
    propensities = jain_propensities(train[1])
    for k in K:
        result[f"P@{k}"] = 100 * precision_at_k(held_out[1], labels, k=k)
        found = psp_at_k(held_out[1], labels, k=k, propensities=propensities)
        result[f"PSP@{k}"] = 100 * found
    return {key: float(f"{value:.4g}") for key, value in result.items()}


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    run = facts(args.data) | {"results": []}
    for folder in args.data:
        train, held_out = split(folder.resolve())
        for name in args.variants:
            for seed in range(args.seeds):
                result = measure(VARIANTS[name], train, held_out, seed)
                result = {"data": folder.name, "variant": name, "seed": seed} | result
                run["results"].append(result)
                print(f"{folder.name}, {name}, seed {seed}: P@1 {result['P@1']:.1f}", flush=True)
            if args.json:
                args.json.write_text(json.dumps(run, indent=1) + "\n")
    print("\n".join(["", *recipe_tables(run)]))


if __name__ == "__main__":
    main()
