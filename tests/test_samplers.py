"""What sampler the settings of an estimator make, in what stages, and what it takes."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklsh import LSHSoftmaxClassifier, SLIDEClassifier
from sklsh._samplers import (
    EXACT_BELOW,
    IN_BATCH_UP_TO,
    kinds,
    make_sampler,
    parsed,
    product_dtype_for,
    sampler_bytes,
    stages,
    step_bytes,
)
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
    UniformProposal,
)
from sklsh.optimizers import Adam

N_CLASSES, WIDTH = 5000, 32
OWN = {"share_negatives": False}
GAUSSIAN = {"hash_family": "dense_simhash", "correction": "importance"}


def made(n_classes=N_CLASSES, **settings):
    return make_sampler(LSHSoftmaxClassifier(**settings), n_classes, WIDTH, seed=0)


@pytest.mark.parametrize(
    ["negatives", "expected"],
    [
        ("lsh", [(0, {"lsh": 0.75, "uniform": 0.25})]),
        ("in_batch", [(0, {})]),
        ({"lsh": 3, "frequency": 1}, [(0, {"lsh": 0.75, "frequency": 0.25})]),
        ({"uniform": np.float32(2)}, [(0, {"uniform": 1})]),
        ({"lsh": 1e-30, "uniform": 1e30}, [(0, {"lsh": 1e-60, "uniform": 1})]),
        (
            [(0, "uniform"), [Fraction(1, 3), {"log_uniform": 7}], (0.5, "full")],
            [(0, {"uniform": 1}), (Fraction(1, 3), {"log_uniform": 1}), (0.5, {"full": 1})],
        ),
        (((0, "frequency"), (0.9, "uniform")), [(0, {"frequency": 1}), (0.9, {"uniform": 1})]),
    ],
    ids=str,
)  # fmt: skip
def test_negatives_are_read_as_stages_of_shares(negatives, expected):
    found = parsed(negatives)
    assert [start for start, _ in found] == [start for start, _ in expected]
    for (_, shares), (_, wanted) in zip(found, expected, strict=True):
        assert shares == pytest.approx(wanted)


@pytest.mark.parametrize(
    ["settings", "kind"],
    [
        ({"negatives": "lsh"}, LSH), ({"negatives": "uniform"}, Drawn),
        ({"negatives": "frequency"}, Drawn),
        ({"negatives": "in_batch"}, InBatch), ({"negatives": "full"}, Full),
        ({"negatives": {"lsh": 1, "log_uniform": 1}}, LSH), (OWN, RowLSH),
        (OWN | {"negatives": "uniform"}, RowUniform), (OWN | GAUSSIAN, RowImportance),
        (OWN | GAUSSIAN | {"negatives": "uniform"}, RowUniform),
        (OWN | {"negatives": "full"}, Full), (OWN | {"n_active": 2501}, Full),
        (OWN | {"n_active": 2500}, RowLSH), ({"negatives": "lsh", "n_active": 10**6}, LSH),
        ({"negatives": [(0, "lsh"), (0.5, "in_batch")]}, Scheduled),
    ],
    ids=str,
)  # fmt: skip
def test_settings_make_the_sampler_they_name(settings, kind):
    assert type(made(**settings)) is kind
    assert type(made(EXACT_BELOW, **settings)) is Full


def test_one_class_more_is_sampled():
    assert type(made(EXACT_BELOW + 1)) is InBatch
    assert type(made(EXACT_BELOW + 1, n_active=1000, **OWN)) is RowLSH


def test_stages_are_samplers_with_their_starts():
    sampler = made(negatives=[(0, "lsh"), (0.25, "full"), (0.5, {"frequency": 1})])
    assert [(start, type(s)) for start, s in sampler.stages] == [
        (0, LSH), (0.25, Full), (0.5, Drawn),
    ]  # fmt: skip


def test_settings_reach_the_sampler():
    settings = {
        "n_active": 300, "query": "label", "redraw_every": 17, "n_bits": 6, "n_tables": 3,
        "bucket_size": 9, "rehash_every": 11, "rehash_growth": 1.7, "correction": "logq",
    }  # fmt: skip
    sampler = made(
        negatives={"lsh": 1, "frequency": 2, "uniform": 1}, frequency_power=0.5, **settings
    )
    tables = sampler.tables
    assert (sampler.n_active, sampler.query, sampler.correction) == (300, "label", "logq")
    assert (tables.redraw_every, tables.period, tables.rehash_growth) == (17, 11, 1.7)
    assert (tables.hasher.n_bits, tables.hasher.n_tables, tables.bucket_cap) == (6, 3, 12)
    assert sampler.tail == 0.75
    expected = Proposal(N_CLASSES, {"frequency": 2 / 3, "uniform": 1 / 3}, 0.5)
    for proposal in (sampler.proposal, expected):
        proposal.note_labels(np.arange(N_CLASSES))
    assert_allclose(sampler.proposal.probabilities, expected.probabilities)


@pytest.mark.parametrize("negatives", ["lsh", "uniform", {"lsh": 1, "uniform": 3}], ids=str)
def test_uniform_tails_are_drawn_without_replacement(negatives):
    assert isinstance(made(negatives=negatives).proposal, UniformProposal)


def test_all_stages_count_for_what_training_takes():
    few, many = "in_batch", [(0, "in_batch"), (0.5, "lsh"), (0.9, "full")]
    model = LSHSoftmaxClassifier(negatives=many, n_active=100)
    assert kinds(model, N_CLASSES) == {InBatch, LSH, Full}
    assert sampler_bytes(model, N_CLASSES, WIDTH) > 0
    least = LSHSoftmaxClassifier(negatives=few, n_active=100)
    assert sampler_bytes(least, N_CLASSES, WIDTH) == 0
    full = LSHSoftmaxClassifier(negatives="full", n_active=100)
    sizes = [step_bytes(m, N_CLASSES, WIDTH, 64, 1) for m in (least, model, full)]
    assert sizes[0] < sizes[1] == sizes[2]


@pytest.mark.parametrize("settings", [{}, OWN, OWN | GAUSSIAN], ids=str)
def test_bytes_are_those_of_the_tables_that_are_made(settings):
    fitted = {"max_iter": 1, "learning_rate_init": 1e-4, "random_state": 0, "n_active": 50}
    model = LSHSoftmaxClassifier((8,), **fitted, **settings)
    y = np.arange(6000) % 3000
    model.fit(np.random.RandomState(0).normal(size=(6000, 4)), y)
    assert model.memory_usage_["tables"] == pytest.approx(sampler_bytes(model, 3000, 8), rel=0.05)


@pytest.mark.parametrize(
    ["settings", "level", "expected"],
    [
        ({}, "avx512_vnni", "int8"), ({}, "avx2", "float32"),
        ({"hidden_layer_sizes": ()}, "avx512_vnni", "float32"),
        (OWN, "avx512_vnni", "float32"), ({"negatives": "full"}, "avx512_vnni", "float32"),
        ({"negatives": [(0, "lsh"), (0.5, "full")]}, "avx512_vnni", "float32"),
        ({"negatives": [(0, "lsh"), (0.5, "frequency")]}, "avx512_vnni", "int8"),
        ({"negatives": "full", "product_dtype": "int8"}, "avx2", "int8"),
        ({"product_dtype": "float32"}, "avx512_vnni", "float32"),
        ({"optimizer": Adam()}, "avx512_vnni", "int8"),
    ],
    ids=str,
)  # fmt: skip
def test_products_are_8_bit_where_sampling_gains_from_it(settings, level, expected, monkeypatch):
    monkeypatch.setattr("sklsh._samplers._simd.level", lambda: level)
    assert product_dtype_for(LSHSoftmaxClassifier(**settings), N_CLASSES, WIDTH) == expected


@pytest.mark.parametrize("negatives", ["lsh", "uniform", "in_batch", "full"])
@pytest.mark.parametrize("active_set", ["batch", "full"])
def test_slide_has_the_same_stages(negatives, active_set):
    model = SLIDEClassifier(negatives=negatives, active_set=active_set)
    expected = parsed("full" if active_set == "full" else negatives)
    assert stages(model, N_CLASSES) == expected


@pytest.mark.parametrize(
    ["n_classes", "settings", "kind"],
    [
        (EXACT_BELOW, {}, Full), (5000, {}, InBatch), (IN_BATCH_UP_TO, {}, InBatch),
        (IN_BATCH_UP_TO + 1, {}, LSH), (5000, {"correction": "half_logq"}, InBatch),
        (5000, {"correction": "head_tail"}, LSH), (5000, {"correction": "none"}, LSH),
        (5000, OWN, RowLSH),
    ],
    ids=str,
)  # fmt: skip
def test_auto_leaves_labels_alone_where_their_shares_make_up_for_the_rest(
    n_classes, settings, kind
):
    assert isinstance(made(n_classes, **settings), kind)
