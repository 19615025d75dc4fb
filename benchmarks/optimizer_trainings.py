"""Trainings of one network under several optimizers, which take turns in one process."""

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from systems.stepped import Pausing, PausingClassifier
from turns import Turn

from sklsh import LSHSoftmaxClassifier
from sklsh.metrics import precision_at_k
from sklsh.optimizers import Adam, CSAdagrad, CSAdam, CSRMSprop, RMSprop

SYSTEMS = {
    "Adam": {"optimizer": "adam"},
    "Adam, int8 products": {"optimizer": "adam", "product_dtype": "int8"},
    "Adam, beta_1=0": {"optimizer": Adam(0)},
    "Adam, row-wise, beta_1=0": {"optimizer": Adam(0, second_moment="row")},
    "cs_adam": {"optimizer": "cs_adam"},
    "cs_adam, 5 %": {"optimizer": CSAdam(compression=0.05)},
    "cs_adam, 1 %": {"optimizer": CSAdam(compression=0.01)},
    "cs_adam, depth=3": {"optimizer": CSAdam(depth=3)},
    "cs_adam, beta_1=.9": {"optimizer": CSAdam(0.9)},
    "cs_adam, beta_1=.9, depth=3": {"optimizer": CSAdam(0.9, depth=3)},
    "RMSprop": {"optimizer": RMSprop()},
    "cs_rmsprop, 10 %": {"optimizer": CSRMSprop(compression=0.1)},
    "Adagrad": {"optimizer": "adagrad"},
    "cs_adagrad": {"optimizer": "cs_adagrad"},
    "cs_adagrad, depth=3": {"optimizer": CSAdagrad(depth=3)},
}


class PausingSoftmax(Pausing, LSHSoftmaxClassifier):
    """LSHSoftmaxClassifier with pauses."""


class Task(NamedTuple):
    """Rows to train on and to judge by: labels of a row, or one class each."""

    name: str
    train: tuple
    test: tuple
    settings: dict  # of the estimator
    described: str

    @property
    def has_labels(self):
        """Whether rows have any number of labels."""
        return sp.issparse(self.train[1])


class Training:
    """A training under one optimizer, judged after each epoch."""

    def __init__(self, name, task, epochs, seed):
        self.name, self.task = name, task
        kind = PausingClassifier if task.has_labels else PausingSoftmax
        settings = {"product_dtype": "float32"} | task.settings | SYSTEMS[name]
        self.model = kind(max_iter=epochs, random_state=seed, n_jobs=1, **settings)
        self.steps_an_epoch = math.ceil(task.train[0].shape[0] / self.model.batch_size)
        self.curve, self.n_steps = [], 0

    def train(self, pause):
        """Fit, calling pause() before each step."""

        def before_step():
            if self.n_steps and self.n_steps % self.steps_an_epoch == 0:
                self.curve.append(self.judged())
            self.n_steps += 1
            pause()

        self.model.pause = before_step
        self.model.fit(*self.task.train)
        self.curve.append(self.judged())

    def judged(self):
        """What the test rows say of the model as it is."""
        X, y = self.task.test
        labels = self.model.predict_top_k(X, 1)[0]
        if self.task.has_labels:
            return {"P@1": 100 * precision_at_k(y, labels, k=1)}
        return {
            "P@1": 100 * float(np.mean(labels[:, 0] == y)),
            "perplexity": float(np.exp(self.model.log_loss(X, y))),
        }

    def result(self, turn):
        """The figures of a training that has ended."""
        usage = self.model.memory_usage_
        figures = {
            "state_mb": (usage["optimizer"] + usage["sketches"]) / 1e6,
            "cpu_us_per_row": float(turn.us_per_row()[0]),
        }
        for name in self.curve[0]:
            figures[name] = [epoch[name] for epoch in self.curve]
        return figures | {"loss": list(self.model.loss_curve_)}


def take_turns(names, task, epochs, seed, stretch):
    """Train under each of the optimizers, `stretch` batches at a time; results by name."""
    trainings, turns = [Training(name, task, epochs, seed) for name in names], []
    for training in trainings:
        batch = training.model.batch_size
        n_rows = epochs * training.steps_an_epoch * batch
        turns.append(Turn(training.train, n_rows, batch, stretch))
    while waiting := [turn for turn in turns if not turn.ended]:
        for turn in waiting:
            turn.go_on()
    return {
        training.name: training.result(turn)
        for training, turn in zip(trainings, turns, strict=True)
    }
