"""
K-mers that tell genomes apart
==============================

    python docs/examples/genomes.py GENOME.fna.gz GENOME.fna.gz ...

The genomes in the FASTA files named are cut into pieces of 200 bases, and the k-mers of the
pieces go through a :class:`sklsh.MISSIONHashSelector` in chunks. What it keeps are the few thousand
k-mers, by name, that tell best whose piece it is. Every fifth piece is kept for testing. A piece
that holds none of the k-mers selected can only be guessed.
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier

from sklsh import MISSIONHashSelector
from sklsh.datasets import iter_fasta_kmers

K, N_BASES, N_SELECTED, N_CHUNK = 8, 200, 2_000, 2_000


def chunks(paths):
    """Yield (rows, labels) with pieces of all genomes side by side."""
    readers = [
        iter_fasta_kmers(path, K, read_length=N_BASES, output="tokens", chunk_size=N_CHUNK)
        for path in paths
    ]
    while parts := [(i, rows) for i, reader in enumerate(readers) for rows in islice(reader, 1)]:
        yield (
            [row for _, rows in parts for row in rows],
            np.concatenate([np.full(len(rows), i) for i, rows in parts]),
        )


def main(paths):
    """Select, and test what the selected k-mers tell."""
    selector = MISSIONHashSelector(N_SELECTED, random_state=0)
    classes = np.arange(len(paths))
    for rows, labels in chunks(paths):
        is_test = np.arange(len(rows)) % 5 == 0
        train = [row for row, held_out in zip(rows, is_test, strict=True) if not held_out]
        selector.partial_fit(train, labels[~is_test], classes=classes)
    print(f"The model takes {selector.memory_usage_['total']:,} bytes.")

    refit, right, known, total = SGDClassifier(random_state=0), 0, 0, 0
    for rows, labels in chunks(paths):
        is_test = np.arange(len(rows)) % 5 == 0
        X = selector.transform(rows)
        refit.partial_fit(X[~is_test], labels[~is_test], classes=classes)
        right += np.sum(refit.predict(X[is_test]) == labels[is_test])
        known += np.count_nonzero(np.diff(X[is_test].indptr))
        total += is_test.sum()
    print(f"{known / total:.1%} of the test pieces hold a k-mer that was selected,")
    print(f"and {right / total:.1%} are told right.")

    names, weights = selector.get_feature_names_out(), selector.feature_weights_
    for i, path in enumerate(paths):
        best = np.argsort(-weights[:, i])[:5]
        print(f"{Path(path).name}: {', '.join(names[best])}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("Name two or more FASTA files, each a genome.")
    main(sys.argv[1:])
