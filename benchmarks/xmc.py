"""Accuracy and cost of SLIDEClassifier on extreme multi-label data.

    python benchmarks/xmc.py --data DIR [DIR ...] [--seeds 3] [--json FILE]

Each DIR holds X_train.npz, Y_train.npz, X_test.npz and Y_test.npz as scipy.sparse.save_npz
writes them: word counts or binary features, and 0/1 labels. Features become TF-IDF
(sublinear, unit length) fitted on the training half. Printed for the default settings, for
uniform negatives and for the exact network (active_set="full"), means over the seeds with
the spread of P@1: P@1, P@3, P@5 in percent on the test half, the share of classes a step
looks at, CPU seconds of fit, CPU milliseconds of a row's exact top 5.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from results import facts
from sklearn.feature_extraction.text import TfidfTransformer

from sklsh import SLIDEClassifier
from sklsh.metrics import precision_at_k

VARIANTS = {
    "defaults": {},
    'negatives="uniform"': {"negatives": "uniform"},
    'active_set="full"': {"active_set": "full"},
}


def load(folder):
    """TF-IDF features and labels of both halves."""
    X, X_test, Y, Y_test = (
        sp.csr_array(sp.load_npz(folder / f"{name}.npz"))
        for name in ("X_train", "X_test", "Y_train", "Y_test")
    )
    tfidf = TfidfTransformer(sublinear_tf=True).fit(X.astype(np.float32))
    return *(tfidf.transform(x.astype(np.float32)) for x in (X, X_test)), Y, Y_test


def run(X, X_test, Y, Y_test, seed, settings):
    """One fit and its scores."""
    start = time.process_time()
    model = SLIDEClassifier(random_state=seed, **settings).fit(X, Y)
    fitted = time.process_time()
    labels, _ = model.predict_top_k(X_test, 5)
    predicted = time.process_time()
    scores = {f"P@{k}": 100 * precision_at_k(Y_test, labels, k=k) for k in (1, 3, 5)}
    return scores | {
        "share": model.n_active_ / Y.shape[1],
        "fit_cpu_s": fitted - start,
        "predict_cpu_ms": 1000 * (predicted - fitted) / X_test.shape[0],
    }


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    for folder in args.data:
        data = load(folder)
        for name, settings in VARIANTS.items():
            runs = [run(*data, seed, settings) for seed in range(args.seeds)]
            means = {key: float(np.mean([r[key] for r in runs])) for key in runs[0]}
            spread = float(np.ptp([r["P@1"] for r in runs]))
            row = {"data": folder.name, "variant": name, **means, "P@1_spread": spread}
            results.append({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
            print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)
            if means["share"] == 1:  # few classes: the defaults are exact
                break
    if args.json:
        args.json.write_text(json.dumps(facts(args.data) | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
