"""Learning at extreme scale on ordinary CPUs, by sampling or sketching the expensive sums."""

from sklsh._show_versions import show_versions
from sklsh._version import __version__
from sklsh.kernel_sgd import KernelSampledSGD, KernelSampledSGDRegressor
from sklsh.lsh_softmax import LSHSoftmaxClassifier
from sklsh.mission import (
    MISSIONClassifier,
    MISSIONHashSelector,
    MISSIONRegressor,
    MISSIONSelector,
)
from sklsh.neighbors import NeighborBlendClassifier
from sklsh.sampled_fit import SampledFit
from sklsh.slide import SLIDEClassifier

__all__ = [
    "KernelSampledSGD",
    "KernelSampledSGDRegressor",
    "LSHSoftmaxClassifier",
    "MISSIONClassifier",
    "MISSIONHashSelector",
    "MISSIONRegressor",
    "MISSIONSelector",
    "NeighborBlendClassifier",
    "SLIDEClassifier",
    "SampledFit",
    "__version__",
    "show_versions",
]
