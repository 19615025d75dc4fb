"""How many operations training has taken, and how many it would have taken without sampling."""

from dataclasses import dataclass


@dataclass
class Work:
    """Counts over a network's training.

    Attributes
    ----------
    products : int
        Multiply-adds of the layers' products, forward and back. Inputs of zero count for
        none.

    hashing : int
        Additions of the hash functions, of rows and of units, and ids read from buckets.

    dense : int
        Multiply-adds of a network of the same widths without sampling. Zeros of X count for
        none; those of activations do, as it multiplies by them.
    """

    products: int = 0
    hashing: int = 0
    dense: int = 0

    def __add__(self, other):
        """Counts of both."""
        return Work(*(getattr(self, name) + n for name, n in vars(other).items()))

    def __sub__(self, earlier):
        """Counts since an earlier state."""
        return Work(*(getattr(self, name) - n for name, n in vars(earlier).items()))

    def as_dict(self):
        """The counts, and the share of all operations in the dense network's."""
        taken = self.products + self.hashing
        return vars(self) | {"share": taken / self.dense if self.dense else 0.0}
