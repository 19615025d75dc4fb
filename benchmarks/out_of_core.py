"""Train SLIDEClassifier from a file that never is in memory as a whole.

    python benchmarks/out_of_core.py [--gigabytes 1] [--json FILE]

Another process writes synthetic rows to a text file of that size in a temporary folder, in
chunks. It is then read twice with iter_xmc_file: alone, and for partial_fit. Printed: the
size of the file, reading speed, training rows per second, P@1 on 1,000 rows held out of the
first chunk, the bytes of the model as memory_usage_ has them, and how far the peak of
resident memory rose above what imports took: by reading alone, and by training with the
model's bytes taken off, which is too little by what training never touched of the model.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts

from sklsh import SLIDEClassifier
from sklsh.datasets import iter_xmc_file, save_xmc_file
from sklsh.datasets._synthetic import Topics
from sklsh.metrics import precision_at_k

HELD_OUT = 1000


def write(path, n_bytes, n_features, n_classes):
    """Write about `n_bytes` of rows; runs in a process of its own."""
    topics = Topics(
        n_features, n_classes, n_labels=5, length=75, noise=0.5, label_exponent=0.9,
        topic_size=32, topic_share=0.6, rng=np.random.default_rng(0),
    )  # fmt: skip
    size_of_chunk, sample = 10_000, BytesIO()
    save_xmc_file(sample, *topics.draw(size_of_chunk))
    n_chunks = max(1, round(n_bytes / sample.tell()))
    with open(path, "wb") as file:
        for i in range(n_chunks):
            X, Y = topics.draw(size_of_chunk)
            n_samples = n_chunks * size_of_chunk if i == 0 else None
            save_xmc_file(file, X, Y, header=i == 0, n_samples=n_samples)


def peak_bytes():
    """The most memory this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read(path, chunk_size):
    """CPU seconds of reading alone, and the number of rows."""
    start = time.process_time()
    n_rows = sum(X.shape[0] for X, _ in iter_xmc_file(path, chunk_size=chunk_size))
    return time.process_time() - start, n_rows


def train(path, args):
    """A model trained on the file, CPU seconds of that, and its P@1."""
    model = SLIDEClassifier(
        args.hidden, batch_size=256, learning_rate_init=args.rate, hidden_dropout=0,
        random_state=0,
    )  # fmt: skip
    held_out = None
    start = time.process_time()
    for X, Y in iter_xmc_file(path, chunk_size=args.chunk_size):
        if held_out is None:
            held_out = X[:HELD_OUT], Y[:HELD_OUT]
            X, Y = X[HELD_OUT:], Y[HELD_OUT:]
        model.partial_fit(X, Y)
    seconds = time.process_time() - start
    labels, _ = model.predict_top_k(held_out[0], 1)
    return model, seconds, precision_at_k(held_out[1], labels)


def main():
    """Run, print, and keep the results."""
    imported = peak_bytes()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--features", type=int, default=135_909)
    parser.add_argument("--classes", type=int, default=131_072)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--chunk-size", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.txt")
        sizes = (path, args.gigabytes * 1e9, args.features, args.classes)
        writer = multiprocessing.get_context("spawn").Process(target=write, args=sizes)
        writer.start()
        writer.join()
        if writer.exitcode != 0:
            sys.exit("The file could not be written.")
        n_bytes = path.stat().st_size
        reading, n_rows = read(path, args.chunk_size)
        after_reading = peak_bytes()
        model, training, precision = train(path, args)
    model_bytes = model.memory_usage_["total"]
    results = {
        "file_bytes": n_bytes,
        "rows": n_rows,
        "reading_mb_per_cpu_s": round(n_bytes / reading / 1e6, 1),
        "training_rows_per_cpu_s": round(n_rows / training),
        "P@1": round(precision, 4),
        "model_bytes": model_bytes,
        "imports_peak_bytes": imported,
        "reading_bytes_above_imports": after_reading - imported,
        "training_bytes_above_imports_and_model": peak_bytes() - imported - model_bytes,
    }
    for name, value in results.items():
        print(f"{name}: {value:,}")
    if args.json:
        setting = {
            "data": f"{n_rows:,} rows, {args.features:,} features, {args.classes:,} labels",
            "setting": f"hidden {args.hidden}, batch 256, rate {args.rate}, chunks of "
            f"{args.chunk_size:,} rows, one thread",
        }
        args.json.write_text(json.dumps(facts() | setting | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
