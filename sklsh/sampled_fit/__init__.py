"""Draws of rows around any estimator that learns in batches."""

from sklsh.sampled_fit._estimator import SampledFit

__all__ = ["SampledFit"]
