"""What the estimators' settings come to for the data at hand."""

import numpy as np
import scipy.sparse as sp

from sklsh._coded_rows import CodedRows
from sklsh._hashing import check_n_bits, resolved_n_bits
from sklsh._kernels import _int8, _simd
from sklsh._output import shared_step_bytes
from sklsh._tables import HashTables
from sklsh.negatives import LSH, Drawn, Full, InBatch, RowLSH, RowUniform
from sklsh.optimizers import Optimizer

EXACT_BELOW = 2048  # with fewer classes sampling saves nothing: all are looked at
BYTES_A_CANDIDATE = 44  # in a step with sets of each row's own: ids, logits, columns, shifts
MANY_ROWS = 100_000  # from here on words are plentiful: fewer are dropped, and more is learnt
ROWS_TO_SEE = 400_000  # of fewer, in all epochs together, before a network learns them by heart
EPOCHS = 4, 10  # least and most, of fewer rows
EPOCHS_OF_MANY = 7
HIDDEN_DROPOUT = 0.2  # of sparse rows

SAMPLERS = {
    ("batch", "lsh"): LSH,
    ("batch", "uniform"): Drawn,
    ("batch", "in_batch"): InBatch,
    ("sample", "lsh"): RowLSH,
    ("sample", "uniform"): RowUniform,
}


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


def dropout_for(input_dropout, X):
    """Share of input values to drop: for "auto" less of many rows, nothing of dense ones."""
    if input_dropout != "auto":
        return input_dropout
    if not sp.issparse(X):
        return 0.0
    return 0.3 if X.shape[0] < MANY_ROWS else 0.1


def hidden_dropout_for(hidden_dropout, X):
    """Share of hidden units to drop: for "auto" some of sparse rows, nothing of dense ones."""
    if hidden_dropout != "auto":
        return hidden_dropout
    return HIDDEN_DROPOUT if sp.issparse(X) else 0.0


def product_dtype_for(settings, n_classes, width):
    """What products are made in: for "auto" 8-bit where sampling steps gain from it."""
    if settings.product_dtype != "auto":
        return settings.product_dtype
    sampled = sampler_class(settings, n_classes) in (LSH, Drawn, InBatch)
    optimizer = type(settings.optimizer)
    if issubclass(optimizer, Optimizer) and optimizer.step is not Optimizer.step:
        return "float32"  # 8-bit steps update the rows themselves
    fast = _simd.level() == "avx512_vnni" and width <= _int8.MAX_WIDTH
    return "int8" if sampled and fast else "float32"


def sampler_class(settings, n_classes):
    """The sampler that `active_set` and `negatives` name; all classes where few would be left.

    Raises ValueError if the two do not go together.
    """
    active_set, negatives = settings.active_set, settings.negatives
    if (active_set, negatives) == ("sample", "in_batch"):
        raise ValueError(
            'negatives="in_batch" takes the labels of other rows, and with active_set="sample" '
            'a row has classes of its own; choose "lsh" or "uniform".'
        )
    too_few = n_classes <= EXACT_BELOW
    if active_set == "sample":  # rejecting what a set has already takes long in large sets
        too_few = too_few or 2 * settings.n_active > n_classes
    if too_few or "full" in (active_set, negatives):
        return Full
    return SAMPLERS[active_set, negatives]


def make_sampler(settings, n_classes, width, seed):
    """Sampler for an output layer of `n_classes` rows, as the estimator `settings` asks.

    `width` is that of the last hidden layer.
    """
    check_n_bits(settings.n_bits, settings.hash_family)
    kind = sampler_class(settings, n_classes)
    if kind is Full:
        return Full(n_classes)
    if kind is InBatch:
        return InBatch(n_classes, settings.correction)
    tables = table_settings(settings, width) if kind in (LSH, RowLSH) else {}
    return kind(n_classes, settings.correction, n_active=settings.n_active, seed=seed, **tables)


def table_settings(settings, width):
    """Parameters of the hash tables over the output layer."""
    check_n_bits(settings.n_bits, settings.hash_family)
    return {
        "width": width,
        "hash_family": settings.hash_family,
        "n_bits": settings.n_bits,
        "n_tables": settings.n_tables,
        "bucket_size": settings.bucket_size,
        "rehash_every": settings.rehash_every,
        "rehash_growth": settings.rehash_growth,
    }


def sampler_bytes(settings, n_classes, width):
    """Bytes of the hash tables that training will use, and of what ranks their classes."""
    kind = sampler_class(settings, n_classes)
    n_bytes = table_bytes(settings, n_classes) if kind in (LSH, RowLSH) else 0
    return n_bytes + (CodedRows.bytes_needed(n_classes, width) if kind is LSH else 0)


def step_bytes(settings, n_classes, width, n_batch, n_threads):
    """Bytes that a step works on, as far as they do not depend on which labels there are."""
    kind = sampler_class(settings, n_classes)
    if kind in (RowUniform, RowLSH):
        return n_batch * settings.n_active * BYTES_A_CANDIDATE
    n = {Full: n_classes, InBatch: 0}.get(kind, min(settings.n_active, n_classes))
    product_dtype = product_dtype_for(settings, n_classes, width)
    return shared_step_bytes(
        n_batch, n, width, kind is Full, settings.dtype, product_dtype, n_threads
    )


def table_bytes(settings, n_classes):
    """Bytes of hash tables over the classes."""
    n_bits = resolved_n_bits(settings.n_bits, n_classes, settings.bucket_size, settings.hash_family)
    return HashTables.bytes_needed(n_classes, n_bits, settings.n_tables)
