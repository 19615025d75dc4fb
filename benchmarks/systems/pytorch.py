"""The network of SLIDEClassifier in PyTorch, with the whole softmax or a sampled one.

Same width, batches, initial weights, loss, optimizer and falling learning rate. The
embedding always has sparse gradients and SparseAdam. With the whole softmax the output has
dense ones and fused Adam; with a sampled one it is an embedding too, and a step sees the
batch's labels and uniform negatives that its rows share, without a correction.
"""

import numpy as np
import torch

from systems import USUAL_EPOCHS, batch_size

WIDTH = 256
RATE = 0.01


class Network:
    """Embedding sum, ReLU, softmax.

    Parameters
    ----------
    n_features, n_labels, width : int
        Sizes of input, output and hidden layer.

    n_negatives : int or None
        Uniform draws of a step; None for the whole softmax.
    """

    def __init__(self, n_features, n_labels, width, *, seed, n_negatives=None):
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.random = np.random.default_rng(seed)
        self.n_negatives = n_negatives
        sampled = n_negatives is not None
        self.embedding = torch.nn.EmbeddingBag(n_features, width, mode="sum", sparse=True)
        self.hidden_bias = torch.nn.Parameter(torch.zeros(width))
        self.output = torch.nn.Embedding(n_labels, width, sparse=sampled)
        self.output_bias = torch.nn.Embedding(n_labels, 1, sparse=sampled)
        torch.nn.init.normal_(self.embedding.weight, std=0.05)
        torch.nn.init.zeros_(self.output.weight)
        torch.nn.init.zeros_(self.output_bias.weight)
        output = [self.output.weight, self.output_bias.weight]
        sparse = [self.embedding.weight, *(output if sampled else [])]
        dense = [self.hidden_bias, *([] if sampled else output)]
        self.optimizers = [torch.optim.SparseAdam(sparse), torch.optim.Adam(dense, fused=True)]

    def train(self, X, Y, *, epochs, size, rate, before_step=None):
        """Steps on batches of `size` rows, the rate falling to 0.

        `before_step()` is called before each batch is taken.
        """
        n = X.shape[0]
        starts = range(0, n, size)
        n_steps = epochs * len(starts)
        for epoch in range(epochs):
            order = self.random.permutation(n)
            for i, first in enumerate(starts, epoch * len(starts)):
                if before_step is not None:
                    before_step()
                rows = order[first : first + size]
                self._step(X[rows], Y[rows], rate * (1 - i / n_steps))

    def _hidden(self, X):
        indices = torch.from_numpy(X.indices.astype(np.int64))
        offsets = torch.from_numpy(X.indptr[:-1].astype(np.int64))
        values = torch.from_numpy(X.data)
        summed = self.embedding(indices, offsets, per_sample_weights=values)
        return torch.relu(summed + self.hidden_bias)

    def _step(self, X, Y, rate):
        logits, labels = self._logits(self._hidden(X), Y.indices)
        n_labels = np.diff(Y.indptr)
        rows = torch.from_numpy(np.repeat(np.arange(Y.shape[0]), n_labels))
        log_partition = torch.logsumexp(logits, 1)
        loss = (log_partition[rows] - logits[rows, labels]).sum() / Y.shape[0]
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()

    def _logits(self, hidden, labels):
        """Logits of the labels looked at, and where among them the true ones stand."""
        if self.n_negatives is None:
            weights, bias = self.output.weight, self.output_bias.weight
            return hidden @ weights.T + bias.T, torch.from_numpy(labels.astype(np.int64))
        distinct, positions = np.unique(labels, return_inverse=True)
        drawn = self.random.integers(0, self.output.num_embeddings, self.n_negatives)
        ids = torch.from_numpy(np.concatenate([distinct, np.setdiff1d(drawn, distinct)]))
        logits = hidden @ self.output(ids).T + self.output_bias(ids).T
        return logits, torch.from_numpy(positions)

    @torch.no_grad()
    def top_k(self, X, k):
        """Exact top k, in blocks of rows."""
        weights, bias = self.output.weight, self.output_bias.weight
        labels = [
            (self._hidden(X[i : i + 512]) @ weights.T + bias.T).topk(k).indices
            for i in range(0, X.shape[0], 512)
        ]
        return torch.cat(labels).numpy()

    @property
    def layers(self):
        """Weights and biases."""
        output = [self.output.weight, self.output_bias.weight]
        return [self.embedding.weight, self.hidden_bias, *output]


class Model:
    """What the runner trains: `settings` are those of the Network."""

    def __init__(self, *, seed, folder, epochs, **settings):
        torch.set_num_interop_threads(1)
        self.folder, self.epochs = folder, epochs or USUAL_EPOCHS
        self.settings = settings | {"seed": seed}

    def fit_input(self, X, Y):
        """CSR; batches become tensors as they come."""
        return X, Y

    def fit(self, X, Y):
        """Train."""
        self.network = Network(X.shape[1], Y.shape[1], WIDTH, **self.settings)
        self.network.train(X, Y, epochs=self.epochs, size=batch_size(X.shape[0]), rate=RATE)

    def rows(self, X):
        """CSR again."""
        return X

    def predict(self, X, k):
        """Exact top k."""
        return self.network.top_k(X, k)

    def save(self):
        """Weights and biases, without the state of the optimizer."""
        layers = [layer.detach() for layer in self.network.layers]
        torch.save(layers, self.folder / "model.pt")
