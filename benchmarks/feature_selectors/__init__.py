"""The systems that benchmarks/mission.py lets choose features.

Each is a class, made with the keyword arguments `n_features_to_select`, `passes`, `seed`, its
settings and, for one that fits in another process, `python` and a `folder` for files. It offers

    inputs(data) -> inputs     training rows of a sparse_support.Data in its own form; not timed
    fit(*inputs)               timed, on one thread
    ranked(data) -> ids        the chosen features, best first; None if it cannot name them
    n_bytes                    of the model, as it is kept between batches

and, where it fits in another process, what that took, without start and imports:

    cpu_s, peak_bytes
"""

from dataclasses import dataclass, field
from importlib import import_module


@dataclass(frozen=True)
class System:
    """What runs under a name.

    Attributes
    ----------
    title : str
        Its name in tables.

    kind : str
        Module of this package, and its class.

    settings : dict
        Keyword arguments of the class.

    wide : bool
        Whether its columns may have ids beyond 32 bits.

    slow : bool
        Whether one fit is enough.

    rival : bool
        Whether it fits under the Python of the rivals.
    """

    title: str
    kind: str
    settings: dict = field(default_factory=dict)
    wide: bool = False
    slow: bool = False
    rival: bool = False

    @property
    def ours(self):
        """Whether it takes a number of threads."""
        return self.kind.startswith("sketched")

    def make(self, **arguments):
        """The system, with its settings and more arguments."""
        module, name = self.kind.split(".")
        return getattr(import_module(f"feature_selectors.{module}"), name)(
            **self.settings, **arguments
        )


DEFAULTS = {"max_iter": "auto"}  # in place of the passes of all others
PAPER = {"mode": "mission", "width": 2**18, "depth": 3}
L1 = {"loss": "log_loss", "penalty": "l1", "alpha": 1e-4}
CONSTANT = L1 | {"learning_rate": "constant", "eta0": 0.01}
VOWPAL = {"options": "--loss_function logistic -b 22 --l1 1e-6"}
SYSTEMS = {
    "defaults": System("MISSIONSelector, defaults", "sketched.Matrix", DEFAULTS, wide=True),
    "active": System("MISSIONSelector", "sketched.Matrix", wide=True),
    "mission": System(
        'MISSIONSelector, mode="mission", 3 x 2^18 cells', "sketched.Matrix", PAPER, wide=True
    ),
    "sgd": System("SGDClassifier, l1", "linear.Descent", L1),
    "sgd-constant": System("SGDClassifier, l1, constant rate .01", "linear.Descent", CONSTANT),
    "chi2": System("SelectKBest(chi2)", "linear.ChiSquared", slow=True),
    "liblinear": System("SelectFromModel(LinearSVC, l1)", "linear.Liblinear", slow=True),
    "tokens": System("MISSIONHashSelector, from strings", "sketched.Tokens", wide=True),
    "hasher": System(
        "FeatureHasher and SGDClassifier, l1, from strings", "linear.HashedDescent", CONSTANT,
        wide=True, slow=True,
    ),
    "vowpal": System("Vowpal Wabbit, from text", "wabbit.Wabbit", VOWPAL, wide=True, rival=True),
    "vowpal-names": System(
        "Vowpal Wabbit, from text, names kept", "wabbit.Wabbit", VOWPAL | {"names": True},
        wide=True, slow=True, rival=True,
    ),
}  # fmt: skip
