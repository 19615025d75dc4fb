"""What activations pass before they meet the output layer: a length and a temperature."""

from dataclasses import dataclass

import numpy as np

SHORTEST = 1e-6  # an activation of less than this length keeps it


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
        divisor = self._divisor(hidden)
        d_hidden = d_out / divisor
        if self.normalize:
            unit = hidden / (divisor / np.float32(self.temperature))
            along = np.einsum("ij,ij->i", unit, d_hidden)[:, None]
            d_hidden -= along * unit
        return d_hidden

    def _divisor(self, hidden):
        """What each row is divided by."""
        temperature = np.float32(self.temperature)
        if not self.normalize:
            return temperature
        lengths = np.sqrt(np.einsum("ij,ij->i", hidden, hidden))[:, None]
        return np.maximum(lengths, np.float32(SHORTEST)) * temperature
