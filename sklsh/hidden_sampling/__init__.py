"""Networks whose hidden layers compute a few units for each row.

A sampled layer keeps hash tables over the weights of its units. A row looks up its own codes in
them, computes the units that share most buckets with it, and passes on those of largest
activation; the way back goes by the same units. :class:`SampledNetwork` is made of such
layers, and of full ones, for :class:`sklsh.SLIDEClassifier`.
"""

from sklsh.hidden_sampling._layers import FullLayer, SampledLayer
from sklsh.hidden_sampling._network import SampledNetwork, sampled_bytes
from sklsh.hidden_sampling._units import LSHUnits, RandomUnits
from sklsh.hidden_sampling._work import Work

__all__ = [
    "FullLayer", "LSHUnits", "RandomUnits", "SampledLayer", "SampledNetwork", "Work",
    "sampled_bytes",
]  # fmt: skip
