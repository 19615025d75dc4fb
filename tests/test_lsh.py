"""Tests of SimHash and LSHIndex."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import _memory
from sklsh.lsh import LSHIndex, SimHash

ITEMS = np.random.RandomState(0).normal(size=(800, 20)).astype(np.float32)
QUERIES = ITEMS[:60] + 0.3 * np.random.RandomState(1).normal(size=(60, 20)).astype(np.float32)


def similarities(queries, items, metric):
    queries, items = queries.astype(np.float64), items.astype(np.float64)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        items = items / np.linalg.norm(items, axis=1, keepdims=True)
    return queries @ items.T


def recall_at_10(index):
    best = np.argsort(-similarities(QUERIES, ITEMS, "cosine"), axis=1)[:, :10]
    ids, _ = index.query(QUERIES, k=10)
    return np.mean([np.isin(ids[i], best[i]).mean() for i in range(len(ids))])


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_query_ranks_the_candidates_exactly(metric, simd_level):
    index = LSHIndex(metric, random_state=0).fit(ITEMS)
    exact = similarities(QUERIES, ITEMS, metric)
    masked = np.where(index.candidates(QUERIES).toarray(), exact, -np.inf)
    expected = np.argsort(-masked, axis=1, kind="stable")[:, :5]
    ids, scores = index.query(QUERIES, k=5)
    assert_allclose(scores, np.take_along_axis(masked, expected, axis=1), rtol=1e-5)
    assert_array_equal(ids, np.where(np.isfinite(scores), expected, -1))


def test_recall_grows_with_the_number_of_tables():
    recalls = [
        recall_at_10(LSHIndex(n_tables=n, n_bits=5, random_state=0).fit(ITEMS))
        for n in (1, 4, 16, 64)
    ]
    assert (np.diff(recalls) > 0.05).all()
    assert recalls[-1] > 0.95


@pytest.mark.parametrize("n_bits", [1, 6, 12])
def test_candidates_share_a_code_in_a_table(n_bits):
    settings = {"n_bits": n_bits, "n_tables": 5, "random_state": 0}
    index, hasher = LSHIndex(**settings).fit(ITEMS), SimHash(**settings).fit(ITEMS)
    shared = hasher.transform(QUERIES)[:, None] == hasher.transform(ITEMS)[None]
    found = index.candidates(QUERIES)
    assert found.dtype == bool
    assert_array_equal(found.toarray(), shared.any(axis=2))


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_updated_index_equals_a_fresh_one(metric):
    rows, replacement = [5, 700, 31], QUERIES[[40, 41, 42]]
    updated = LSHIndex(metric, random_state=0).fit(ITEMS).update(rows, replacement)
    items = ITEMS.copy()
    items[rows] = replacement
    fresh = LSHIndex(metric, random_state=0).fit(items)
    for old, new in zip(updated.query(QUERIES), fresh.query(QUERIES), strict=True):
        assert_array_equal(old, new)
    assert (updated.candidates(QUERIES) != fresh.candidates(QUERIES)).nnz == 0
    assert updated.candidates(replacement)[[0, 1, 2], rows].all()


def read_only_map(index, path):
    joblib.dump(index, path)
    return joblib.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "store",
    [lambda index, path: pickle.loads(pickle.dumps(index)), read_only_map],
    ids=["pickle", "memory map"],
)
def test_stored_index_finds_the_same_and_can_be_updated(store, tmp_path):
    index = LSHIndex(random_state=0).fit(ITEMS)
    stored = store(index, tmp_path / "index")
    for _ in range(2):
        for old, new in zip(index.query(QUERIES), stored.query(QUERIES), strict=True):
            assert_array_equal(old, new)
        assert (index.candidates(QUERIES) != stored.candidates(QUERIES)).nnz == 0
        for each in (index, stored):
            each.update([5, 700], QUERIES[[40, 41]])


def test_cosine_ignores_length_and_dot_does_not():
    items = np.array([[1, 0], [3, 0.3]], dtype=np.float32)
    settings = {"n_bits": 1, "n_tables": 64, "random_state": 0}
    for metric, first in [("cosine", 0), ("dot", 1)]:
        ids, _ = LSHIndex(metric, **settings).fit(items).query([[1, 0]], k=2)
        assert_array_equal(ids, [[first, 1 - first]])


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_array])
def test_results_depend_neither_on_threads_nor_batch_nor_format(make, simd_level):
    ids, scores = LSHIndex(random_state=0).fit(ITEMS).query(QUERIES)
    other = LSHIndex(random_state=0, n_jobs=2).fit(make(ITEMS))
    together, alone = other.query(make(QUERIES)), other.query(make(QUERIES[7:8]))
    assert_array_equal(together[0], ids)
    assert_array_equal(together[1], scores)
    assert_array_equal(alone[0][0], ids[7])
    assert_array_equal(alone[1][0], scores[7])
    codes = SimHash(random_state=0).fit_transform(ITEMS)
    assert_array_equal(SimHash(random_state=0, n_jobs=2).fit_transform(make(ITEMS)), codes)


def test_missing_neighbours_are_minus_one_and_minus_infinity():
    index = LSHIndex(n_bits=12, n_tables=2, random_state=0).fit(ITEMS)
    ids, scores = index.query(QUERIES, k=50)
    n_found = np.asarray(index.candidates(QUERIES).sum(axis=1)).ravel()
    expected = np.arange(50) >= n_found[:, None]
    assert expected.any()
    assert_array_equal(ids == -1, expected)
    assert_array_equal(scores == -np.inf, expected)


def test_zero_vectors_have_no_code_and_are_never_found():
    items = ITEMS.copy()
    items[3] = 0
    index = LSHIndex(n_bits=1, n_tables=32, random_state=0).fit(items)
    assert (SimHash(random_state=0).fit_transform(items)[3] == -1).all()
    assert index.candidates(items)[:, [3]].nnz == 0
    assert index.candidates(items[3:4]).nnz == 0
    assert (index.query(items[3:4])[0] == -1).all()


@pytest.mark.parametrize("width", [64, 100, 256])
@pytest.mark.parametrize("plane", ["random", "axes"])
def test_codes_agree_as_often_as_the_angle_says(plane, width):
    angles = np.linspace(0, np.pi, 9)
    basis = np.eye(width)[:2]
    if plane == "random":
        basis = np.linalg.qr(np.random.RandomState(0).normal(size=(width, 2)))[0].T
    X = np.column_stack([np.cos(angles), np.sin(angles)]) @ basis
    bits = SimHash(n_bits=1, n_tables=4096, random_state=0).fit_transform(X)
    agreement = (bits == bits[0]).mean(axis=1)
    assert_allclose(agreement, 1 - angles / np.pi, atol=4 * np.sqrt(0.25 / 4096))


@pytest.mark.parametrize("width", [1, 3, 63, 64, 65, 200])
def test_any_width_can_be_hashed(width):
    X = np.random.RandomState(0).normal(size=(40, width))
    codes = SimHash(n_bits=9, n_tables=11, random_state=0).fit_transform(X)
    assert codes.shape == (40, 11)
    assert (0 <= codes).all() and (codes < 2**9).all()


@pytest.mark.parametrize("width", [1, 3, 200])
def test_codes_do_not_depend_on_length(width):
    X = np.random.RandomState(0).normal(size=(40, width))
    hasher = SimHash(n_bits=9, n_tables=11, random_state=0).fit(X)
    assert (hasher.transform(5 * X) == hasher.transform(X)).mean() > 0.999


def test_auto_bits_follow_the_bucket_size():
    loads = {size: LSHIndex(bucket_size=size, random_state=0).fit(ITEMS) for size in (2, 25, 100)}
    assert [index.n_bits_ for index in loads.values()] == [9, 5, 3]
    assert np.diff([index.bucket_load_ for index in loads.values()]).min() > 0
    assert loads[100].bucket_load_ == 100  # 800 items in 8 buckets, all of them used


@pytest.mark.parametrize(
    ["call", "message"],
    [
        pytest.param(lambda i: i.query(QUERIES, k=0), "k must .* 800; got 0", id="k=0"),
        pytest.param(lambda i: i.query(QUERIES, k=801), "k must .* 800; got 801", id="k=801"),
        pytest.param(lambda i: i.query(QUERIES, k=2.5), "k must .* got 2.5", id="k=2.5"),
        pytest.param(lambda i: i.query(QUERIES[:, :3]), "3 features", id="query width"),
        pytest.param(lambda i: i.candidates(QUERIES[:, :3]), "3 features", id="width"),
        pytest.param(lambda i: i.update([0], ITEMS[:2]), "rows must", id="row count"),
        pytest.param(lambda i: i.update([0.0], ITEMS[:1]), "rows must", id="float rows"),
        pytest.param(lambda i: i.update([[0]], ITEMS[:1]), "rows must", id="2-D rows"),
        pytest.param(lambda i: i.update([-1], ITEMS[:1]), "rows must", id="negative row"),
        pytest.param(lambda i: i.update([800], ITEMS[:1]), "rows must", id="row 800"),
        pytest.param(lambda i: i.update([0], ITEMS[:1, :3]), "3 features", id="update width"),
        pytest.param(lambda i: i.update([0], np.full((1, 20), np.nan)), "NaN", id="NaN"),
        pytest.param(lambda i: i.fit(np.full((5, 3), np.inf)), "infinity", id="infinity"),
    ],
)
def test_bad_calls_are_refused_and_leave_the_index_unchanged(call, message):
    index = LSHIndex(random_state=0).fit(ITEMS)
    before = index.query(QUERIES)
    with pytest.raises(ValueError, match=message):
        call(index)
    for old, new in zip(before, index.query(QUERIES), strict=True):
        assert_array_equal(old, new)


def test_refused_fit_leaves_the_index_unchanged(monkeypatch):
    index = LSHIndex(random_state=0).fit(ITEMS)
    before = index.query(QUERIES)
    with monkeypatch.context() as context:
        context.setattr(_memory, "available_bytes", lambda: 1000)
        with pytest.raises(MemoryError, match=r"400 rows of 5 features would take [\d,]+ bytes"):
            index.fit(ITEMS[:400, :5])
    assert_array_equal(index.query(QUERIES)[0], before[0])


@pytest.mark.parametrize(
    "setting",
    [
        {"metric": "l2"}, {"n_bits": 0}, {"n_bits": 25}, {"n_tables": 0}, {"bucket_size": 0},
        {"hash_family": "minhash"}, {"random_state": "x"}, {"n_jobs": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_out_of_range_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=f"'{next(iter(setting))}' parameter"):
        LSHIndex(**setting).fit(ITEMS)


@pytest.mark.parametrize("method", ["query", "candidates"])
def test_unfitted_index_says_so(method):
    with pytest.raises(NotFittedError):
        getattr(LSHIndex(), method)(QUERIES)
