"""Missing facts of a knowledge graph: the tails of (head, relation).

    python benchmarks/link_prediction.py --triples FILE.npz [--epochs 10] [--seeds 3] [--json FILE]

FILE.npz holds the arrays "train", "valid" and "test" of (head, relation, tail), as numbers.
A row is a pair of head and relation: the one-hot head, the one-hot relation, and the entities
that the head has an edge with in the training triples, other than the row's own tails. Its
labels are all tails of the pair. LSHSoftmaxClassifier learns the distribution of tails.

Measured on the test pairs: P@1, of the tails that the test triples add or repeat; and, over the
test triples, the mean reciprocal rank and hits at 10 of the tail, filtered: other tails that are
known from any of the three parts are taken out before it is ranked.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from results import facts

from sklsh import LSHSoftmaxClassifier
from sklsh.metrics import precision_at_k

BLOCK = 1024  # pairs whose tails are ranked at once


class Graph:
    """Triples as rows to learn from.

    Parameters
    ----------
    parts : dict of ndarray of shape (n, 3)
        The triples.
    """

    def __init__(self, parts):
        self.parts = parts
        heads, relations, tails = (max(p[:, i].max() for p in parts.values()) for i in range(3))
        self.n_entities, self.n_relations = 1 + max(heads, tails), 1 + relations
        head, _, tail = parts["train"].T
        ends = np.concatenate([head, tail]), np.concatenate([tail, head])
        size = self.n_entities
        self._neighbors = sp.csr_array((np.ones(len(ends[0])), ends), shape=(size, size))
        self._neighbors.data[:] = 1

    def rows(self, part):
        """X, Y of the distinct pairs of a part, and the number of each triple's pair."""
        head, relation, tail = self.parts[part].T.astype(np.int64)
        pairs, at = np.unique(head * self.n_relations + relation, return_inverse=True)
        head, relation = pairs // self.n_relations, pairs % self.n_relations
        n, ones = len(pairs), np.ones(len(pairs))
        Y = sp.csr_array((np.ones(len(at)), (at, tail)), shape=(n, self.n_entities))
        Y.data[:] = 1
        neighbors = self._neighbors[head]
        if part == "train":  # or a row would be told its labels
            neighbors = neighbors - neighbors.multiply(Y)
        one_hot = [
            sp.csr_array((ones, (np.arange(n), ids)), shape=(n, size))
            for ids, size in [(head, self.n_entities), (relation, self.n_relations)]
        ]
        X = sp.hstack([*one_hot, neighbors], format="csr", dtype=np.float32)
        X.eliminate_zeros()
        return X, Y.astype(np.uint8), at

    def known_tails(self):
        """Tails of each pair (head, relation) in all parts, as CSR over pairs."""
        head, relation, tail = np.concatenate(list(self.parts.values())).T.astype(np.int64)
        shape = self.n_entities * self.n_relations, self.n_entities
        pair = head * self.n_relations + relation
        return sp.csr_array((np.ones(len(tail), dtype=bool), (pair, tail)), shape=shape)


def filtered_ranks(model, graph):
    """Rank of the tail of each test triple among all entities not known to be tails too."""
    X, _, at = graph.rows("test")
    head, relation, tail = graph.parts["test"].T.astype(np.int64)
    known = graph.known_tails()
    pair_of_row = np.empty(X.shape[0], dtype=np.int64)
    pair_of_row[at] = head * graph.n_relations + relation
    ranks = np.empty(len(tail))
    for first in range(0, X.shape[0], BLOCK):
        rows = np.arange(first, min(first + BLOCK, X.shape[0]))
        logits = model.decision_function(X[rows])
        others = known[pair_of_row[rows]].toarray()
        triples = np.flatnonzero((at >= first) & (at < first + BLOCK))
        own = logits[at[triples] - first, tail[triples]]
        logits[others] = -np.inf
        ranks[triples] = 1 + (logits[at[triples] - first] > own[:, None]).sum(axis=1)
    return ranks


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--triples", type=Path, required=True, metavar="FILE")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", type=json.loads, default={}, help="others, as JSON")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with np.load(args.triples) as file:
        graph = Graph({name: file[name] for name in ("train", "valid", "test")})
    X, Y, _ = graph.rows("train")
    X_test, Y_test, _ = graph.rows("test")
    results = []
    for seed in range(args.seeds):
        model = LSHSoftmaxClassifier(
            (args.hidden,), max_iter=args.epochs, random_state=seed, **args.settings
        )
        begin = time.process_time()
        model.fit(X, Y)
        result = {"seed": seed, "cpu_s": round(time.process_time() - begin, 1)}
        ranks = filtered_ranks(model, graph)
        result["P@1"] = 100 * precision_at_k(Y_test, model.predict_top_k(X_test, 1)[0])
        result["MRR"], result["hits@10"] = np.mean(1 / ranks), np.mean(ranks <= 10)
        result = {k: float(f"{v:.4g}") for k, v in result.items()}
        print(result, flush=True)
        results.append(result)
    if args.json:
        setting = {
            "data": f"{X.shape[0]:,} pairs, {graph.n_entities:,} entities",
            "setting": f"hidden {args.hidden}, {args.epochs} epochs, settings {args.settings}",
        }
        kept = facts(data=[args.triples]) | setting | {"results": results}
        args.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
