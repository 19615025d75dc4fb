"""What linear sketches have in common: they add, subtract, scale and merge."""

from abc import abstractmethod
from numbers import Real

import numpy as np

from sklsh._sklearn import VersionStamp


class LinearSketch(VersionStamp):
    """Operators of a sketch that is linear in its stream."""

    @abstractmethod
    def copy(self):
        """Sketch of the same stream and hash."""

    @abstractmethod
    def scale(self, factor):
        """Multiply all totals, as `*=` does."""

    @abstractmethod
    def _combine(self, other, operation):
        """Sketch <- operation(sketch, other), or ValueError if they were not drawn alike."""

    def merge(self, other):
        """Add the stream of another sketch, as `+=` does.

        Parameters
        ----------
        other : object
            Sketch of the same class, parameters and random_state.

        Returns
        -------
        self : object
            The sketch, changed.

        Raises
        ------
        ValueError
            If the two were not drawn alike; names what differs.
        """
        if not isinstance(other, type(self)):
            raise TypeError(f"other must be a {type(self).__name__}; got {type(other).__name__}.")
        return self._combine(other, np.add)

    def __add__(self, other):
        return self.copy().__iadd__(other)

    def __iadd__(self, other):
        return self._combine(other, np.add) if isinstance(other, type(self)) else NotImplemented

    def __sub__(self, other):
        return self.copy().__isub__(other)

    def __isub__(self, other):
        same = isinstance(other, type(self))
        return self._combine(other, np.subtract) if same else NotImplemented

    def __mul__(self, factor):
        return self.copy().scale(factor) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__

    def __imul__(self, factor):
        return self.scale(factor) if isinstance(factor, Real) else NotImplemented
