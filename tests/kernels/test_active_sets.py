"""The kernels of steps with classes of each row's own: which are drawn, and their scores."""

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklsh._kernels import _active_sets, _rows
from sklsh._tables import HashTables

N_BITS, N_TABLES, N_CLASSES, N_ROWS = 3, 4, 150, 40
NO_CAP = 10**6


def make_codes(n, seed=0):
    """Codes of n vectors, one in nine of them -1."""
    codes = np.random.default_rng(seed).integers(0, 1 << N_BITS, (n, N_TABLES), dtype=np.int32)
    codes[4::9] = -1
    return codes


def make_labels(n_rows=N_ROWS, n_classes=N_CLASSES, seed=0):
    """(indptr, labels): distinct in a row, none in every third row."""
    rng = np.random.default_rng(seed)
    most = min(5, n_classes)
    rows = [rng.permutation(n_classes)[: rng.integers(1, most + 1) * (i % 3 > 0)]
            for i in range(n_rows)]  # fmt: skip
    labels = np.concatenate([*rows, []]).astype(np.int32)
    return np.cumsum([0, *map(len, rows)], dtype=np.int32), labels


def draw_sets(
    indptr, labels, codes, item_codes, *, sizes, bucket_cap=8, n_retrieved=20, seed=5, n_threads=1
):
    """(list of the rows' ids, how many of each are exact)."""
    tables = HashTables(len(item_codes), N_BITS, N_TABLES)
    tables.rebuild(item_codes)
    bounds = np.cumsum([0, *sizes], dtype=np.int32)
    out = np.full(bounds[-1], -7, np.int32)
    n_exact = np.full(len(sizes), -7, np.int32)
    _active_sets.draw_sets(
        indptr, labels, codes, tables.starts, tables.ids, len(item_codes), bucket_cap,
        n_retrieved, seed, bounds, out, n_exact, n_threads,
    )  # fmt: skip
    return np.split(out, bounds[1:-1])[: len(sizes)], n_exact


def check_against_twin(n_rows, n_classes, n_active, seed=0, **settings):
    (indptr, labels), codes = make_labels(n_rows, n_classes, seed), make_codes(n_rows, seed + 1)
    items = make_codes(n_classes, seed + 2)
    sizes = np.minimum(np.diff(indptr) + n_active, n_classes)
    settings = {"bucket_cap": 8, "n_retrieved": 20, "seed": 5} | settings
    rows, n_exact = draw_sets(indptr, labels, codes, items, sizes=sizes, **settings)
    settings.pop("n_threads", None)
    for i in range(n_rows):
        own = labels[indptr[i] : indptr[i + 1]].tolist()
        ids, n = reference.draw_set(
            own, codes[i], items, n_classes, row=i, size=sizes[i], **settings
        )
        assert (rows[i].tolist(), n_exact[i]) == (ids, n)


@pytest.mark.parametrize("bucket_cap", [1, 8, NO_CAP])
@pytest.mark.parametrize("n_retrieved", [0, 1, 20, NO_CAP])
@pytest.mark.parametrize("n_active", [1, 30, N_CLASSES])
def test_sets_equal_the_twin(bucket_cap, n_retrieved, n_active, n_threads):
    settings = {"bucket_cap": bucket_cap, "n_retrieved": n_retrieved, "n_threads": n_threads}
    check_against_twin(N_ROWS, N_CLASSES, n_active, **settings)


@settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    n_rows=st.integers(0, 30), n_classes=st.integers(1, 60), n_active=st.integers(0, 60),
    bucket_cap=st.integers(0, 20), n_retrieved=st.integers(0, 60), seed=st.integers(0, 99),
)  # fmt: skip
def test_sets_equal_the_twin_at_any_size(n_threads, **sizes):
    check_against_twin(**sizes, n_threads=n_threads)


def drawn(seed=5, n_threads=1, n_active=40, **settings):
    indptr, labels = make_labels()
    sizes = np.diff(indptr) + n_active
    codes, items = make_codes(N_ROWS, 1), make_codes(N_CLASSES, 2)
    return draw_sets(
        indptr, labels, codes, items, sizes=sizes, seed=seed, n_threads=n_threads, **settings
    )


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_sets_hold_labels_then_classes_of_the_buckets_and_nothing_twice(seed, n_threads):
    indptr, labels = make_labels()
    codes, items = make_codes(N_ROWS, 1), make_codes(N_CLASSES, 2)
    for i, (ids, n_exact) in enumerate(zip(*drawn(seed, n_threads), strict=True)):
        own = labels[indptr[i] : indptr[i + 1]]
        assert np.array_equal(ids[: len(own)], own)
        assert len(np.unique(ids)) == len(ids) == len(own) + 40
        assert 0 <= ids.min() and ids.max() < N_CLASSES
        retrieved = ids[len(own) : n_exact]
        assert len(retrieved) <= 20
        in_bucket = (items[retrieved] == codes[i]) & (codes[i] >= 0)
        assert in_bucket.any(axis=1).all()


