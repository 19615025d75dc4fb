"""Training in rounds: several models begin each alike, and learn from rows of their own.

What such an estimator offers, and what `sklsh.distributed` calls: `_summarize` its rows, where
they lie; `_begin` with a fresh model that goes by the summary of all; `_learn` from some rows in
a part of the plan, which changes nothing but returns what a model of its own has learnt; and
`_put_together` what several have learnt. Each is a function of its arguments alone, so that it
can be computed again, anywhere, with the same result.
"""

import copy
from dataclasses import dataclass

import numpy as np

from sklsh._auto import epochs_for
from sklsh._averaging import changes_between, put_together
from sklsh._callbacks import without_callbacks
from sklsh._summary import Summary
from sklsh._targets import LabelCounts, TargetFormat
from sklsh._training import Progress

MOST_AT_ONCE = 4  # models up to which batches and learning rates grow with their number,
ENOUGH_STEPS = 250  # where so many are left
PASSES = 3  # products of a step: forward, for the gradient of weights, and of what is below


@dataclass
class Learnt:
    """What one model has learnt in a round.

    Attributes
    ----------
    changes : Changes
        In its network.

    progress : Progress
        What it noted, of this round alone.

    others : object
        What else has changed, to be put together by the estimator.
    """

    changes: object
    progress: Progress
    others: object = None

    @property
    def weight(self):
        """Summed weights of the rows it has been trained on."""
        return self.progress.weight_sum

    @property
    def nbytes(self):
        """Bytes of the arrays, which go over the wire."""
        return self.changes.nbytes + getattr(self.others, "nbytes", 0)


class NetworkInRounds:
    """Mixin: trains the network of an estimator in rounds.

    Attributes
    ----------
    _least_rounds : int
        In an epoch.
    """

    _least_rounds = 1

    def _require_rounds(self):
        """Refuse what a fit in rounds cannot do."""
        for name in ("early_stopping", "warm_start"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} must be False where a fit goes in rounds over partitions; got True."
                )

    def _learner(self):
        """Copy with a network and notes of its own."""
        learner = copy.copy(self)
        learner._network = copy.deepcopy(self._network)
        learner._progress = copy.deepcopy(self._progress)
        return learner

    def _learnt(self, learner, wire_dtype, others=None):
        """What the learner has learnt since it was made."""
        changes = changes_between(self._network, learner._network, wire_dtype)
        return Learnt(changes, learner._progress.since(self._progress), others)

    def _put_together(self, learnt, done):
        """Take over what several models have learnt; returns self.

        `done` is how many epochs are now over.
        """
        weights = np.array([one.weight for one in learnt])
        if weights.sum() > 0:
            shares = weights / weights.sum()
            put_together(self._network, [one.changes for one in learnt], shares)
        self._progress.note_round([one.progress for one in learnt], done)
        return self

    @property
    def _state_bytes(self):
        """Bytes of weights and optimizer state, which a round sends."""
        return sum(p.weights.nbytes + p.state_bytes for p in self._network.parameters)


class ClassifierInRounds(NetworkInRounds):
    """Mixin of the classifiers that train :class:`sklsh._network.Network`."""

    def _summarize(self, X, y, sample_weight=None, classes=None, n_sampled=0):
        """Check rows, and tell of them in a `Summary`."""
        self._require_rounds()
        X, y, weight = self._validated(X, y, sample_weight, reset=True)
        target_format = TargetFormat.of(y, classes)
        counts = LabelCounts.of(target_format.encode(y), weight)
        names = getattr(self, "feature_names_in_", None)
        return Summary.of(X, names, target_format=target_format, counts=counts)

    def _begin(self, summary):
        """Make a model for data of this summary; returns self."""
        self.n_features_in_ = summary.n_features
        if summary.feature_names is not None:
            self.feature_names_in_ = summary.feature_names
        sizes = self._checked_settings()
        self._format, self.classes_ = summary.target_format, summary.target_format.classes
        counts = self._weighted_counts(summary.counts, self._weights_of_classes(summary.counts))
        self._create(summary.n_features, sizes, counts, partial=False)
        self._negatives.note_labels(summary.counts.plain)
        return self

    def _learn(self, X, y, sample_weight, summary, part, wire_dtype="float32"):
        """What a model that goes on from here learns from rows in a part of the plan."""
        learner = self._learner()
        learner._negatives = copy.deepcopy(self._negatives)
        rows, plan = learner._ready_to_learn(X, y, sample_weight, summary, part)
        if not rows[-1].any():  # its classes have no weight
            return None
        _go_further(plan, summary.n_places, rows[0].shape[0])
        learner._run(*rows, plan, without_callbacks)
        return self._learnt(learner, wire_dtype, self._looks_of(learner))

    def _ready_to_learn(self, X, y, sample_weight, summary, part):
        """Checked rows, (X, Y, weight), and the plan for them where the model learns from now."""
        X, y, weight = self._validated(X, y, sample_weight, reset=False)
        of_classes = self._weights_of_classes(summary.counts)
        Y, weight = self._weighted(self._format.encode(y), weight, of_classes)
        self._checked_settings()  # and threads of this machine
        self._network.make_trainable(self._n_threads)
        plan = self._plan(summary.n_rows, summary.sparse, self._n_epochs_of(summary))
        plan.labels_per_row, plan.part = summary.counts.labels_per_row, part
        self._negatives.go_on(self._progress.n_steps, part.place)
        return (X, Y, weight), plan

    def _looks_of(self, learner):
        """How often a learner has looked at classes since it was made: list of `Inclusion`."""
        pairs = zip(learner._negatives.inclusions, self._negatives.inclusions, strict=True)
        return [after.since(before) for after, before in pairs]

    def _note_looks(self, looks):
        """Take note of what `_looks_of` tells."""
        for inclusion, more in zip(self._negatives.inclusions, looks, strict=True):
            inclusion.add(more)

    def _put_together(self, learnt, done):
        for one in learnt:
            self._note_looks(one.others)
        return super()._put_together(learnt, done)

    def _n_epochs_of(self, summary):
        return epochs_for(self.max_iter, summary.n_rows)

    def _multiply_adds(self, summary):
        """Of training by a row, roughly."""
        _, *sizes, n_classes = self._network.sizes
        nnz = summary.n_values / summary.n_rows
        dense = sum(n * m for n, m in zip(sizes, sizes[1:], strict=False))
        width = sizes[-1] if sizes else summary.n_features
        n_active = min(n_classes, self.n_active)
        return PASSES * ((nnz * sizes[0] if sizes else 0) + dense + n_active * width)


def _go_further(plan, n_models, n_rows):
    """Make up for the fewer steps of each of several models: longer ones, in larger batches.

    Batches of these rows stay as they are where larger ones would leave too few steps.
    """
    factor = min(n_models, MOST_AT_ONCE)
    n_steps = plan.n_epochs * n_rows / plan.batch_size
    growth = np.clip(n_steps / ENOUGH_STEPS, 1, factor)
    plan.batch_size = min(round(growth * plan.batch_size), n_rows)
    plan.learning_rate *= factor
