"""Time a training row of a wide network costs, beside PyTorch's sampled softmax.

    python benchmarks/width.py [--rows N] [--features N] [--classes N] [--json FILE]

The data are those of make_xmc_classification. Both sides train one epoch of the same network
with the same batches, learning rate, uniform negatives and loss, turn by turn in stretches
of batches, one thread each on one core; sklsh runs with retrieved negatives as well.
Printed: CPU and wall microseconds per row (median over the stretches), their ratio to
PyTorch's, and P@1 on the test rows after the epoch.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from results import facts

from sklsh._batches import as_batch
from sklsh._network import Network
from sklsh.datasets import make_xmc_classification
from sklsh.metrics import precision_at_k
from sklsh.negatives import LSH, Uniform
from sklsh.optimizers import Adam


class TorchSampledSoftmax:
    """Embedding sum, ReLU, and a softmax over the batch's labels and shared negatives."""

    name = "PyTorch, uniform"

    def __init__(self, n_features, n_classes, args):
        torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        self.random = np.random.default_rng(args.seed)
        self.n_classes, self.n_active = n_classes, args.negatives
        self.embedding = torch.nn.EmbeddingBag(n_features, args.hidden, mode="sum", sparse=True)
        self.output = torch.nn.Embedding(n_classes, args.hidden, sparse=True)
        self.output_bias = torch.nn.Embedding(n_classes, 1, sparse=True)
        self.hidden_bias = torch.nn.Parameter(torch.zeros(args.hidden))
        torch.nn.init.normal_(self.embedding.weight, std=0.05)
        for layer in (self.output, self.output_bias):
            torch.nn.init.zeros_(layer.weight)
        sparse = [self.embedding.weight, self.output.weight, self.output_bias.weight]
        self.optimizers = [torch.optim.SparseAdam(sparse), torch.optim.Adam([self.hidden_bias])]

    def hidden(self, X):
        """Activations of the hidden layer."""
        indices = torch.from_numpy(X.indices.astype(np.int64))
        offsets = torch.from_numpy(X.indptr[:-1].astype(np.int64))
        values = torch.from_numpy(X.data)
        summed = self.embedding(indices, offsets, per_sample_weights=values)
        return torch.relu(summed + self.hidden_bias)

    def step(self, X, Y, rate):
        """One step on a batch."""
        labels, positions = np.unique(Y.indices, return_inverse=True)
        drawn = self.random.integers(0, self.n_classes, self.n_active)
        ids = np.concatenate([labels, np.setdiff1d(drawn, labels)])
        candidates = torch.from_numpy(ids.astype(np.int64))
        logits = self.hidden(X) @ self.output(candidates).T + self.output_bias(candidates).T
        rows = torch.from_numpy(np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr)))
        chosen = torch.log_softmax(logits, 1)[rows, torch.from_numpy(positions.ravel())]
        loss = -chosen.sum() / Y.shape[0]
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()

    def top_1(self, X):
        """Best class of each row."""
        with torch.no_grad():
            blocks = [self.hidden(X[i : i + 256]) for i in range(0, X.shape[0], 256)]
            weights, bias = self.output.weight, self.output_bias.weight[:, 0]
            return np.concatenate([(h @ weights.T + bias).argmax(1).numpy() for h in blocks])


class Sklsh:
    """The network of SLIDEClassifier, stepped by hand."""

    def __init__(self, n_features, n_classes, args, negatives):
        self.name = f"sklsh, {negatives}"
        self.network = Network(
            n_features, n_classes, (args.hidden,), optimizer=Adam(),
            random_state=np.random.RandomState(args.seed),
        )  # fmt: skip
        drawn = {"n_active": args.negatives, "seed": args.seed}
        if negatives == "uniform":
            self.negatives = Uniform(n_classes, "none", **drawn)
        else:
            self.negatives = LSH(
                n_classes, "none", **drawn, width=args.hidden, hash_family="simhash", n_bits="auto",
                n_tables=8, bucket_size=6, rehash_every=50, rehash_growth=1.1,
            )  # fmt: skip

    def step(self, X, Y, rate):
        """One step on a batch."""
        weight = np.full(X.shape[0], 1 / X.shape[0], dtype=np.float32)
        self.network.train_step(X, Y, weight, self.negatives, rate)

    def top_1(self, X):
        """Best class of each row."""
        return self.network.top_k(as_batch(X), 1)[0][:, 0]


def run_epoch(systems, X, Y, args):
    """Train all systems turn by turn; returns seconds per row of each stretch."""
    order = np.random.default_rng(args.seed).permutation(X.shape[0])
    batches = [order[i : i + args.batch] for i in range(0, len(order), args.batch)]
    seconds = {system.name: [] for system in systems}
    for first in range(0, len(batches), args.stretch):
        part = batches[first : first + args.stretch]
        n_rows = sum(map(len, part))
        for system in systems:
            cpu, wall = time.process_time(), time.perf_counter()
            for i, rows in enumerate(part, first):
                rate = args.rate * (1 - i / len(batches))
                system.step(X[rows], Y[rows], rate)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            seconds[system.name].append((cpu / n_rows, wall / n_rows))
    return {name: np.median(values, axis=0) * 1e6 for name, values in seconds.items()}


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--classes", type=int, default=131_072)
    parser.add_argument("--noise", type=float, default=0.65, help="share of a row's features")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--stretch", type=int, default=20, help="batches of one turn")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    X, Y = make_xmc_classification(
        args.rows + args.test_rows, args.features, args.classes, noise=args.noise,
        random_state=args.data_seed,
    )  # fmt: skip
    X, X_test = X[: args.rows], X[args.rows :]
    Y, Y_test = Y[: args.rows], Y[args.rows :]
    results = []
    for seed in range(args.seeds):
        args.seed = seed
        sizes = (X.shape[1], Y.shape[1], args)
        systems = [
            TorchSampledSoftmax(*sizes), Sklsh(*sizes, "uniform"), Sklsh(*sizes, "lsh")
        ]  # fmt: skip
        times = run_epoch(systems, X, Y, args)
        torch_cpu = times[systems[0].name][0]
        for system in systems:
            cpu, wall = times[system.name]
            p1 = precision_at_k(Y_test, system.top_1(X_test)[:, None])
            results.append(
                {"seed": args.seed, "system": system.name, "cpu_us_per_row": round(cpu, 1),
                 "wall_us_per_row": round(wall, 1), "torch_over_this": round(torch_cpu / cpu, 2),
                 "P@1": round(p1, 4)}
            )  # fmt: skip
            print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)
    if args.json:
        setting = {
            "data": f"{X.shape[0]:,} rows, {X.shape[1]:,} features, {Y.shape[1]:,} labels, "
            f"{args.noise:.0%} noise",
            "setting": f"hidden {args.hidden}, batch {args.batch}, {args.negatives} negatives, "
            f"rate {args.rate} falling to 0, one epoch, one thread, torch {torch.__version__}",
        }
        kept = facts() | setting | {"results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
