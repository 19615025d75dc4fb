"""Training that is spread over processes: what they tell each other, in few bytes."""

from sklsh.distributed._compressor import SketchCompressor

__all__ = ["SketchCompressor"]
