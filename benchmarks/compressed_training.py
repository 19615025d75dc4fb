"""Data-parallel trainings in one process, whose gradients travel under one scheme or another."""

from itertools import product
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax, softmax

from sklsh.distributed import SketchCompressor

BATCH, NONZEROS, TRAIN_ROWS, TEST_ROWS = 64, 32, 50_000, 5000
SETTINGS = (  # of SketchCompressor
    {"scheme": "dense"},
    {"scheme": "coo"},
    *({"scheme": scheme, "k": k} for scheme in ("topk", "auto") for k in (0.01, 0.03, 0.1)),
    *({"scheme": "s2", "width": width} for width in (256, 1024, 4096)),
    *({"scheme": "fetch", "width": w, "k": k} for w, k in ((256, 64), (1024, 256), (4096, 256))),
)


class Problem(NamedTuple):
    """A model of one matrix whose rows belong to features: logits = X @ weights @ output."""

    name: str
    shape: tuple  # of the weights
    output: np.ndarray
    train: tuple
    test: tuple
    rates: tuple

    def gradient(self, weights, batch):
        """Mean of the batch's gradients: rows, and their values."""
        X, y = self.train[0][batch], self.train[1][batch]
        rows, places = np.unique(X.indices, return_inverse=True)
        X = sp.csr_array((X.data, places, X.indptr), shape=(len(batch), len(rows)))
        delta = softmax(X @ weights[rows] @ self.output, axis=1)
        delta[np.arange(len(batch)), y] -= 1
        values = X.T @ (delta @ self.output.T) / len(batch)
        return rows.astype(np.int32), values.astype(np.float32)

    def judged(self, weights):
        """Mean loss and accuracy of the test rows."""
        X, y = self.test
        scores = log_softmax(X @ weights @ self.output, axis=1)
        loss = -scores[np.arange(len(y)), y].mean()
        return float(loss), float(np.mean(scores.argmax(axis=1) == y))


def logistic(seed):
    """Two classes by a linear teacher; gradients are vectors."""
    rng = np.random.default_rng(seed)
    n_features = 131_072
    X = documents(rng, n_features)
    teacher = rng.normal(size=n_features).astype(np.float32)
    y = (X @ teacher + 0.3 * rng.normal(size=X.shape[0]) > 0).astype(int)
    output = np.array([[-0.5, 0.5]], dtype=np.float32)  # softmax of these is the logistic loss
    return problem("logistic regression", X, y, (n_features, 1), output, (60, 120, 240))


def embedding(seed):
    """Sixteen topics by the words of a document; gradients are rows of 32."""
    rng = np.random.default_rng(seed)
    n_features, width, n_topics = 16_384, 32, 16
    X = documents(rng, n_features)
    topics = rng.normal(size=(n_features, n_topics)).astype(np.float32)
    y = (X @ topics + 0.3 * rng.normal(size=(X.shape[0], n_topics))).argmax(axis=1)
    output = rng.normal(size=(width, n_topics)).astype(np.float32) / np.sqrt(width)
    return problem("embedding", X, y, (n_features, width), output, (40, 80, 160, 320))


def documents(rng, n_features):
    """Rows of unit norm whose features come as words do, by Zipf's law."""
    n = TRAIN_ROWS + TEST_ROWS
    features = np.exp(rng.uniform(0, np.log(n_features), size=(n, NONZEROS))).astype(np.int32) - 1
    features = rng.permutation(n_features).astype(np.int32)[features]
    indptr = np.arange(0, features.size + 1, NONZEROS)
    data = np.full(features.size, NONZEROS**-0.5, dtype=np.float32)
    X = sp.csr_array((data, features.ravel(), indptr), shape=(n, n_features))
    X.sum_duplicates()
    return X


def problem(name, X, y, shape, output, rates):
    """The rows in two parts."""
    n = TRAIN_ROWS
    return Problem(name, shape, output, (X[:n], y[:n]), (X[n:], y[n:]), rates)


PROBLEMS = logistic, embedding


def train(problem, parameters, n_workers, rate, n_steps, seed):
    """SGD by the mean of the workers' gradients; loss, accuracy, bytes a process sends a step."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(problem.shape, dtype=np.float32)
    compressors = [SketchCompressor(**parameters) for _ in range(n_workers)]
    for step in range(n_steps):
        batches = rng.integers(TRAIN_ROWS, size=(n_workers, BATCH))
        gradients = [problem.gradient(weights, batch) for batch in batches]
        rows, total = SketchCompressor.simulate(compressors, gradients, problem.shape[0])
        weights[rows] -= rate * (1 - step / n_steps) / n_workers * total
    with np.errstate(over="ignore", invalid="ignore"):  # of what has diverged
        loss, accuracy = problem.judged(weights)
    n_bytes = np.mean([compressor.bytes_sent_ for compressor in compressors]) / n_steps
    return {"loss": loss, "accuracy": accuracy, "bytes": float(n_bytes),
            "form": compressors[0].forms_["gradient"]}  # fmt: skip


def best_rate(problem, n_workers, n_steps):
    """Of the grid, for gradients that are summed exactly."""
    losses = [
        train(problem, {"scheme": "coo"}, n_workers, rate, n_steps, 0)["loss"]
        for rate in problem.rates
    ]
    return problem.rates[int(np.nanargmin(losses))]


def runs(args):
    """All settings by number of workers; a run of each problem, which each seed makes longer."""
    results, rates = {make: [] for make in PROBLEMS}, {}
    for seed, make in product(range(args.seeds), PROBLEMS):
        problem = make(seed)
        for n in args.workers:
            if (make, n) not in rates:
                rates[make, n] = best_rate(problem, n, args.steps)
            for setting in SETTINGS:
                figures = train(problem, setting, n, rates[make, n], args.steps, seed)
                result = named(setting, n, seed) | rounded(figures)
                results[make].append(result)
                print("  ".join(f"{k} {v}" for k, v in result.items()), flush=True)
        yield {
            "data": f"{problem.name}, a gradient of {problem.shape[0]:,} rows of width "
            f"{problem.shape[1]}, features by Zipf's law",
            "setting": f"{BATCH} rows of {NONZEROS} features a worker and step, {args.steps} steps "
            "of SGD, whose rate falls to 0 from that which is best for exact sums in seed 0: "
            + ", ".join(f"{rates[make, n]} for {n} workers" for n in args.workers),
            "results": results[make],
        }


def named(setting, n_workers, seed):
    """What tells a result from others."""
    numbers = ", ".join(f"{key}={value}" for key, value in setting.items() if key != "scheme")
    method = setting["scheme"] + (f", {numbers}" if numbers else "")
    return {"method": method, "scheme": setting["scheme"], "workers": n_workers, "seed": seed}


def rounded(figures):
    """Four digits of each number."""
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in figures.items()}
