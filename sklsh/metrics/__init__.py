"""Metrics of ranked label predictions, and scorers that ask an estimator for the ranking."""

from sklsh.metrics._propensities import jain_propensities
from sklsh.metrics._ranking import ndcg_at_k, precision_at_k, psp_at_k, recall_at_k
from sklsh.metrics._scorers import (
    ndcg_at_k_scorer,
    precision_at_k_scorer,
    psp_at_k_scorer,
    recall_at_k_scorer,
)

__all__ = [
    "jain_propensities",
    "ndcg_at_k",
    "ndcg_at_k_scorer",
    "precision_at_k",
    "precision_at_k_scorer",
    "psp_at_k",
    "psp_at_k_scorer",
    "recall_at_k",
    "recall_at_k_scorer",
]
