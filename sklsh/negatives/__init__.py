"""Negatives: which classes a training step looks at, and what each stands for.

A sampler's `draw` returns the candidates of a batch: one set that its rows share
(:class:`Candidates`), or one set for each row (:class:`RowCandidates`). They begin with
labels. In a shared set every row finds its own among them, and every other row's labels
are negatives for it at no cost. After the step, `refresh` is told which rows of the
output layer have changed.

:class:`LSHSampler` stands alone: it samples items by hash tables with known probabilities,
and estimates the sum over all of them, the softmax's partition function.
"""

from sklsh.negatives._importance import RowImportance
from sklsh.negatives._lsh_sampler import LSHSampler
from sklsh.negatives._per_row import RowLSH, RowUniform
from sklsh.negatives._proposals import Proposal, UniformProposal
from sklsh.negatives._protocol import Candidates, Full, RowCandidates, Sampler
from sklsh.negatives._scheduled import Scheduled
from sklsh.negatives._shared import LSH, Drawn, InBatch

__all__ = [
    "Candidates",
    "Drawn",
    "Full",
    "InBatch",
    "LSH",
    "LSHSampler",
    "Proposal",
    "RowCandidates",
    "RowImportance",
    "RowLSH",
    "RowUniform",
    "Sampler",
    "Scheduled",
    "UniformProposal",
]
