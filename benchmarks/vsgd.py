"""What the rates are worth that vSGD-fd finds by itself, beside the best of a grid.

    python benchmarks/vsgd.py [--seeds N] [--data DIR] [--sets NAME ...] [--json FILE]

Noisy functions of d weights, as published: the sum over weights of c f(w + z), with z normal and
drawn for each sample, f a parabola or the absolute value, and c from 1/100 to 100 in 20
dimensions, 1 in one. Each begins at 1 and makes 1,000 steps of n samples. The excess of the
expected loss over the least one is told, the median over the seeds, for `VSGD`, and for plain
SGD and Adam at the best of the rates 10^-5, 10^-4.75, ... 10, the same for all seeds.

Linear models on real sets: breast cancer and digits of scikit-learn, and from --data those that
benchmarks/rows.py reads, and the words of 20 newsgroups. `KernelSampledSGD` makes uniform draws,
with the rates of ``learning_rate="vsgd"``, with SGD at the best of a grid of first rates that
fall to zero, chosen by the loss on the test rows themselves, with Adam at 0.001, and as it is by
default. Told are test error, test loss, and CPU microseconds of a step.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts
from row_tasks import Task, real_task, scaled
from scipy.special import erf
from selection_curves import jsonl
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklsh import KernelSampledSGD
from sklsh.optimizers import VSGD, Parameter

STEPS = 1000
CONDITION = 1e4
RATES = 10 ** np.arange(-5, 1.01, 0.25)
CASES = [(f, d, n) for f in ("parabola", "absolute") for d in (1, 20) for n in (1, 10)]
REAL_RATES = 0.01, 0.03, 0.1, 0.3, 1.0, 3.0
TEXT_RATES = 1.0, 3.0, 10.0, 30.0, 100.0, 300.0  # of rows of many small values
EPOCHS = {
    "breast cancer": 50, "digits": 50, "a9a": 5, "letter": 10, "magic04": 10, "mnist": 3,
    "20news": 10,
}  # fmt: skip
OF_SKLEARN = {"breast cancer": load_breast_cancer, "digits": load_digits}


# ---- noisy functions ----


def curvatures(d):
    """Factors of the d functions, (d, 1): equal steps of their logarithms."""
    ends = np.log10(CONDITION) / 2
    return np.logspace(-ends, ends, d)[:, None] if d > 1 else np.ones((1, 1))


def slopes(function, places):
    """Derivatives of the function, before the factor."""
    return places if function == "parabola" else np.sign(places)


def excess(function, weights):
    """Expected loss of each seed over the least one, for weights (d, ...)."""
    c = curvatures(len(weights)).reshape(-1, *[1] * (weights.ndim - 1))
    if function == "parabola":
        return (c * weights**2 / 2).sum(axis=0)
    height = np.sqrt(2 / np.pi)
    above = weights * erf(weights / np.sqrt(2)) + height * (np.exp(-(weights**2) / 2) - 1)
    return (c * above).sum(axis=0)


def noise(d, n, seeds):
    """Draws of each step, (n, d, seeds)."""
    random = np.random.RandomState(0)
    for _ in range(STEPS):
        yield random.standard_normal((n, d, seeds))


def by_vsgd(function, d, n, seeds):
    """Excess of each seed. Weights are features, seeds are outputs, and a sample is d rows."""
    rule, c = VSGD(), curvatures(d)
    weights = Parameter(np.ones((d, seeds), dtype=np.float32), rule)
    every = np.arange(n * d, dtype=np.int32)
    columns = every[:d], n * np.arange(d + 1, dtype=np.int32), every, np.ones(n * d, np.float32)

    def gradients(w, z):
        by_sample = c * slopes(function, w + z) / (n * d)
        return np.ascontiguousarray(by_sample.transpose(1, 0, 2), np.float32).reshape(n * d, -1)

    for z in noise(d, n, seeds):
        delta = gradients(weights.weights, z)
        rule.prepare(weights, columns, delta)
        further = gradients(weights.weights + weights.slots[0], z)
        rule.step(weights, columns, delta, further, caution=max(2, d / 10))
    return excess(function, weights.weights.astype(float))


def by_rates(function, d, n, seeds, adam=False):
    """Excess of each seed at each rate, (seeds, rates)."""
    w, c = np.ones((d, seeds, len(RATES))), curvatures(d)[:, :, None]
    first, second = np.zeros((2, *w.shape))
    for step, z in enumerate(noise(d, n, seeds), start=1):
        g = c * np.mean([slopes(function, w + sample[:, :, None]) for sample in z], axis=0)
        if adam:
            first += 0.1 * (g - first)
            second += 0.001 * (g**2 - second)
            root = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            g = first / (1 - 0.9**step) / root
        w -= RATES * g
    return excess(function, w)


def best_rate(of_rates):
    """(least median over the seeds, its rate)."""
    medians = np.nan_to_num(np.median(of_rates, axis=0), nan=np.inf)
    best = int(np.argmin(medians))
    return float(medians[best]), float(RATES[best])


def noisy_function(function, d, n, seeds):
    """What the three come to on one function."""
    with np.errstate(over="ignore", invalid="ignore"):  # large rates diverge
        sgd, sgd_rate = best_rate(by_rates(function, d, n, seeds))
        adam, adam_rate = best_rate(by_rates(function, d, n, seeds, adam=True))
    return {
        "function": function, "d": d, "n": n,
        "vsgd": float(np.median(by_vsgd(function, d, n, seeds))),
        "sgd": sgd, "sgd_rate": sgd_rate, "adam": adam, "adam_rate": adam_rate,
    }  # fmt: skip


# ---- real sets ----


def of_sklearn(name):
    """A set that comes with scikit-learn, scaled; a quarter of it, at random, is for testing."""
    X, y = OF_SKLEARN[name](return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    X, X_test = scaled(X, X_test)
    return Task(name, (X, y), (X_test, y_test))


def words(folder):
    """20 newsgroups by TF-IDF of their words; None where `folder` does not have it."""
    if not (folder / "20news").exists():
        return None
    halves = [jsonl(folder / "20news" / f"{half}.jsonl.gz") for half in ("train", "test")]
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32).fit(halves[0][0])
    return Task("20news", *((tfidf.transform(texts), y) for texts, y in halves))


def task_of(name, folder):
    """A set by its name; None where it is not to be had."""
    if name in OF_SKLEARN:
        return of_sklearn(name)
    if folder is None:
        return None
    return words(folder) if name == "20news" else real_task(name, folder)


def settings_of(method):
    """Parameters of the estimator for "vsgd", "default", "adam" or a rate of SGD."""
    if isinstance(method, str):
        return {
            "vsgd": {"learning_rate": "vsgd"}, "default": {},
            "adam": {"optimizer": "adam", "learning_rate_init": 0.001},
        }[method]  # fmt: skip
    return {"optimizer": "sgd", "learning_rate_init": method}


def real_runs(task, epochs, seeds):
    """For each seed the error, loss and cost of each method, of SGD at its best rate."""
    rates = TEXT_RATES if task.name == "20news" else REAL_RATES
    for seed in range(seeds):
        found = {m: fitted(task, m, epochs, seed) for m in ("vsgd", "default", "adam", *rates)}
        best = min(rates, key=lambda rate: found[rate]["loss"])
        named = {m: found[m] for m in ("vsgd", "default", "adam")}
        named["sgd"] = found[best] | {"rate": best}
        for method, result in named.items():
            yield {"task": task.name, "epochs": epochs, "method": method, "seed": seed} | result


def fitted(task, method, epochs, seed):
    """Test error and loss of a linear model, and what a step took."""
    model = KernelSampledSGD(
        (), sampler="uniform", max_iter=epochs, alpha=0, random_state=seed, **settings_of(method)
    )
    start = time.process_time()
    model.fit(*task.train)
    seconds = time.process_time() - start
    X, y = task.test
    return {
        "error": 1 - model.score(X, y),
        "loss": log_loss(y, model.predict_proba(X)),
        "us_per_step": 1e6 * seconds / model.t_,
    }


# ---- all ----


def rounded(result):
    """Four digits of each number."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in result.items()}


def told(results):
    """The results rounded, each printed as it comes."""
    for result in map(rounded, results):
        print("  ".join(f"{k} {v}" for k, v in result.items()), flush=True)
        yield result


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=101, help="of the noisy functions")
    parser.add_argument("--real-seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder of more real sets")
    parser.add_argument("--sets", nargs="*", choices=EPOCHS, default=[*EPOCHS])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    functions = list(told(noisy_function(*case, args.seeds) for case in CASES))
    real = []
    for name in args.sets:
        if task := task_of(name, args.data):
            real += told(real_runs(task, EPOCHS[name], args.real_seeds))
    if args.json:
        run = facts(data=[args.data]) | {"seeds": args.seeds, "functions": functions}
        args.json.write_text(json.dumps(run | {"real": real}, indent=1) + "\n")


if __name__ == "__main__":
    main()
