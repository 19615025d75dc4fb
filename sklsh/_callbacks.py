"""scikit-learn's callbacks around a fit that goes in epochs."""

from contextlib import contextmanager
from types import SimpleNamespace

from sklsh._sklearn import CallbackSupportMixin


class EpochCallbacks(CallbackSupportMixin):
    """Mixin: one task a fit, and in it one an epoch.

    An estimator has the parameter `verbose`, tells of its last epoch in `_epoch_line`, and in
    `_reconstruction_attributes` what it needs to predict as if training had ended now.
    """

    @contextmanager
    def _fit_task(self, X, y, metadata, n_epochs):
        """Callbacks around fit; yields the context manager of an epoch."""
        data = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        attributes = self._reconstruction_attributes
        fit_task = self._init_callback_context(max_subtasks=n_epochs)
        fit_task.call_on_fit_task_begin(**data)

        @contextmanager
        def on_epoch(epoch):
            task = fit_task.subcontext(task_name="epoch")
            task.call_on_fit_task_begin(**data)
            outcome = SimpleNamespace(stop=False)
            yield outcome
            if self.verbose:
                print(self._epoch_line())
            outcome.stop = task.call_on_fit_task_end(**data, reconstruction_attributes=attributes)

        yield on_epoch
        fit_task.call_on_fit_task_end(**data, reconstruction_attributes=attributes)


@contextmanager
def without_callbacks(epoch):
    """Stand-in for an epoch's callbacks where there are none."""
    yield SimpleNamespace(stop=False)
