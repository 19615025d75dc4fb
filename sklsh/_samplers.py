"""The sampler that an estimator's settings ask for, and what it takes.

`negatives` names a sampler, or says in a dict what share of the `n_active` classes comes
from where, or lists such with the share of the fit at which each begins.
"""

from numbers import Real

import numpy as np

from sklsh._coded_rows import CodedRows
from sklsh._hashing import check_n_bits, resolved_n_bits
from sklsh._kernels import _int8, _simd
from sklsh._output import shared_step_bytes
from sklsh._tables import HashTables
from sklsh.negatives import (
    LSH,
    Drawn,
    Full,
    InBatch,
    Proposal,
    RowImportance,
    RowLSH,
    RowUniform,
    Scheduled,
)
from sklsh.negatives._protocol import LOGQ
from sklsh.optimizers import Optimizer, Sketched, make_optimizer

EXACT_BELOW = 2048  # with fewer classes sampling saves nothing: all are looked at
IN_BATCH_UP_TO = 1 << 16  # classes; beyond them too few are labels of a batch
BYTES_A_CANDIDATE = 44  # in a step with sets of each row's own: ids, logits, columns, shifts
FULL = {"full": 1.0}
MIXTURES = {
    "lsh": {"lsh": 0.75, "uniform": 0.25},
    "uniform": {"uniform": 1.0},
    "log_uniform": {"log_uniform": 1.0},
    "frequency": {"frequency": 1.0},
    "in_batch": {},
    "full": FULL,
}
PARTS = "lsh", "uniform", "log_uniform", "frequency"


def stages(settings, n_classes):
    """What to sample from, by stages of the fit: list of (start, shares of the negatives)."""
    asked = check_negatives(settings, n_classes)
    too_few = n_classes <= EXACT_BELOW
    if settings.active_set == "sample":  # rejecting what a set has already takes long in large sets
        too_few = too_few or 2 * settings.n_active > n_classes
    return [(0.0, FULL)] if too_few or settings.active_set == "full" else asked


def check_negatives(settings, n_classes=0):
    """Stages that `settings` ask for, as `stages` returns them; ValueError if they cannot be."""
    automatic = isinstance(settings.negatives, str) and settings.negatives == "auto"
    asked = parsed(negatives_for(settings, n_classes) if automatic else settings.negatives)
    for _, shares in asked:
        _check_together(settings, shares)
    return asked


def negatives_for(settings, n_classes):
    """What "auto" stands for: labels alone where there are many of each class."""
    enough = n_classes <= IN_BATCH_UP_TO and settings.correction in LOGQ
    return "in_batch" if enough and settings.active_set == "batch" else "lsh"


def parsed(negatives):
    """Stages of the fit that `negatives` asks for, as `stages` returns them."""
    if not isinstance(negatives, list | tuple):
        return [(0.0, _shares(negatives, 'negatives must be "auto", a list of pairs,'))]
    starts = []
    for stage in negatives:
        if not isinstance(stage, list | tuple) or len(stage) != 2 or not _is_share(stage[0]):
            raise ValueError(
                "negatives, if a list, must hold pairs (start, negatives), start in [0, 1); got "
                f"{stage!r}."
            )
        starts.append(stage[0])
    if not starts or starts[0] != 0 or sorted(set(starts)) != starts:
        raise ValueError(f"negatives must start at 0 and then ascend; got starts {starts}.")
    return [
        (start, _shares(part, f"negatives from {start} on must be")) for start, part in negatives
    ]


def _is_share(value):
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < 1


def _shares(negatives, must_be):
    """Share of each source, summing to 1, of one stage; `must_be` begins the error."""
    if isinstance(negatives, str) and negatives in MIXTURES:
        return MIXTURES[negatives]
    if not isinstance(negatives, dict):
        raise ValueError(
            f"{must_be} one of {list(MIXTURES)} or a dict of shares; got {negatives!r}."
        )
    unknown = [name for name in negatives if name not in PARTS]
    if unknown or not negatives:
        raise ValueError(f"negatives, if a dict, must have keys of {list(PARTS)}; got {negatives}.")
    for name, share in negatives.items():
        number = isinstance(share, Real) and not isinstance(share, bool)
        if not (number and 1e-30 <= share <= 1e30):
            raise ValueError(
                f"negatives[{name!r}] must be a number from 1e-30 to 1e30; got {share!r}."
            )
    total = sum(negatives.values())
    return {name: share / total for name, share in negatives.items()}


