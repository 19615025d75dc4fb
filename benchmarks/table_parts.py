"""What all tables of results share: numbers in few digits, means, and where they come from."""

import numpy as np


def source(run):
    """Where a table comes from."""
    return f"From `{run['command']}`, {run['machine']['cpu']}."


def short(value):
    """Two digits, or all of a whole number."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def mean(rows, key):
    """Mean of a figure over runs."""
    return np.mean([r[key] for r in rows])
