"""SLIDEClassifier under NeighborBlendClassifier: the votes of the nearest training rows added."""

import time

from sklsh import NeighborBlendClassifier, SLIDEClassifier
from systems import network


class TimedClassifier(SLIDEClassifier):
    """SLIDEClassifier that knows how long its fit took."""

    def fit(self, X, y, sample_weight=None):
        """Train, and note the CPU seconds."""
        start = time.process_time()
        super().fit(X, y, sample_weight)
        self.fit_cpu_s_ = time.process_time() - start
        return self


class Model(network.Model):
    """Both at their defaults; `settings` are those of the blend."""

    def __init__(self, *, seed, folder, epochs, **settings):
        self.classifier = NeighborBlendClassifier(
            TimedClassifier(max_iter=epochs or "auto", random_state=seed, n_jobs=1),
            random_state=seed, n_jobs=1, **settings,
        )  # fmt: skip
        self.folder = folder

    def fit_parts(self, cpu_s):
        """Of the CPU seconds of `fit`, all that is not the fit of the network that is kept."""
        return {
            "search_cpu_s": cpu_s - self.classifier.estimator_.fit_cpu_s_,
            "weight": self.classifier.weight_,
        }
