"""What it is worth to choose the rows to train on: test loss and error along CPU time.

    python benchmarks/rows.py [--tasks hard stream parts flipped imbalance real] [--data DIR]
        [--seeds N] [--json FILE]

The samplers of KernelSampledSGD, and PyTorch on uniform draws, train the same network from the
same kind of initial weights. All trainings of a seed take turns in one process, on one core.

"hard", "flipped", "imbalance": two epochs at a constant rate on generated rows, a twentieth of
which lie in a region that takes long to learn; with labels of which a twentieth is flipped; and
with a class of 2 %. "stream": one pass over chunks of rows never seen before, by `partial_fit`,
at the best of a few constant rates for each method. "parts": where the time of the default
sampler goes.

"real": letter, mnist, magic04 and a9a, as far as DIR holds them, a linear model and a network,
at a rate that falls to 0. For each sampler, model and number of epochs the rate is chosen from
a few by the error on a fifth of the training rows. Uniform draws are also fitted for more
epochs, so that each sampler is compared with what they come to in the same CPU time.
"""

import argparse
import itertools
import json
import math
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from results import facts
from row_parts import parts_of_steps
from row_tasks import REAL, Task, hard_region_task, imbalance_task, real_task
from row_trainings import METHODS, PYTORCH, PyTorchTraining, Training, judged, take_turns

