"""Sketches of streams: totals by key in fixed memory, and the keys of largest total."""

from sklsh.sketch._count_sketch import CountSketch
from sklsh.sketch._top_k import TopK

__all__ = ["CountSketch", "TopK"]
