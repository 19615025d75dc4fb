"""Trainings of one network on rows drawn in different ways, which take turns in one process."""

import math
import time

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax
from turns import Turn

from sklsh import KernelSampledSGD

BATCH = 64
MOMENTUM, POWER_T = 0.9, 0.3
PYTORCH = "PyTorch, uniform"
BIASED = {"importance_power": 0.5, "min_gain": 0}
METHODS = {
    "uniform": {"sampler": "uniform"},
    "kernel": {"sampler": "kernel"},
    "kernel, power .5": {"sampler": "kernel"} | BIASED,
    "kernel, power 0": {"sampler": "kernel"} | BIASED | {"importance_power": 0.0},
    "stale": {"sampler": "stale", "min_gain": 0},
    "stale, power .5": {"sampler": "stale"} | BIASED,
    "exact": {"sampler": "exact", "min_gain": 0},
    "kernel, min_gain=0": {"sampler": "kernel", "min_gain": 0},
    "kernel, half the draws": {"sampler": "kernel", "subsample": 0.5},
}


class Watched(KernelSampledSGD):
    """The estimator, which calls `before_step` before each step and `on_draws` with draws."""

    before_step = on_draws = None

    def _create(self, *args):
        super()._create(*args)
        self._network.train_step = after(self.before_step, self._network.train_step)
        self._draws.note = after(self.on_draws, self._draws.note)


def after(first, then):
    """`then`, and before it, with the same arguments, `first`, if that is any."""
    if first is None:
        return then

    def both(*args):
        first(*args)
        return then(*args)

    return both


class Training:
    """One method on one task: `train` fits it, at any time it can be judged.

    Parameters
    ----------
    method : str
        Name in `METHODS`.

    task : row_tasks.Task
        The rows.

    sizes : tuple of int
        Hidden layers.

    rate, schedule, epochs, seed
        How it is trained.

    chunk : int, optional
        Rows of a call to `partial_fit`, in one pass; without it, `fit` is called.
    """

    def __init__(self, method, task, sizes, *, rate, schedule, epochs, seed, chunk=None):
        self.method, self.task, self.chunk = method, task, chunk
        self.settings = {"rate": rate, "schedule": schedule, "epochs": epochs, "seed": seed}
        n = len(task.train[1])
        calls = [min(chunk, n - first) for first in range(0, n, chunk)] if chunk else [n] * epochs
        self.n_steps = sum(math.ceil(rows / BATCH) for rows in calls)
        self.model = Watched(
            sizes, **METHODS[method], learning_rate_init=rate, learning_rate=schedule,
            power_t=POWER_T, alpha=0, batch_size=BATCH, max_iter=epochs, random_state=seed,
        )  # fmt: skip
        self.n_hard, self.diverged = 0, False
        if task.hard is not None and chunk is None:
            self.model.on_draws = self._count

    def _count(self, draws, observed):
        self.n_hard += self.task.hard[draws.rows].sum()

    def train(self, pause=None):
        """Fit; a training that diverges ends there."""
        if pause is not None:
            self.model.before_step = lambda *args: pause()
        try:
            self._fit(*self.task.train)
        except ValueError as error:
            if "diverged" not in str(error):
                raise
            self.diverged = True

    def _fit(self, X, y):
        if self.chunk is None:
            self.model.fit(X, y)
            return
        for first in range(0, len(y), self.chunk):
            rows = slice(first, first + self.chunk)
            self.model.partial_fit(X[rows], y[rows], classes=self.task.classes)

    @property
    def steps(self):
        """Steps so far."""
        return self.model.t_

    def scores(self, X):
        """Logits of all classes."""
        scores = self.model.decision_function(X)
        return scores if scores.ndim > 1 else np.column_stack([np.zeros_like(scores), scores])

    def facts(self):
        """What the sampler did."""
        facts = {"gain": self.model.sampling_gain_, "by scores": self.model.sampled_share_}
        if self.model.on_draws is not None:
            facts["hard draws"] = self.n_hard / self.model._draws.n_drawn
        return facts


