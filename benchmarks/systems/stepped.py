"""What benchmarks/width.py trains for an epoch, batch by batch, under names.

All train the same network with the same loss: a plain softmax over the batch's labels and
its negatives, without a correction. `settings` of sklsh are parameters of SLIDEClassifier;
"row" in a title stands for Adam without a first moment and with one second moment a row, "int8"
for dense products of 8-bit integers.
"""

from dataclasses import dataclass, field

from roofline import Step

from sklsh import SLIDEClassifier
from sklsh.optimizers import Adam, CSRMSprop


class Pausing:
    """Mixin of networks over classes: calls `pause()` before each training step."""

    def _train(self, *args):
        step = self._network.train_step

        def pausing_step(*batch, **settings):
            self.pause()
            return step(*batch, **settings)

        self._network.train_step = pausing_step
        try:
            super()._train(*args)
        finally:
            del self._network.train_step


class PausingClassifier(Pausing, SLIDEClassifier):
    """SLIDEClassifier with pauses."""


class Sklsh:
    """One epoch of SLIDEClassifier."""

    def __init__(self, args, seed, n_threads=1, **settings):
        self.model = PausingClassifier(
            args.hidden, loss="softmax", correction="none", n_active=args.negatives,
            batch_size=args.batch, learning_rate_init=args.rate, input_dropout=0,
            hidden_dropout=0, max_iter=1, product_dtype="float32", random_state=seed,
            n_jobs=n_threads,
        ).set_params(**settings)  # fmt: skip

    def train(self, X, Y, pause):
        """Train, calling pause() before each batch."""
        self.model.pause = pause
        self.model.fit(X, Y)

    def best(self, X):
        """The best label of each row, (n, 1)."""
        return self.model.predict_top_k(X, k=1)[0]

    @property
    def n_bytes(self):
        """Of the parameters, and of the optimizer's state."""
        usage = self.model.memory_usage_
        return usage["weights"], usage["optimizer"] + usage["sketches"]

    def work(self, X, Y, system):
        """What a training step has to do, as a roofline.Step; `system` is its Stepped."""
        weights, state = self.n_bytes
        stored = 2 if self.model.dtype == "bfloat16" else 4
        return Step.of(
            X, Y, self.model.batch_size, None if system.full else self.model.n_active,
            width=self.model.hidden_layer_sizes, weight_bytes=stored,
            state_bytes=state / weights * stored, precision=self.model.product_dtype,
        )  # fmt: skip


class PyTorch:
    """One epoch of the same network in PyTorch."""

    def __init__(self, args, seed, full=False):
        self.args, self.seed = args, seed
        self.n_negatives = None if full else args.negatives

    def train(self, X, Y, pause):
        """Train, calling pause() before each batch."""
        from systems.pytorch import Network

        sizes = X.shape[1], Y.shape[1], self.args.hidden
        self.network = Network(*sizes, seed=self.seed, n_negatives=self.n_negatives)
        self.network.train(
            X, Y, epochs=1, size=self.args.batch, rate=self.args.rate, before_step=pause
        )

    def best(self, X):
        """The best label of each row, (n, 1)."""
        return self.network.top_k(X, 1)

    @property
    def n_bytes(self):
        """Of the parameters, and of the optimizer's state."""
        weights = sum(layer.numel() * layer.element_size() for layer in self.network.layers)
        return weights, 2 * weights


@dataclass(frozen=True)
class Stepped:
    """What trains under a name.

    Attributes
    ----------
    title : str
        Its name in tables.

    kind : type
        Sklsh or PyTorch.

    settings : dict
        What sets it apart.

    full : bool
        Whether it looks at all labels, which takes so long that a few batches must do.
    """

    title: str
    kind: type
    settings: dict = field(default_factory=dict)
    full: bool = False

    @property
    def ours(self):
        """Whether it is one of sklsh's."""
        return self.kind is Sklsh


def _sklsh(title, full=False, **settings):
    return Stepped(f"sklsh, {title}", Sklsh, settings, full)


ROW = Adam(beta_1=0, second_moment="row")  # one number of state for a row
TENTH = CSRMSprop(compression=0.1)

SYSTEMS = {
    "pytorch": Stepped("PyTorch, uniform", PyTorch),
    "pytorch-full": Stepped("PyTorch, full softmax", PyTorch, {"full": True}, full=True),
    "uniform": _sklsh("uniform", negatives="uniform"),
    "uniform-bfloat16": _sklsh("uniform, bfloat16", negatives="uniform", dtype="bfloat16"),
    "uniform-int8": _sklsh("uniform, int8", negatives="uniform", product_dtype="int8"),
    "uniform-row": _sklsh("uniform, row", negatives="uniform", optimizer=ROW),
    "uniform-row-int8": _sklsh(
        "uniform, row, int8", negatives="uniform", optimizer=ROW, product_dtype="int8"
    ),
    "lsh": _sklsh("lsh", negatives="lsh"),
    "lsh-int8": _sklsh("lsh, int8", negatives="lsh", product_dtype="int8"),
    "lsh-row-int8": _sklsh(
        "lsh, row, int8", negatives="lsh", optimizer=ROW, product_dtype="int8"
    ),
    "lsh-cs-adam": _sklsh("lsh, cs_adam", negatives="lsh", optimizer="cs_adam"),
    "lsh-cs-rmsprop": _sklsh("lsh, cs_rmsprop, 10 %", negatives="lsh", optimizer=TENTH),
    "full": _sklsh("full softmax", full=True, active_set="full"),
}  # fmt: skip
USUAL = (
    "pytorch", "pytorch-full", "uniform", "uniform-int8", "uniform-row", "uniform-row-int8",
    "lsh-int8", "lsh-row-int8", "full",
)  # fmt: skip
