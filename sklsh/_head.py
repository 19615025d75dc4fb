"""What activations pass before they meet the output layer: a length and a temperature."""

from dataclasses import dataclass

import numpy as np

SHORTEST = 1e-6  # a row of activations that is shorter is divided by this


@dataclass(frozen=True)
class Head:
    """Logits are products of the classes' rows with hidden / (temperature [|hidden|]).

    Attributes
    ----------
    temperature : float
        What logits are divided by.

    normalize : bool
        Whether activations are brought to unit length first. With class rows of unit length
        a logit is then a cosine over the temperature, beside the bias.
    """

    temperature: float = 1.0
    normalize: bool = False

    @property
    def changes_nothing(self):
        """Whether activations pass as they are."""
        return self.temperature == 1 and not self.normalize

    def apply(self, hidden):
        """What meets the output layer, (n, width) float32."""
        if self.changes_nothing:
            return hidden
        return hidden / self._divisor(hidden)

    def gradient(self, hidden, d_out):
        """Gradient by the activations, given that by what `apply` made of them."""
        if self.changes_nothing:
            return d_out
        d_hidden = d_out / self._divisor(hidden)
        if self.normalize:
            lengths = row_lengths(hidden)
            # what is divided by a constant may grow along itself
            unit = hidden / np.where(lengths > SHORTEST, lengths, np.float32(np.inf))
            along = np.einsum("ij,ij->i", unit, d_hidden)[:, None]
            d_hidden -= along * unit
        return d_hidden

    def _divisor(self, hidden):
        """What each row is divided by."""
        temperature = np.float32(self.temperature)
        if not self.normalize:
            return temperature
        return np.maximum(row_lengths(hidden), np.float32(SHORTEST)) * temperature


def row_lengths(rows):
    """Euclidean lengths, (n, 1)."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
