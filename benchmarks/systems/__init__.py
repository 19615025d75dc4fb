"""The systems that benchmarks/xmc.py runs, one module each with a class `Model`.

A `Model` is made with keyword arguments (`seed`, `folder` for its files, `epochs` for a
network, None for its usual ones, and its settings) and offers

    fit_input(X, Y) -> inputs     arrays or files in its own form; not timed
    fit(*inputs)                  timed
    rows(X) -> rows               test rows in its own form; not timed
    predict(rows, k) -> labels    (n, k) ids, best first, -1 where fewer came; timed
    save()                        writes the model into `folder`, weighed there; not timed

and, where they make sense,

    candidates(rows, k) -> labels, logits    as `predict`; the logit beside -1 means nothing
    fit_parts(cpu_s) -> figures   of the CPU seconds of `fit`
    process_time() -> seconds     CPU so far, of this process and those that it has started
    peak_bytes                    of the largest process that it has started
    versions                      of packages there

X is a CSR matrix of float32, Y a CSR matrix of ones. Everything runs on one thread.
"""

from dataclasses import dataclass, field

import numpy as np

USUAL_EPOCHS = 10  # of networks that do not say how many themselves
SAMPLED_FROM = 2049  # labels; below, sklsh looks at all of them and sampling is no option


@dataclass(frozen=True)
class System:
    """What runs under a name.

    Attributes
    ----------
    title : str
        Its name in tables.

    module : str
        Module of this package that holds the `Model`.

    package : str
        Distribution whose version is noted, as pip installs it.

    settings : dict
        Keyword arguments of the `Model`.

    n_labels : tuple (least, most)
        Numbers of labels for which a run makes sense.

    rival : bool
        Whether it runs under the Python of the rivals, which want NumPy below 2.

    epochs : bool
        Whether it trains for a number of epochs.
    """

    title: str
    module: str
    package: str
    settings: dict = field(default_factory=dict)
    n_labels: tuple = (1, 10**9)
    rival: bool = False
    epochs: bool = False

    @property
    def distribution(self):
        """Name of the package."""
        return self.package.split("==")[0]


def _sklsh(title, sampled=False, module="network", **settings):
    n_labels = (SAMPLED_FROM, 10**9) if sampled else (1, 10**9)
    return System(f"sklsh, {title}", module, "sklsh", settings, n_labels, epochs=True)


def _rival(title, module, package, n_labels=(1, 10**9), **settings):
    return System(title, module, package, settings, n_labels, rival=True)


def _voted(name, rival):
    title = f"{rival.title}, with votes of neighbours"
    return System(title, "voted", "sklsh", {"rival": name}, rival.n_labels)


SYSTEMS = {
    "sklsh": _sklsh("defaults"),
    "sklsh-blend": _sklsh("with votes of neighbours", module="blend"),
    "sklsh-uniform": _sklsh('negatives="uniform"', sampled=True, negatives="uniform"),
    "sklsh-bfloat16": _sklsh('dtype="bfloat16"', sampled=True, dtype="bfloat16"),
    "sklsh-full": _sklsh('active_set="full"', sampled=True, active_set="full"),
    "sklsh-softmax": _sklsh(
        "full softmax, no dropout", active_set="full", loss="softmax",
        input_dropout=0, hidden_dropout=0,
    ),
    "pytorch-softmax": System("PyTorch, full softmax", "pytorch", "torch", epochs=True),
    "pytorch-sampled": System(
        "PyTorch, sampled softmax", "pytorch", "torch", {"n_negatives": 1000},
        (SAMPLED_FROM, 10**9), epochs=True,
    ),
    "omikuji": _rival("omikuji", "omikuji_trees", "omikuji==0.5.2"),
    "omikuji-bonsai": _rival(
        "omikuji, Bonsai", "omikuji_trees", "omikuji==0.5.2",
        cluster_balanced=False, cluster_k=100, max_depth=3,
    ),
    "pecos": _rival("PECOS XLinear", "pecos_xlinear", "libpecos==1.2.8"),
    "napkinxc-plt": _rival("napkinXC PLT", "napkinxc_linear", "napkinxc==0.7.2", kind="PLT"),
    "napkinxc-br": _rival(
        "napkinXC BR", "napkinxc_linear", "napkinxc==0.7.2", (1, SAMPLED_FROM - 1), kind="BR"
    ),
}  # fmt: skip
WITH_VOTES = ("omikuji", "omikuji-bonsai", "pecos", "napkinxc-plt")
SYSTEMS |= {f"{name}-blend": _voted(name, SYSTEMS[name]) for name in WITH_VOTES}


def batch_size(n_rows):
    """The power of two nearest to a hundredth of the rows, as in SLIDEClassifier."""
    return int(2 ** np.clip(np.round(np.log2(n_rows / 100)), 4, 9))
