"""SLIDEClassifier."""

import numpy as np

from sklsh import SLIDEClassifier


class Model:
    """The classifier with `settings`, all else at its defaults."""

    def __init__(self, *, seed, folder, epochs, **settings):
        self.classifier = SLIDEClassifier(max_iter=epochs, random_state=seed, n_jobs=1, **settings)
        self.folder = folder

    def fit_input(self, X, Y):
        """CSR is what the classifier reads."""
        return X, Y

    def fit(self, X, Y):
        """Train."""
        self.classifier.fit(X, Y)

    def save(self):
        """Weights and biases, without the state of the optimizer."""
        weights = [*self.classifier.coefs_, *self.classifier.intercepts_]
        np.savez(self.folder / "model.npz", *weights)

    def rows(self, X):
        """CSR again."""
        return X

    def predict(self, X, k):
        """Exact top k."""
        return self.classifier.predict_top_k(X, k)[0]
