"""Networks and linear models trained on the rows that still teach."""

from sklsh.kernel_sgd._classifier import KernelSampledSGD
from sklsh.kernel_sgd._regressor import KernelSampledSGDRegressor

__all__ = ["KernelSampledSGD", "KernelSampledSGDRegressor"]
