"""SLIDEClassifier."""

import joblib

from sklsh import SLIDEClassifier


class Model:
    """The classifier with `settings`, all else at its defaults."""

    def __init__(self, *, seed, folder, epochs, **settings):
        settings |= {"max_iter": epochs or "auto", "random_state": seed, "n_jobs": 1}
        self.classifier = SLIDEClassifier(**settings)
        self.folder = folder

    def fit_input(self, X, Y):
        """CSR is what the classifier reads."""
        return X, Y

    def fit(self, X, Y):
        """Train."""
        self.classifier.fit(X, Y)

    def rows(self, X):
        """CSR again."""
        return X

    def predict(self, X, k):
        """Exact top k."""
        return self.classifier.predict_top_k(X, k)[0]

    def candidates(self, X, k):
        """Exact top k and their logits."""
        return self.classifier.predict_top_k(X, k)

    def save(self):
        """What predicting needs, without the state of the optimizer."""
        joblib.dump(self.classifier.lean_copy(), self.folder / "model.joblib")
