"""Where the CPU time of a training goes that draws rows by what a sketch remembers of them."""

import time

import numpy as np
from row_trainings import Training

PARTS = "training step", "hashing", "scoring", "drawing", "feedback", "the rest"


class Clock:
    """CPU seconds of functions, each without those that it calls."""

    def __init__(self):
        self.seconds = {}
        self._within = [0.0]

    def timed(self, part, function):
        """The function, whose time counts for a part."""

        def run(*args):
            self._within.append(0.0)
            begin = time.thread_time()
            try:
                return function(*args)
            finally:
                seconds = time.thread_time() - begin
                inner = self._within.pop()
                self._within[-1] += seconds
                self.seconds[part] = self.seconds.get(part, 0.0) + seconds - inner

        return run


def parts_of_steps(task, sizes, rate, n_seeds):
    """CPU seconds of each part over the time of the training steps, medians over the seeds."""
    shares = [parts_of_training(task, sizes, rate, seed) for seed in range(n_seeds)]
    return {part: float(np.median([share[part] for share in shares])) for part in PARTS}


def parts_of_training(task, sizes, rate, seed):
    """The parts of one training of the default sampler."""
    training = Training("kernel", task, sizes, rate=rate, schedule="constant", epochs=2, seed=seed)
    clock, model = Clock(), training.model
    create = model._create

    def create_timed(*args):
        create(*args)
        draws, sampler = model._draws, model._draws.sampler
        model._network.train_step = clock.timed("training step", model._network.train_step)
        draws._by_scores = clock.timed("drawing", draws._by_scores)
        draws.note = clock.timed("feedback", draws.note)
        sampler.scores = clock.timed("scoring", sampler.scores)
        begin = sampler.begin

        def begin_timed(data):
            begin(data)
            sampler.codes.of = clock.timed("hashing", sampler.codes.of)

        sampler.begin = clock.timed("hashing", begin_timed)

    model._create = create_timed
    clock.timed("the rest", training.train)()
    steps = clock.seconds["training step"]
    return {part: clock.seconds.get(part, 0.0) / steps for part in PARTS}
