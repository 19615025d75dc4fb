"""The rounds of a fit on a cluster: what is submitted, and how often."""

import math
import time
from collections import defaultdict
from contextlib import contextmanager
from fractions import Fraction
from uuid import uuid4

import numpy as np
from distributed import CancelledError, wait
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError
from sklearn.base import clone
from sklearn.utils import check_random_state

from sklsh._fitted import RoundsOfFit
from sklsh._training import Part
from sklsh.distributed import _tasks

MERGE_SHARE = 0.05  # of the time of local training that "auto" rounds may take, roughly,
ROUND_SECONDS = 0.05  # each so long, however little is sent
BYTES_PER_SECOND = 4e8  # sent and averaged
MULTIPLY_ADDS_PER_SECOND = 1.5e10  # of a thread
MOST_ROUNDS = 4  # in an epoch


class Rounds:
    """The rounds of a fit.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.

    estimator : estimator
        What is fitted; a copy of it is.

    partitions : list of delayed
        Rows.

    classes, n_models, wire_dtype
        As of :func:`sklsh.distributed.fit`.
    """

    def __init__(self, client, estimator, partitions, classes, n_models, wire_dtype):
        self.client, self.wire_dtype, self.classes = client, wire_dtype, classes
        # one seed for all: what each draws from it has to be the same everywhere
        self.seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
        self.estimator = clone(estimator).set_params(random_state=self.seed)
        for name in [name for name in vars(self.estimator) if "callback" in name]:
            delattr(self.estimator, name)  # they stay here
        self._token = uuid4().hex
        if n_models == "auto":
            n_models = max(1, sum(client.nthreads().values()))
        self.shards = self._gathered(partitions, min(n_models, len(partitions)))
        self.summaries = self._summarized()

    def run(self, n_rounds):
        """The fitted model."""
        states = []
        try:
            return self._run(n_rounds, states)
        finally:  # an error that somebody keeps must not keep rows and models on the cluster
            for futures in (states, self.shards, self.summaries):
                futures.clear()

    def _run(self, n_rounds, states):
        """The fitted model; `states` takes the futures of those between rounds."""
        states.append(self._submit("begin", _tasks.begin, self.estimator, self.summaries[-1]))
        costs = self._submit("costs", _tasks.costs, states[0], self.summaries[-1]).result()
        if n_rounds == "auto":
            n_rounds = automatic_rounds(costs, len(self.shards))
        wait_for(self.shards)
        started = time.perf_counter()
        self.client.replicate(states)  # a worker that learns already is slow to hand it on
        for number in range(n_rounds):
            states.append(self._round(states[-1], number, n_rounds, costs.n_epochs))
        for number in range(n_rounds + 1):
            wait_for(states[number : number + 1])
            if number >= 2:  # the last but one stays: a lost worker then costs a round, not all
                states[number - 2] = None
            if self.estimator.verbose and number:
                print(f"Round {number} of {n_rounds}")
        seconds = time.perf_counter() - started
        model, places = states[-1].result()
        local = sum(map(busiest, places))
        model._progress.rounds = RoundsOfFit(n_rounds, seconds - local, local)
        return model

    def _gathered(self, partitions, n_models):
        """Futures of the rows of each model: partitions in their order, evenly divided."""
        shards = []
        for numbers in np.array_split(np.arange(len(partitions)), n_models):
            first, last = int(numbers[0]), int(numbers[-1])
            futures = self.client.compute(partitions[first : last + 1])
            shards.append(self._submit(f"shard-{first}", _tasks.gather_shard, futures, first))
        return shards

    def _summarized(self):
        """Futures of the summary of each model's rows, and of that of all, the last."""
        summaries = [
            self._submit(f"summary-{i}", _tasks.summarize, self.estimator, shard, self.classes)
            for i, shard in enumerate(self.shards)
        ]
        return [*summaries, self._submit("summary", _tasks.unite, summaries)]

    def _round(self, state, number, n_rounds, n_epochs):
        """Future of the state after a round."""
        begin, end = Fraction(number, n_rounds), Fraction(number + 1, n_rounds)
        lessons, summary = [], self.summaries[-1]
        for place, shard in enumerate(self.shards):
            part = Part(begin, end, self.seed, place)
            key = f"learn-{number}-{place}"
            lessons.append(
                self._submit(key, _tasks.learn, state, shard, summary, part, self.wire_dtype)
            )
        done = math.floor(end * n_epochs)
        return self._submit(f"merge-{number}", _tasks.put_together, state, lessons, done)

    def _submit(self, name, function, *arguments):
        key = f"sklsh-{name}-{self._token}"
        return self.client.submit(function, *arguments, key=key, pure=False)


def automatic_rounds(costs, n_models):
    """How many rounds take about `MERGE_SHARE` of the time of local training.

    From sizes alone, so that it does not depend on how fast the cluster happens to be. One model
    has nothing to be put together with.
    """
    if n_models == 1:
        return 1
    n_epochs, least = costs.n_epochs, max(1, costs.least_rounds * costs.n_epochs)
    local = n_epochs * costs.multiply_adds / MULTIPLY_ADDS_PER_SECOND / n_models
    merging = ROUND_SECONDS + n_models * costs.n_bytes / BYTES_PER_SECOND
    return int(np.clip(MERGE_SHARE * local / merging, least, MOST_ROUNDS * n_epochs))


def busiest(places):
    """Seconds of the thread that was busiest in a round, of pairs (thread, seconds)."""
    seconds = defaultdict(float)
    for where, taken in places:
        seconds[where] += taken
    return max(seconds.values(), default=0.0)


def wait_for(futures):
    """Wait until futures are done, and raise the error of the first that failed."""
    wait(futures)
    for future in futures:
        if future.status == "error":
            future.result()


@contextmanager
def scheduler_of(client):
    """What a lost scheduler leads to is a ConnectionError that says so."""
    address = client.scheduler.address if client.scheduler else "unknown"
    try:
        yield
    except (CancelledError, CommClosedError, ClosedClientError) as error:
        raise ConnectionError(
            f"The Dask scheduler at {address} was lost, or has dropped the tasks of this fit. The "
            "estimator is as it was; fit it again once there is a scheduler."
        ) from error
