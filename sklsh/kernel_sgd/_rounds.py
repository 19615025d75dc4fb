"""Training in rounds of the estimators that draw their rows, see `sklsh._local_training`."""

import copy
import math

import numpy as np

from sklsh._callbacks import without_callbacks
from sklsh._local_training import NetworkInRounds
from sklsh._row_samplers import check_row_sampler
from sklsh._sklearn import effective_n_threads
from sklsh._summary import Moments, Summary, sample_of
from sklsh._targets import LabelCounts, TargetFormat
from sklsh.kernel_sgd._rates import finds_rates
from sklsh.kernel_sgd._training import of_weight
from sklsh.row_sampling import Pass


class RowSampledInRounds(NetworkInRounds):
    """Mixin of what classifier and regressor do alike.

    They say how to summarize targets, take the summary over, and make rows to train on.
    """

    def _require_rounds(self):
        super()._require_rounds()
        if finds_rates(self):
            raise ValueError(
                "learning_rate must not be 'vsgd' where a fit goes in rounds over partitions: it "
                "finds rates for the weights of one model, not for averages."
            )

    def _summarize(self, X, y, sample_weight=None, classes=None, n_sampled=100):
        """Check rows, and tell of them in a `Summary`."""
        self._require_rounds()
        X, y, weight = self._validated(X, y, sample_weight, reset=True)
        about_targets = self._about_targets(y, weight, classes)
        names = getattr(self, "feature_names_in_", None)
        sample = sample_of(X, y, weight, n_sampled)
        return Summary.of(X, names, sample=sample, **about_targets)

    def _begin(self, summary):
        """Make a model for data of this summary; returns self."""
        self.n_features_in_ = summary.n_features
        if summary.feature_names is not None:
            self.feature_names_in_ = summary.feature_names
        sizes = self._checked_sizes()
        check_row_sampler(self)
        self._take_targets(summary)
        rows, groups = self._rows_to_train_on(*summary.sample, summary)
        self._create(rows, sizes, summary.n_rows, partial=False)
        self._draws.sampler.begin(Pass(rows.X, groups, None, n_threads=1))  # scales go by these
        self._draws.end()
        return self

    def _learn(self, X, y, sample_weight, summary, part, wire_dtype="float32"):
        """What a model that goes on from here learns from rows in a part of the plan."""
        learner = self._learner()
        learner._draws = copy.deepcopy(self._draws)
        X, y, weight = learner._validated(X, y, sample_weight, reset=False)
        rows, groups, _ = of_weight(*learner._rows_to_train_on(X, y, weight, summary), weight)
        if not rows.weight.any():  # its classes have no weight
            return None
        learner._n_threads = effective_n_threads(self.n_jobs)
        learner._network.make_trainable(learner._n_threads)
        begin = float(part.begin)
        of_draws = [part.seed, part.place, *begin.as_integer_ratio()]
        learner._progress.random_generator = np.random.default_rng(of_draws)
        plan = learner._plan(self._n_epochs_of(summary))
        plan.part = part
        plan.learning_rate *= math.sqrt(summary.n_places)  # each takes so many steps less
        learner._run(rows, groups, plan, without_callbacks)
        return self._learnt(learner, wire_dtype, learner._draws)

    def _put_together(self, learnt, done):
        weights = np.array([one.weight for one in learnt])
        if weights.sum() > 0:
            self._draws.put_together([one.others for one in learnt], weights / weights.sum())
        return super()._put_together(learnt, done)

    @property
    def _state_bytes(self):
        return super()._state_bytes + self._draws.nbytes

    def _n_epochs_of(self, summary):
        return self._n_epochs(summary.n_rows)

    def _multiply_adds(self, summary):
        """Of training by a row."""
        return self._network.multiply_adds(summary.n_values / summary.n_rows, self.batch_size)


class ClassifierInRounds(RowSampledInRounds):
    """Mixin of the classifier."""

    def _about_targets(self, y, weight, classes):
        target_format = TargetFormat.of(y, classes)
        counts = LabelCounts.of(target_format.encode(y), weight)
        return {"target_format": target_format, "counts": counts}

    def _take_targets(self, summary):
        self._take_format(summary.target_format)

    def _rows_to_train_on(self, X, y, weight, summary):
        of_classes = self._weights_of_classes(summary.counts)
        return self._weighted_rows(X, self._format.encode(y), weight, of_classes)


class RegressorInRounds(RowSampledInRounds):
    """Mixin of the regressor."""

    def _about_targets(self, y, weight, classes):
        if classes is not None:
            raise ValueError(f"classes must be None for a regressor; got {classes!r}.")
        return {"moments": Moments.of(y, weight)}

    def _take_targets(self, summary):
        self._take_moments(summary.moments)

    def _rows_to_train_on(self, X, y, weight, summary):
        return self._standard_rows(X, y, weight)
