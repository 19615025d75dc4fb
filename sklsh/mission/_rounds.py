"""Training of sketched linear models in rounds, see `sklsh._local_training`."""

import copy
from dataclasses import dataclass

import numpy as np

from sklsh._callbacks import without_callbacks
from sklsh._summary import Moments, Summary, sample_of
from sklsh._targets import LabelCounts, TargetFormat
from sklsh._training import Progress
from sklsh.mission import _auto

LOOK_UP = 100  # multiply-adds that take as long as to find a feature's weight and move it


@dataclass
class LearntModel:
    """A model after a round.

    Attributes
    ----------
    model : estimator
        It, with all it needs to be merged.

    progress : Progress
        What it noted, of this round alone.
    """

    model: object
    progress: Progress

    @property
    def weight(self):
        """Summed weights of the rows it has been trained on."""
        return self.progress.weight_sum

    @property
    def nbytes(self):
        """Bytes of the model, which goes over the wire."""
        return self.model.memory_usage_["total"]


class SketchedInRounds:
    """Mixin: trains the model in rounds, whose merged model is the mean of the models."""

    _least_rounds = 0  # in an epoch: means of linear models are as good after all

    def _require_rounds(self):
        """There is nothing that a fit in rounds cannot do."""

    def _summarize(self, X, y, sample_weight=None, classes=None, n_sampled=_auto.SAMPLE):
        """Check rows, and tell of them in a `Summary`."""
        self._draw_seeds()
        X, y, weight = self._checked(X, y, sample_weight, classes, reset=True)
        if self._is_classification:
            target_format = TargetFormat.of(y, classes)
            counts = LabelCounts.of(target_format.encode(y), weight)
            about_targets = {"target_format": target_format, "counts": counts}
        else:
            about_targets = {"moments": Moments.of(y, weight)}
        names = getattr(self, "feature_names_in_", None)
        sample = sample_of(X, y, weight, n_sampled)
        return Summary.of(X, names, sample=sample, **about_targets)

    def _begin(self, summary):
        """Make a model for data of this summary; returns self."""
        self._draw_seeds()
        self.n_features_in_ = summary.n_features
        if summary.feature_names is not None:
            self.feature_names_in_ = summary.feature_names
        if self._is_classification:
            self._take_format(summary.target_format)
        self._start(self._with_targets(*summary.sample, summary))
        if not self._is_classification:
            self._model.intercept[:] = summary.moments.mean
        return self

    def _with_targets(self, X, y, weight, summary):
        if not self._is_classification:
            return self._with_numbers(X, y, weight)
        return self._with_classes(X, self._format.encode(y), weight, summary.counts)

    def _learn(self, X, y, sample_weight, summary, part, wire_dtype="float32"):
        """The model that goes on from here over rows, in a part of the plan."""
        if wire_dtype != "float32":
            raise ValueError(
                f"wire_dtype must be 'float32' for {type(self).__name__}, whose models are merged "
                f"bit for bit; got {wire_dtype!r}."
            )
        learner = copy.copy(self)
        learner._model, progress = self._model.copy(), copy.deepcopy(self._progress)
        learner._progress = progress
        X, y, weight = learner._checked(X, y, sample_weight, None, reset=False)
        rows = learner._with_targets(X, y, weight, summary)
        if not rows.weights.any():  # its classes have no weight
            return None
        n_epochs = self._n_epochs_of(summary)
        learner._train(rows, n_epochs, self.learning_rate, without_callbacks, part)
        return LearntModel(learner, progress.since(self._progress))

    def _put_together(self, learnt, done):
        """Take over the mean of several models; returns self.

        `done` is how many epochs are now over.
        """
        weights = np.array([one.weight for one in learnt])
        if weights.sum() > 0:
            self._model = learnt[0].model._model
            if hasattr(self, "_names"):
                self._names = learnt[0].model._names
            self._take_merged([one.model for one in learnt[1:]], weights / weights.sum())
        self._progress.note_round([one.progress for one in learnt], done)
        return self

    def _n_epochs_of(self, summary):
        return _auto.epochs_for(self.max_iter, summary.n_rows)

    def _multiply_adds(self, summary):
        """Of training by a row, roughly."""
        look_ups = self._model.depth * summary.n_values / summary.n_rows
        return LOOK_UP * self._model.n_outputs * look_ups

    @property
    def _state_bytes(self):
        """Bytes of the model, which a round sends."""
        return self._model.memory_usage["total"]
