"""Sketches of streams: totals by key and sums of kernels in fixed memory."""

from sklsh.sketch._count_sketch import CountSketch
from sklsh.sketch._nadaraya_watson import NadarayaWatsonSketch
from sklsh.sketch._race import RACE
from sklsh.sketch._top_k import TopK

__all__ = ["RACE", "CountSketch", "NadarayaWatsonSketch", "TopK"]