def test_same_sets_at_any_thread_count_and_others_with_another_seed():
    (one, _), (two, _), (three, _) = (drawn(n_threads=n) for n in (1, 2, 3))
    for first, second, third in zip(one, two, three, strict=True):
        assert np.array_equal(first, second)
        assert np.array_equal(first, third)
    other, _ = drawn(seed=6)
    assert not all(map(np.array_equal, one, other))


def test_rows_draw_tails_of_their_own():
    indptr, labels, none = np.zeros(31, np.int32), np.zeros(0, np.int32), make_codes(30)
    none[:] = -1
    rows, n_exact = draw_sets(indptr, labels, none, make_codes(N_CLASSES), sizes=[20] * 30)
    assert not n_exact.any()
    assert len({tuple(sorted(row)) for row in rows}) == 30


def test_tail_is_uniform_over_the_classes_that_are_left():
    """In 4,000 sets of 12 from 46, and in each place of the tail."""
    n_rows, own = 4000, np.array([3, 44, 17, 9], np.int32)
    indptr = np.arange(0, 4 * n_rows + 1, 4, dtype=np.int32)
    labels, none = np.tile(own, n_rows), np.full((n_rows, N_TABLES), -1, np.int32)
    rows, n_exact = draw_sets(indptr, labels, none, make_codes(50), sizes=[16] * n_rows)
    tails = np.array(rows)[:, 4:]
    assert (n_exact == 4).all()
    left = np.setdiff1d(np.arange(50), own)
    counts = np.bincount(tails.ravel(), minlength=50)
    assert not counts[own].any()
    share = 12 / 46
    deviation = np.sqrt(n_rows * share * (1 - share))
    assert np.abs(counts[left] - n_rows * share).max() < 4 * deviation
    firsts = np.bincount(tails[:, 0], minlength=50)[left]
    assert np.abs(firsts - n_rows / 46).max() < 4 * np.sqrt(n_rows / 46)
    pairs = np.mean([(7 in tail) and (30 in tail) for tail in tails])
    both = share * 11 / 45
    assert abs(pairs - both) < 4 * np.sqrt(both * (1 - both) / n_rows)


def test_seed_chooses_what_is_read_of_a_full_bucket():
    indptr, labels, items = np.zeros(2, np.int32), np.zeros(0, np.int32), make_codes(60)
    items[:] = 2
    codes = np.full((1, N_TABLES), 2, np.int32)
    reads = []
    for seed in range(40):
        rows, n_exact = draw_sets(
            indptr, labels, codes, items, sizes=[30], bucket_cap=10, n_retrieved=10, seed=seed
        )
        assert n_exact[0] == 10
        reads.append(set(rows[0][:10].tolist()))
    assert set.union(*reads) == set(range(60))
    assert len(set(map(frozenset, reads))) > 20


# ---- scores ----


def integers(*shape, seed=0):
    """Small whole numbers: their products are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def score(hidden, table, starts, ids, n_threads=1):
    out = np.full(len(ids), np.nan, np.float32)
    _rows.score(hidden, table, starts, ids, out, n_threads)
    return out


def ragged_ids(n_rows, n_table, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 50, n_rows) * (rng.random(n_rows) < 0.8)
    starts = np.cumsum([0, *lengths], dtype=np.int32)
    return starts, rng.integers(0, n_table, starts[-1], dtype=np.int32)


@pytest.mark.parametrize("width", [1, 3, 16, 17, 48, 100, 128, 130])
@pytest.mark.parametrize("n", [0, 1, 60])
def test_scores_are_dot_products(n, width, simd_level, n_threads):
    hidden, table, (starts, ids) = (
        integers(n, width),
        integers(70, width, seed=1),
        ragged_ids(n, 70),
    )
    expected = reference.score(hidden, table, starts, ids)
    np.testing.assert_array_equal(score(hidden, table, starts, ids, n_threads), expected)


@pytest.mark.parametrize("width", [17, 128, 130])
def test_score_depends_on_its_row_and_class_alone(width, simd_level):
    rng = np.random.default_rng(0)
    hidden, table = (rng.standard_normal((n, width), dtype=np.float32) for n in (60, 70))
    starts, ids = ragged_ids(60, 70)
    one, two, three = (score(hidden, table, starts, ids, n) for n in (1, 2, 3))
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)
    bounds = np.array([0, 1], np.int32)
    for i in range(60):
        for j in range(starts[i], starts[i + 1], 7):
            assert score(hidden[i : i + 1], table, bounds, ids[j : j + 1]) == one[j]
