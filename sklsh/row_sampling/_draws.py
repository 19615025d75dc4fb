"""Draws of rows: by their scores, as long as that pays, each weighted to make up for it."""

import math
from typing import NamedTuple

import numpy as np

from sklsh.row_sampling._protocol import Observed

POOL = 2**17  # rows that are scored at a time
PROBE_BATCHES = 50  # drawn uniformly, before it is asked again whether scores would pay
PROBE_PERIOD = 8  # once out of so often after the warm-up, and less often each time they do not
RAREST_PROBE = 64
CHEAP = 1 / 16  # of the time of steps, which learning from all uniform draws may always take;
LEARNING = 1 / 4  # where it would take more than that, the most that it takes,
HOPELESS = 1 / 64  # and where draws by no scores would pay
RUN = 8  # batches that are learnt from together, where not from all


class Draws(NamedTuple):
    """Rows of some steps.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        Their numbers, in the order in which steps take them.

    weight : ndarray of shape (n,), float32
        What their gradients are multiplied by.

    unbiased : ndarray of shape (n,), float32
        Weights under which the mean over the draws is on average the mean over all rows,
        each times its own weight.

    ratio : ndarray of shape (n,) or None
        How many times as likely as uniformly each was drawn; None for uniform draws.

    span : tuple of float
        From where to where these draws carry the epoch, of 0 to 1.
    """

    rows: np.ndarray
    weight: np.ndarray
    unbiased: np.ndarray
    ratio: np.ndarray | None
    span: tuple


class Gain:
    """How much less gradients vary under draws by scores than under uniform ones.

    The ratio of the second moments of a row's weighted gradient, estimated from the rows
    that were drawn, of which older ones count less.
    """

    def __init__(self):
        self.uniform = self.by_scores = 0.0

    @property
    def value(self):
        """The ratio; NaN while nothing is known."""
        return self.uniform / self.by_scores if self.by_scores > 0 else np.nan

    def note(self, gradients, ratio, drawn_by_scores):
        """Take note of the sizes of drawn rows' gradients, times the weights of the rows.

        `ratio` is how many times as likely as uniformly a row is, or would be, drawn.
        """
        squares, inverse = gradients**2, 1 / np.where(ratio > 0, ratio, 1)  # 0: of no weight
        if drawn_by_scores:
            squares = squares * inverse
        self.uniform = 0.5 * (self.uniform + squares.mean())
        self.by_scores = 0.5 * (self.by_scores + (squares * inverse).mean())


