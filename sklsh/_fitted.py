"""What can be read off a fitted network, and a copy of it that keeps no training state."""

import copy
from typing import NamedTuple

from sklsh._layer_tables import PredictionTables
from sklsh._sklearn import check_is_fitted


class RoundsOfFit(NamedTuple):
    """Rounds of a fit over partitions, and what merging and learning in them have taken."""

    n_rounds: int
    merge_seconds: float
    local_seconds: float


class FittedRounds:
    """Mixin of what a fit over partitions tells, see :func:`sklsh.distributed.fit`."""

    @property
    def n_rounds_(self):
        """Rounds, after each of which models were put together; of a fit over partitions."""
        return self._rounds_of_fit("n_rounds")

    @property
    def local_seconds_(self):
        """Seconds that the busiest worker's thread learnt in each round, summed up."""
        return self._rounds_of_fit("local_seconds")

    @property
    def merge_seconds_(self):
        """Seconds of the rounds besides: to send, to merge, to schedule, to wait."""
        return self._rounds_of_fit("merge_seconds")

    def _rounds_of_fit(self, name):
        check_is_fitted(self)
        if self._progress.rounds is None:
            raise AttributeError(f"{name}_ is there only after a fit over partitions.")
        return getattr(self._progress.rounds, name)


class FittedTraining(FittedRounds):
    """Mixin of what every network and its training have."""

    @property
    def coefs_(self):
        """Weight matrices of shape (fan_in, fan_out); views, or copies of bfloat16."""
        check_is_fitted(self)
        return self._network.coefs

    @property
    def intercepts_(self):
        """Bias vectors, views."""
        check_is_fitted(self)
        return self._network.intercepts

    @property
    def n_iter_(self):
        """Epochs, over all calls."""
        check_is_fitted(self)
        return self._progress.n_epochs

    @property
    def t_(self):
        """Training steps, over all calls."""
        check_is_fitted(self)
        return self._progress.n_steps

    @property
    def loss_curve_(self):
        """Mean loss of a row in each epoch."""
        check_is_fitted(self)
        return self._progress.loss_curve

    @property
    def validation_scores_(self):
        """Score on the held-out rows after each epoch; None without early stopping."""
        check_is_fitted(self)
        return self._progress.validation_scores or None

    @property
    def best_validation_score_(self):
        """Score of the weights that the last call kept; None without early stopping."""
        check_is_fitted(self)
        return self._progress.best_validation_score

    @property
    def _network_usage(self):
        """Bytes of weights, and of optimizer state as it is and in sketches."""
        check_is_fitted(self)
        parameters = self._network.parameters
        return {
            "weights": sum(p.weights.nbytes for p in parameters),
            "optimizer": sum(p.state_bytes - p.sketch_bytes for p in parameters),
            "sketches": sum(p.sketch_bytes for p in parameters),
        }


class FittedNetwork(FittedTraining):
    """Mixin of the fitted attributes of a network over very many classes."""

    @property
    def loss_(self):
        """The loss that training ended with, "softmax" or "logistic"."""
        check_is_fitted(self)
        return self._network.loss

    @property
    def n_active_(self):
        """Mean number of classes that a row was scored against in a step."""
        check_is_fitted(self)
        return self._progress.n_active_sum / self._progress.n_steps

    @property
    def bucket_load_(self):
        """Mean number of classes in a bucket that holds any; 0 without hash tables."""
        check_is_fitted(self)
        return self._negatives.mean_load

    @property
    def memory_usage_(self):
        """Bytes of weights, optimizer state, its sketches, hash tables, and their total."""
        tables = self._negatives.table_bytes + self._network.table_bytes
        usage = self._network_usage | {"tables": tables}
        return usage | {"total": sum(usage.values())}

    def lean_copy(self):
        """Copy that predicts the same and keeps nothing that only training needs.

        Without the optimizer's state and hash tables, its pickle has about a third of the
        size under Adam. It can be trained on, with fresh moments and tables; a pickle of
        the estimator itself goes on exactly where it stopped.

        Returns
        -------
        lean : object
            Fitted estimator of the same class.
        """
        check_is_fitted(self)
        lean = copy.copy(self)
        vars(lean).update(self._lean_state())
        return lean

    def _lean_state(self):
        """Copies of what is fitted, without optimizer state and hash tables."""
        return {
            "_network": self._network.frozen(),
            "_negatives": self._negatives.without_tables(),
            "_progress": copy.deepcopy(self._progress),
            "_tables_for_prediction": PredictionTables(self._tables_for_prediction.seed),
        }