CHUNK = 10_000
NETWORK = 256, 256
RATE = 0.02  # on generated rows
STREAM_RATES = 0.01, 0.02, 0.05  # of which each method takes its best
TUNING_ROWS = 200_000  # of the stream, by which it does
EVALUATE_EVERY = 78  # steps
EVALUATE_STREAM_EVERY = -(-CHUNK // 64)
TURN = 50  # steps, where there is nothing to evaluate
BUDGETS = {"letter": (3, 10)}  # epochs of uniform draws, in whose time all compare
FEW = (3,)  # of all others
RATES = {  # of networks; the best is seldom at an end
    "a9a": (0.01, 0.03, 0.1), "letter": (0.1, 0.2, 0.4), "magic04": (0.02, 0.05, 0.1),
    "mnist": (0.1, 0.2, 0.4),
}  # fmt: skip
LINEAR_RATES = 0.02, 0.1, 0.4
HALF = "kernel, half the draws"  # where no row comes twice
STREAM = "uniform", "kernel", HALF, "kernel, power .5", "stale"
USUAL = list(METHODS)[:7]
MODELS = {"linear": (), "network": NETWORK}


def curve_runs(task, methods, args, *, rates, every=EVALUATE_EVERY, chunk=None, **settings):
    """Each method at its rate, judged after every so many steps."""
    methods, results = [*methods, PYTORCH] if args.pytorch else methods, []
    for seed in range(args.seeds):
        trainings = [
            training_of(
                method, task, NETWORK, chunk=chunk, seed=seed, rate=rates[method], **settings
            )
            for method in methods
        ]
        results += told(take_turns(trainings, every, along=True), task)
    return results


def two_epochs(make_task, args):
    """Fits on generated rows."""
    rates = dict.fromkeys([*args.methods, PYTORCH], RATE)
    settings = {"rates": rates, "schedule": "constant", "epochs": 2}
    yield curve_runs(make_task(args.rows), args.methods, args, **settings), None


def stream(args):
    """One pass over chunks."""
    task = hard_region_task(10 * args.rows)._replace(name="stream of the hard region")
    settings = {"schedule": "constant", "epochs": 1, "chunk": CHUNK}
    first = held_out(task._replace(train=[part[:TUNING_ROWS] for part in task.train], hard=None))
    rates = {
        method: best_rate(method, first, "network", STREAM_RATES, judged_by="loss", **settings)
        for method in STREAM
    }
    rates[PYTORCH] = rates["uniform"]
    every = EVALUATE_STREAM_EVERY
    yield curve_runs(task, STREAM, args, every=every, rates=rates, **settings), None


def parts_of_a_step(args):
    """Where the time of the default sampler goes."""
    shares = parts_of_steps(hard_region_task(args.rows), NETWORK, RATE, args.seeds)
    print("parts of a step", shares)
    yield [], shares


def training_of(method, task, sizes, *, chunk=None, **settings):
    """A method's training, of this package or PyTorch."""
    if method == PYTORCH:
        return PyTorchTraining(task, sizes, **settings)
    return Training(method, task, sizes, chunk=chunk, **settings)


def told(results, task):
    """The results with their task, printed and rounded."""
    for result in results:
        result = {"task": task.name} | result
        if not result["curve"]:
            del result["curve"]
        shown = {k: v for k, v in result.items() if k != "curve"}
        print("  ".join(f"{k} {digits(v)}" for k, v in shown.items()), flush=True)
        yield {k: digits(v) for k, v in result.items()}


def digits(value):
    """Four digits of a number, or of those in lists; None for what is unknown."""
    if isinstance(value, (list, tuple)):
        return [digits(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


# ---- real sets ----


def real(args):
    """Both models on each set that there is."""
    for name, model in itertools.product(args.sets if args.data else (), args.models):
        task = real_task(name, args.data)
        if task is None:
            print(f"{name} is not in {args.data}")
        else:
            yield list(real_runs(task, model, args)), None


def real_runs(task, model, args):
    """Each method for its numbers of epochs, at the rate chosen for it."""
    part, plans = held_out(task), []
    for method, budget in itertools.product(args.methods, BUDGETS.get(task.name, FEW)):
        epochs = {"exact": -(-budget // 2)}.get(method, budget)
        rates = RATES[task.name] if model == "network" else LINEAR_RATES
        rate = best_rate(method, part, model, rates, schedule="linear", epochs=epochs)
        plans.append((method, budget, epochs, rate, True))
        if method == "uniform":  # what it comes to in the time of samplers that cost more
            plans.append((method, budget, math.ceil(1.2 * budget), rate, False))
            if args.pytorch:
                plans.append((PYTORCH, budget, budget, rate, True))
    for seed in range(args.real_seeds):
        trainings = []
        for method, _, epochs, rate, _ in plans:
            settings = {"rate": rate, "schedule": "linear", "epochs": epochs, "seed": seed}
            trainings.append(training_of(method, task, MODELS[model], **settings))
        results = told(take_turns(trainings, TURN), task)
        for (_, budget, _, _, shown), result in zip(plans, results, strict=True):
            yield {"model": model, "budget": budget, "shown": shown} | result


def held_out(task):
    """The task of the training rows but a fifth, judged by that."""
    X, y = task.train
    order = np.random.default_rng(0).permutation(len(y))
    kept, judges = np.split(order, [len(y) * 4 // 5])
    return Task(task.name, (X[kept], y[kept]), (X[judges], y[judges]))


def best_rate(method, part, model, rates, *, judged_by="error", **settings):
    """The rate of the least error, or loss, on the rows held out."""
    found = []
    for rate in rates:
        training = Training(method, part, MODELS[model], rate=rate, seed=0, **settings)
        training.train()
        found.append(judged(training).get(judged_by, np.inf))
    rate = rates[int(np.argmin(found))]
    print(f"{part.name} {model} {method}: {judged_by}", digits(found), "rate", rate, flush=True)
    return rate


RUNS = {
    "hard": partial(two_epochs, hard_region_task), "stream": stream, "parts": parts_of_a_step,
    "flipped": partial(two_epochs, partial(hard_region_task, flipped=0.05)),
    "imbalance": partial(two_epochs, imbalance_task), "real": real,
}  # fmt: skip


def main():
    """Run, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--sets", nargs="+", choices=REAL, default=REAL)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=USUAL)
    parser.add_argument("--no-pytorch", dest="pytorch", action="store_false")
    parser.add_argument("--rows", type=int, default=100_000, help="generated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--real-seeds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    for name in args.tasks:
        for results, parts in RUNS[name](args):
            if args.json:
                keep(args, results, parts)


def keep(args, results, parts):
    """Put a run into the file, in the place of what an earlier one has of the same tasks."""
    run = facts(data=[args.data]) | {
        "setting": f"{NETWORK[0]}-{NETWORK[1]} hidden units or, on real sets, a linear model too; "
        f"batches of 64, momentum .9, one thread. Generated: {args.rows:,} rows of 32 features, "
        f"two epochs at a rate of {RATE}; ten times as many in the stream, each method at its rate",
    }
    if args.json.exists():
        before = json.loads(args.json.read_text())
        done = {subject(r) for r in results}
        places = list(dict.fromkeys(subject(r) for r in before["results"] + results))
        kept = [r for r in before["results"] if subject(r) not in done]
        results = sorted(kept + results, key=lambda r: places.index(subject(r)))
        parts = parts or before["parts"]
        commands = before["command"].split("` and `")
        run["command"] = "` and `".join(dict.fromkeys([*commands, run["command"]]))
    head = json.dumps(run | {"parts": parts})
    lines = ",\n".join(json.dumps(result) for result in results)
    args.json.write_text(f'{head[:-1]}, "results": [\n{lines}\n]}}\n')


def subject(result):
    """Task and model that a result is of."""
    return result["task"], result.get("model")


if __name__ == "__main__":
    main()
