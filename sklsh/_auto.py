"""What the estimators' settings come to for the data at hand."""

import numpy as np

from sklsh._samplers import EXACT_BELOW

MANY_ROWS = 100_000  # from here on words are plentiful: fewer are dropped, and more is learnt
ROWS_TO_SEE = 400_000  # of fewer, in all epochs together, before a network learns them by heart
EPOCHS = 4, 10  # least and most, of fewer rows
EPOCHS_OF_MANY = 7
HIDDEN_DROPOUT = 0.2  # of sparse rows


def loss_for(loss, *, multilabel, n_classes):
    """The loss that "auto" stands for."""
    if loss != "auto":
        return loss
    if not multilabel:
        return "softmax"
    return "logistic" if n_classes <= EXACT_BELOW else "softmax_logistic"


def epochs_for(max_iter, n_rows):
    """Number of epochs: for "auto" fewer of more rows, up to where there are many."""
    if max_iter != "auto":
        return max_iter
    if n_rows >= MANY_ROWS:
        return EPOCHS_OF_MANY
    return int(np.clip(round(ROWS_TO_SEE / n_rows), *EPOCHS))


def rows_per_step(batch_size, n_rows):
    """Batch size: for "auto" the power of two nearest to a hundredth of the rows."""
    if batch_size == "auto":
        batch_size = int(2 ** np.clip(np.round(np.log2(n_rows / 100)), 4, 9))
    return min(batch_size, n_rows)


def dropout_for(input_dropout, sparse, n_rows):
    """Share of input values to drop: for "auto" less of many rows, nothing of dense ones."""
    if input_dropout != "auto":
        return input_dropout
    if not sparse:
        return 0.0
    return 0.3 if n_rows < MANY_ROWS else 0.1


def hidden_dropout_for(hidden_dropout, sparse):
    """Share of hidden units to drop: for "auto" some of sparse rows, nothing of dense ones."""
    if hidden_dropout != "auto":
        return hidden_dropout
    return HIDDEN_DROPOUT if sparse else 0.0