class RowDraws:
    """The rows of all training steps.

    Parameters
    ----------
    sampler : RowSampler
        Scores the rows.

    Attributes
    ----------
    gain : Gain
        What draws by scores are worth.

    n_drawn, n_by_scores : int
        Draws, over all calls, and those by scores.
    """

    def __init__(self, sampler):
        self.sampler = sampler
        self.gain = Gain()
        self.n_drawn = self.n_by_scores = 0
        self._until_probe, self._probe_period = PROBE_PERIOD, PROBE_PERIOD
        self._scores_missing = False
        self._n_batches = 0  # of uniform draws that were asked for

    def begin(
        self, data, weight, multiply_adds, generator, *,
        batch_size, pool_factor, subsample, floor, importance_power, warmup, min_gain,
    ):  # fmt: skip
        """Turn to other rows.

        Parameters
        ----------
        data : Pass
            The rows.

        weight : ndarray of shape (n,), float32
            Their weights.

        multiply_adds : float
            Those of a training step for each row.

        generator : numpy.random.Generator
            Draws.

        batch_size : int
            Rows of a step.

        pool_factor : float
            Rows scored for each that is drawn.

        subsample : float
            Draws of an epoch to rows, as far as it draws by scores.

        floor : float
            Share of the draws that goes by the weights of rows alone, so that none is left out.

        importance_power : float
            Power of the weights that make up for how likely a row was drawn.

        warmup : int
            Batches drawn uniformly first, over all calls.

        min_gain : float
            What gain it takes for draws by scores that cost nothing; it rises with the square
            of what a step costs with them. 0: to draw by scores in any case.
        """
        self.sampler.begin(data)
        self._weight, self._generator = weight, generator
        self.batch_size, self.warmup = batch_size, warmup
        self.pool_factor, self.subsample, self.floor = pool_factor, subsample, floor
        self.importance_power = importance_power
        scoring = pool_factor * self.sampler.multiply_adds(multiply_adds) / multiply_adds
        self._learning = self.sampler.learning_multiply_adds() / multiply_adds
        self._gain_needed = min_gain * (1 + scoring + self._learning) ** 2

    def end(self):
        """Let go of the rows."""
        self.sampler.end()
        self._weight = self._generator = None

    @property
    def nbytes(self):
        """Bytes of what the sampler has learnt."""
        return self.sampler.nbytes

    def __getstate__(self):
        return vars(self) | {"_weight": None, "_generator": None}  # a copy has no rows

    def put_together(self, others, shares):
        """Take over what draws in several places, which began like these, have come by.

        Scores and gain are averaged by `shares`, which add up to 1; draws are counted up.
        """
        self.sampler.put_together([other.sampler for other in others], shares)
        for name in ("uniform", "by_scores"):
            averages = shares @ np.array([getattr(other.gain, name) for other in others])
            setattr(self.gain, name, float(averages))
        for name in ("n_drawn", "n_by_scores", "_n_batches"):
            before = getattr(self, name)
            setattr(self, name, before + sum(getattr(other, name) - before for other in others))
        self._until_probe, self._probe_period = others[0]._until_probe, others[0]._probe_period
        self._scores_missing = any(other._scores_missing for other in others)

    def epoch(self, order=None, begin=0.0, end=1.0):
        """Yield `Draws` of as many rows as there are; of fewer by scores, with `subsample`.

        `order` is that of uniform draws, by default a random one. Only a part of the epoch is
        gone through if `begin` and `end`, shares of it, say so.
        """
        n = len(self._weight)
        if order is None:
            order = self._generator.permutation(n)
        done, end = float(begin * n), float(end * n)
        while done < end:
            pays = self._pays()
            draws = self._by_scores(done, end) if pays else None
            self._scores_missing = pays and draws is None
            if draws is None:
                draws = self._uniform(order, done, end)
            done = n * draws.span[1]
            yield draws

    def _uniform(self, order, done, end):
        """The next rows in a random order."""
        n = len(order)
        first = min(round(done), n - 1)  # at least a row, where less than one is left
        last = min(max(round(end), first + 1), first + PROBE_BATCHES * self.batch_size)
        rows = order[first:last]
        weight = self._weight[rows]
        reached = end if last >= round(end) else last
        return Draws(rows, weight, weight, None, (first / n, reached / n))

    def asks(self, draws):
        """Whether `note` has a use for what steps find out about these draws.

        It has none for most uniform draws after the warm-up, which are probes at best.
        """
        if draws.ratio is not None or not self._warm:
            return True
        if self._scores_missing or np.isnan(self.gain.value):
            return True
        return self._until_probe <= 1

    def note(self, draws, observed, seen=None):
        """Count the draws, and learn from what steps on them have `Observed`.

        `seen` says, where not all, which of them were observed; None was, if `observed` is None.
        """
        asks = self.asks(draws)
        self.n_drawn += len(draws.rows)
        self._count(draws, asks)
        if not asks or observed is None:
            return
        seen = slice(None) if seen is None else seen
        rows = draws.rows[seen]
        weight = self._weight[rows]
        ratio = None
        if draws.ratio is not None:
            ratio = draws.ratio[seen]
        else:
            worth = self._worth_learning(observed.scores, weight)
            rows, weight = rows[worth], weight[worth]
            observed = Observed(*(part[worth] for part in observed))
            if len(rows) == 0:
                return
            expected = self.sampler.expected(rows, observed)
            if expected is not None:
                ratio = self._ratio(expected, weight)
        if ratio is not None:
            self.gain.note(weight * observed.scores, ratio, draws.ratio is not None)
        self.sampler.note(rows, observed, self.batch_size)

    def _worth_learning(self, scores, weight):
        """Which rows of uniform draws to learn from: where that costs much, few batches of them.

        Draws by the true scores gain most, and those are known without any learning. Where
        even they would not pay, the least is learnt.
        """
        if self._gain_needed == 0 or self._learning <= CHEAP:
            return slice(None)
        gradients = weight * scores
        promises = len(gradients) * (gradients**2).sum() > self._gain_needed * gradients.sum() ** 2
        every = math.ceil(self._learning / (LEARNING if promises else HOPELESS))
        n_batches = math.ceil(len(weight) / self.batch_size)
        batches = np.arange(n_batches)
        batches = batches[(self._n_batches + batches) // RUN % every == 0]
        self._n_batches += n_batches
        worth = (self.batch_size * batches[:, None] + np.arange(self.batch_size)).ravel()
        return worth[worth < len(weight)]

    def _count(self, draws, asks):
        """Keep the books of probes, which get rarer until scores pay."""
        if draws.ratio is not None:
            self.n_by_scores += len(draws.rows)
            self._until_probe = self._probe_period = PROBE_PERIOD
        elif self._warm and asks:
            self._probe_period = min(2 * self._probe_period, RAREST_PROBE)
            self._until_probe = self._probe_period
        elif self._warm:
            self._until_probe -= 1

    @property
    def _warm(self):
        return self.n_drawn >= self.warmup * self.batch_size

    def _pays(self):
        return self._warm and (self._gain_needed == 0 or self.gain.value > self._gain_needed)

    def _by_scores(self, done, end):
        """Draws from a pool where `done` rows of the epoch are; None while there are no scores."""
        n = len(self._weight)
        pool = np.arange(n)
        if n > POOL:
            pool = self._generator.choice(n, POOL, replace=False, shuffle=False)
        scores = self.sampler.scores(pool)
        if scores is None:
            return None
        check_scores(scores, len(pool), self.sampler)
        weight = self._weight[pool]
        ratio = self._ratio(scores, weight)
        n_batches = max(1, int(len(pool) / (self.pool_factor * self.batch_size)))
        left = max(1, round((end - done) * self.subsample))  # else at least half a row stays
        n_draws = min(left, n_batches * self.batch_size)
        reached = end if n_draws == left else done + n_draws / self.subsample
        drawn = systematic_draws(ratio / len(pool), n_draws, self._generator)
        mean_weight = weight.mean(dtype=np.float64)
        unbiased = weight[drawn] / ratio[drawn]
        power = self.importance_power
        weight = (mean_weight ** (1 - power) * unbiased**power).astype(np.float32)
        unbiased = unbiased.astype(np.float32)
        return Draws(pool[drawn], weight, unbiased, ratio[drawn], (done / n, reached / n))

    def _ratio(self, scores, weight):
        """How many times as likely as uniformly rows of a pool are drawn."""
        mean = weight.mean(dtype=np.float64)
        if mean == 0:  # none of them counts
            return np.ones(len(weight))
        weight = weight / mean
        by_scores = weight * scores
        mean = by_scores.mean()
        if mean == 0:
            return weight
        return self.floor * weight + (1 - self.floor) * by_scores / mean


def check_scores(scores, n, sampler):
    """Raise ValueError unless a sampler, which may be anyone's, has told what it should."""
    if np.shape(scores) != (n,) or not np.isfinite(scores).all() or np.min(scores) < 0:
        raise ValueError(
            f"scores of {type(sampler).__name__} must be a finite non-negative number for each "
            f"of {n} rows; got others, or shape {np.shape(scores)}."
        )


def systematic_draws(probability, n, generator):
    """Numbers in random order, n of them by systematic resampling.

    Number i comes n p_i times, rounded up or down.
    """
    edges = np.cumsum(probability)
    points = (np.arange(n) + generator.random()) * (edges[-1] / n)
    below_end = np.nextafter(edges[-1], 0)  # which rounding may else reach
    numbers = np.searchsorted(edges, np.minimum(points, below_end), side="right")
    return generator.permutation(numbers)