def _check_together(settings, shares):
    """Raise ValueError for what does not go together with a stage's shares."""
    own_sets = settings.active_set == "sample"
    if own_sets and shares is not FULL and (not shares or shares.keys() - {"lsh", "uniform"}):
        raise ValueError(
            f"negatives={settings.negatives!r} are shared by a batch, and with "
            f"{settings.OWN_SETS} a row has classes of its own; choose "
            '"lsh", "uniform" or both in a dict.'
        )
    if settings.correction == "importance" and "lsh" in shares:
        if shares is not MIXTURES["lsh"] and shares.keys() != {"lsh"}:
            raise ValueError(
                'correction="importance" takes whole buckets and draws nothing beside them, as '
                f'negatives={settings.negatives!r} would; choose "lsh", or "head_tail" for both.'
            )
        if not own_sets or settings.hash_family != "dense_simhash":
            raise ValueError(
                'correction="importance" wants the probability that a row finds a class, which is '
                f'known for hash_family="dense_simhash" and {settings.OWN_SETS}. '
                '"head_tail" is unbiased for any.'
            )


def make_sampler(settings, n_classes, width, seed):
    """Sampler for an output layer of `n_classes` rows, as the estimator `settings` asks.

    `width` is that of the last hidden layer.
    """
    check_n_bits(settings.n_bits, settings.hash_family)
    made = [
        (start, _make_one(settings, shares, n_classes, width, seed))
        for start, shares in stages(settings, n_classes)
    ]
    return made[0][1] if len(made) == 1 else Scheduled(made)


def _make_one(settings, shares, n_classes, width, seed):
    correction = settings.correction
    kind = kind_of(settings, shares)
    if kind is Full:
        return Full(n_classes)
    if kind is InBatch:
        return InBatch(n_classes, correction)
    options = {"seed": seed}
    if "lsh" in shares:
        options |= table_settings(settings, width)
        options |= {"query": settings.query, "redraw_every": settings.redraw_every}
    if kind is RowImportance:
        return RowImportance(n_classes, **options)
    options["n_active"] = settings.n_active
    drawn = {name: share for name, share in shares.items() if name != "lsh"}
    if "lsh" in shares:
        options["tail"] = sum(drawn.values())
    if drawn.keys() - {"uniform"}:
        total = sum(drawn.values())
        drawn = {name: share / total for name, share in drawn.items()}
        options["proposal"] = Proposal(n_classes, drawn, settings.frequency_power)
    return kind(n_classes, correction, **options)


def kind_of(settings, shares):
    """Class of the sampler with these shares."""
    if shares is FULL:
        return Full
    if settings.active_set == "sample":
        if settings.correction == "importance" and "lsh" in shares:
            return RowImportance
        return RowLSH if "lsh" in shares else RowUniform
    if not shares:
        return InBatch
    return LSH if "lsh" in shares else Drawn


def kinds(settings, n_classes):
    """Classes of the samplers of all stages."""
    return {kind_of(settings, shares) for _, shares in stages(settings, n_classes)}


def product_dtype_for(settings, n_classes, width):
    """What products are made in: for "auto" 8-bit where sampling steps gain from it."""
    linear = np.size(settings.hidden_layer_sizes) == 0  # its rows may hold negative numbers
    if linear and settings.product_dtype == "int8":
        raise ValueError(
            'product_dtype="int8" wants activations of a hidden layer, which are not negative; '
            'with hidden_layer_sizes=() choose "float32".'
        )
    optimizer = make_optimizer(settings.optimizer)
    if settings.product_dtype == "int8" and isinstance(optimizer, Sketched):
        raise ValueError(
            'product_dtype="int8" wants an optimizer with state for each row, as 8-bit steps '
            f"update the rows themselves; optimizer={settings.optimizer!r} keeps it in sketches. "
            'Choose "float32" or "auto".'
        )
    if settings.product_dtype != "auto":
        return settings.product_dtype
    sampled = kinds(settings, n_classes) <= {LSH, Drawn, InBatch}
    if type(optimizer).step is not Optimizer.step:
        return "float32"  # 8-bit steps update the rows themselves
    fast = _simd.level() == "avx512_vnni" and width <= _int8.MAX_WIDTH
    return "int8" if sampled and fast and not linear else "float32"


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
    used = kinds(settings, n_classes)
    n_bytes = table_bytes(settings, n_classes) if used & {LSH, RowLSH, RowImportance} else 0
    return n_bytes + (CodedRows.bytes_needed(n_classes, width) if LSH in used else 0)


def step_bytes(settings, n_classes, width, n_batch, n_threads):
    """Bytes that a step works on, as far as they do not depend on which labels there are."""
    product_dtype = product_dtype_for(settings, n_classes, width)

    def of(kind):
        if kind in (RowUniform, RowLSH, RowImportance):
            return n_batch * settings.n_active * BYTES_A_CANDIDATE
        n = {Full: n_classes, InBatch: 0}.get(kind, min(settings.n_active, n_classes))
        return shared_step_bytes(
            n_batch, n, width, kind is Full, settings.dtype, product_dtype, n_threads
        )

    return max(of(kind) for kind in kinds(settings, n_classes))


def table_bytes(settings, n_classes):
    """Bytes of hash tables over the classes."""
    n_bits = resolved_n_bits(settings.n_bits, n_classes, settings.bucket_size, settings.hash_family)
    return HashTables.bytes_needed(n_classes, n_bits, settings.n_tables)
