"""What benchmarks/kernels.py times: each kernel on data, and NumPy or SciPy doing the same."""

from cases import products, rows  # noqa: F401, each enters its kernels
from cases.base import KERNELS, Sizes

__all__ = ["KERNELS", "Sizes"]
