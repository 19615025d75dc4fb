"""What can be read off a fitted model that has drawn its rows."""

from sklsh._fitted import FittedTraining
from sklsh._row_samplers import DrawFacts


class FittedDraws(DrawFacts, FittedTraining):
    """Mixin of the fitted attributes."""

    @property
    def coef_(self):
        """Weights of a linear model, (n_outputs, `n_features_in_`)."""
        return self._linear_part(self.coefs_).T

    @property
    def intercept_(self):
        """Bias of a linear model, (n_outputs,)."""
        return self._linear_part(self.intercepts_)

    def _linear_part(self, parts):
        if len(parts) > 1:
            raise AttributeError("only a model without hidden layers has coef_ and intercept_.")
        return parts[0]

    @property
    def memory_usage_(self):
        """Bytes of weights, optimizer state, its sketches, sampler of rows, and their total."""
        usage = self._network_usage | {"sampler": self._draws.sampler.nbytes}
        return usage | {"total": sum(usage.values())}
