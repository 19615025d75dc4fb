"""Where accuracy comes from: how often a label occurs, and how many rows there are to learn from.

    python benchmarks/tail.py --data DIR [DIR ...] [--systems NAME ...] [--shares 0.25 0.5 1]
        [--epochs N] [--seed 0] [--rivals-python PYTHON] [--json FILE]

The data and the systems are those of benchmarks/xmc.py, each run a process of its own on one
thread. Every system is trained on each share of the training rows, drawn without order; labels
that lose all their rows are no longer to be found, so the curve includes what fewer rows hide.
For the largest share, P@k and PSP@k are split by how many training rows the label has that was
found: the parts add up to the whole. Beside them stands the part of the test labels that are so
frequent, and how many of these are among the five best ("recall").
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from results import facts, tail_tables
from systems import SYSTEMS
from xmc import K, makes_sense, predicted, prepare, scores

LEAST = (0, 5, 20, 100)  # training rows of a label, from which on it stands in the next part
USUAL = ("sklsh", "omikuji", "omikuji-bonsai", "pecos", "napkinxc-plt")


def parts(data, labels):
    """What labels of each frequency contribute to P@k and PSP@k, in percent."""
    whole = scores(data, labels)
    labels = data.placed(labels)
    hit = is_true(data.Y_test, labels)
    gains = {"P": hit.astype(float), "PSP": hit / data.propensities[labels]}
    split = []
    for least, most in zip(LEAST, (*LEAST[1:], np.inf), strict=True):
        inside, true = (
            (frequency >= least) & (frequency < most)
            for frequency in (data.frequency[labels], data.frequency[data.Y_test.indices])
        )
        part = {"of test labels": 100 * true.mean()}
        part["recall"] = 100 * (hit & inside).sum() / max(true.sum(), 1)
        for metric, gain in gains.items():
            for k in (1, 3, 5):
                share = (gain * inside)[:, :k].sum() / max(gain[:, :k].sum(), 1e-12)
                part[f"{metric}@{k}"] = whole[f"{metric}@{k}"] * share
        rows = f"{least} to {most - 1}" if most < np.inf else f"{least} or more"
        split.append({"rows of a label": rows} | rounded(part))
    return split


def is_true(Y, labels):
    """Whether each of the predicted labels is one of its row's."""
    rows = np.repeat(np.arange(len(labels)), labels.shape[1])
    return np.asarray(Y[rows, labels.ravel()]).reshape(labels.shape) > 0


def rounded(figures):
    """Four digits of each."""
    return {key: float(f"{value:.4g}") for key, value in figures.items()}


def curve(folder, names, args, scratch):
    """A result for each system and share of one data set's training rows."""
    for share in sorted(args.shares):
        data = prepare(folder, Path(scratch, str(share)), share)
        for name in names:
            if not makes_sense(name, data):
                continue
            epochs = args.epochs if SYSTEMS[name].epochs else None
            wanted = {"data": data.name, "system": name, "epochs": epochs, "seed": args.seed}
            answer = predicted(wanted, data, args.rivals_python, scratch)
            if answer is None:
                continue
            labels, _ = answer
            result = wanted | {"title": SYSTEMS[name].title, "n_rows": data.size["n_rows"]}
            result |= rounded(scores(data, labels))
            if share == max(args.shares):
                result["parts"] = parts(data, labels)
            print(f"{data.name}, {result['n_rows']:,} rows, {result['title']}:", end=" ")
            print(f"P@1 {result['P@1']:.1f}, PSP@{K} {result[f'PSP@{K}']:.1f}", flush=True)
            yield result


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=USUAL)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--epochs", type=int, help="of the networks, if not their usual ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rivals-python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    run = facts(args.data) | {"results": []}
    for folder in args.data:
        with tempfile.TemporaryDirectory() as scratch:
            run["results"] += curve(folder.resolve(), args.systems, args, scratch)
    print("\n".join(["", *tail_tables(run)]))
    if args.json:
        args.json.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()
