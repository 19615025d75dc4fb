"""omikuji: forests of label trees with linear nodes.

Its defaults are Parabel's three balanced trees; the wide, shallow ones of Bonsai have the
settings that its documentation gives. It takes one row at a time, and no seed.
"""

import numpy as np
import omikuji

from systems.lists import listed


class Model:
    """Three trees; `settings` are omikuji's own hyper-parameters."""

    def __init__(self, *, seed, folder, **settings):
        self.folder = folder
        self.hyper_parameters = omikuji.Model.default_hyper_param()
        for name, value in settings.items():
            setattr(self.hyper_parameters, name, value)

    def fit_input(self, X, Y):
        """A file in the format of the Extreme Classification Repository; `fit` reads it."""
        path = self.folder.parent / "train.txt"
        with path.open("w") as file:
            file.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n")
            for i in range(X.shape[0]):
                labels = Y.indices[Y.indptr[i] : Y.indptr[i + 1]]
                pairs = (f"{f}:{v:.7g}" for f, v in _pairs(X, i))
                file.write(f"{','.join(map(str, labels))} {' '.join(pairs)}\n")
        return (path,)

    def fit(self, path):
        """Train."""
        self.model = omikuji.Model.train_on_data(str(path), self.hyper_parameters, n_threads=1)
        self.model.init_prediction_thread_pool(1)

    def rows(self, X):
        """Lists of (feature, value)."""
        return [list(_pairs(X, i)) for i in range(X.shape[0])]

    def predict(self, rows, k):
        """Beam search, beam 10."""
        labels = np.full((len(rows), k), -1)
        for i, row in enumerate(rows):
            found = [label for label, _ in self.model.predict(row, beam_size=10, top_k=k)]
            labels[i, : len(found)] = found
        return labels

    def candidates(self, rows, k):
        """Its mean probabilities as logits."""
        found = (self.model.predict(row, beam_size=10, top_k=k) for row in rows)
        return listed(found, len(rows), k)

    def save(self):
        """Omikuji's own files."""
        self.model.save(str(self.folder))


def _pairs(X, i):
    part = slice(X.indptr[i], X.indptr[i + 1])
    return zip(X.indices[part].tolist(), X.data[part].tolist(), strict=True)
