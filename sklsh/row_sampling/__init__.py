"""Which rows a training step looks at."""

from sklsh.row_sampling._draws import RowDraws
from sklsh.row_sampling._kernel import Kernel
from sklsh.row_sampling._protocol import Exact, Observed, Pass, RowSampler, Stale, Uniform

__all__ = ["Exact", "Kernel", "Observed", "Pass", "RowDraws", "RowSampler", "Stale", "Uniform"]
