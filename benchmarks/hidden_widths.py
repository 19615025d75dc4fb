"""Training steps of networks with one wide hidden layer, which take turns."""

import time

import numpy as np
from sklearn.utils import gen_batches

from sklsh import SLIDEClassifier

N_FEATURES, N_CLASSES = 784, 10
BATCH = 256
BATCHES = 8  # of a turn, after which units are hashed again
FILLED = 0.2  # of a row's values, as in mnist


def sampled(share):
    """Steps of a network that keeps a share of the units."""
    return lambda width: ours(width, hidden_sampling="lsh", max_active=share)


def ours(width, **settings):
    """A model's turn on some batches, and the units that a row keeps."""
    model = SLIDEClassifier(
        (width,), batch_size=BATCH, learning_rate_init=1e-3, random_state=0, **settings
    )
    classes = np.arange(N_CLASSES)
    share = settings.get("max_active", 1.0)

    def turn(X, y):
        model.partial_fit(X, y, classes=classes)

    return turn, round(share * width)


def pytorch(width):
    """The same network with dense products and Adam."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(N_FEATURES, width), torch.nn.ReLU(), torch.nn.Linear(width, N_CLASSES)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def turn(X, y):
        for rows in gen_batches(len(y), BATCH):
            optimizer.zero_grad()
            logits = model(torch.from_numpy(X[rows]))
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(y[rows])).backward()
            optimizer.step()

    return turn, width


MODELS = {
    "5 %": sampled(0.05), "1 %": sampled(0.01), "0.2 %": sampled(0.002), "dense": ours,
    "PyTorch": pytorch,
}  # fmt: skip


def us_per_row(width, names, n_turns):
    """Median CPU microseconds of a row over the turns, and the units kept: {name: (us, n)}."""
    rng = np.random.default_rng(0)
    made = {name: MODELS[name](width) for name in names}
    spent = {name: [] for name in names}
    for turn in range(n_turns + 1):
        X = rng.random((BATCHES * BATCH, N_FEATURES), dtype=np.float32)
        X *= rng.random(X.shape) < FILLED
        y = rng.integers(N_CLASSES, size=len(X))
        for name, (train, _) in made.items():
            start = time.process_time()
            train(X, y)
            if turn:  # the first makes the model
                spent[name].append((time.process_time() - start) / len(X) * 1e6)
    return {name: (float(np.median(spent[name])), made[name][1]) for name in names}