class PyTorchTraining:
    """The same network, loss, rates and optimizer in PyTorch, on uniform draws."""

    method, diverged = PYTORCH, False

    def __init__(self, task, sizes, *, rate, schedule, epochs, seed):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.torch, self.task, self.epochs = torch, task, epochs
        self.settings = {"rate": rate, "schedule": schedule, "epochs": epochs, "seed": seed}
        self.n_steps = epochs * math.ceil(len(task.train[1]) / BATCH)
        self.random = np.random.default_rng(seed)
        widths = [task.train[0].shape[1], *sizes, len(task.classes)]
        layers = []
        for n, m in zip(widths, widths[1:], strict=False):
            layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
            torch.nn.init.normal_(layers[-2].weight, std=math.sqrt(2 / n))
            torch.nn.init.zeros_(layers[-2].bias)
        torch.nn.init.zeros_(layers[-2].weight)
        self.network = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(self.network.parameters(), rate, momentum=MOMENTUM)
        factor = {
            "constant": lambda t: 1,
            "linear": lambda t: 1 - t / self.n_steps,
            "invscaling": lambda t: (t + 1) ** -POWER_T,
        }[schedule]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def train(self, pause=None):
        """Fit."""
        torch = self.torch
        X, y = (torch.from_numpy(part) for part in (dense(self.task.train[0]), self.task.train[1]))
        for _ in range(self.epochs):
            order = torch.from_numpy(self.random.permutation(len(y)))
            for rows in order.split(BATCH):
                if pause is not None:
                    pause()
                loss = torch.nn.functional.cross_entropy(self.network(X[rows]), y[rows])
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()

    @property
    def steps(self):
        """Steps so far."""
        return self.schedule.last_epoch

    def scores(self, X):
        """Logits of all classes."""
        with self.torch.no_grad():
            return self.network(self.torch.from_numpy(dense(X))).numpy()

    def facts(self):
        """There is no sampler."""
        return {}


def dense(X):
    """An array of the same rows."""
    return X.toarray() if sp.issparse(X) else X


def judged(training):
    """Loss and error on the test rows, and the error on the hard ones among them."""
    if training.diverged:
        return {"diverged": True}
    X, y = training.task.test
    scores = training.scores(X)
    log_probability = log_softmax(scores.astype(np.float64), axis=1)
    wrong = scores.argmax(axis=1) != y
    result = {"loss": -log_probability[np.arange(len(y)), y].mean(), "error": wrong.mean()}
    if training.task.hard_test is not None:
        result["hard error"] = wrong[training.task.hard_test].mean()
    return {name: float(value) for name, value in result.items()}


def take_turns(trainings, stretch, along=False):
    """Train all of them, so many steps at a time; results in their order.

    The turns of a round are in random order: each finds the caches as the one before left them.
    CPU seconds are all of the training, from the checks of the input on, and none of the
    evaluation. With `along`, "curve" has steps, CPU seconds and test loss after each turn.
    """
    turns, results = [], []
    for training in trainings:
        cpu, wall = time.process_time(), time.perf_counter()
        turns.append(Turn(training.train, training.n_steps * BATCH, BATCH, stretch))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        result = {"method": training.method} | training.settings
        results.append(result | {"cpu_s": cpu, "wall_s": wall, "curve": []})
    random = np.random.default_rng(0)
    while not all(turn.ended for turn in turns):
        for number in random.permutation(len(turns)):
            training, turn, result = trainings[number], turns[number], results[number]
            if turn.ended:
                continue
            turn.go_on()
            rows, cpu, wall = turn.stretches[-1]
            result["cpu_s"] += cpu
            result["wall_s"] += wall
            if along and not training.diverged:
                result["curve"].append((training.steps, result["cpu_s"], judged(training)["loss"]))
    for training, result in zip(trainings, results, strict=True):
        result |= judged(training)
        if not training.diverged:
            result |= training.facts()
    return results
