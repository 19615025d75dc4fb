"""Tests of SimHash, DWTA and LSHIndex."""

import pickle
from functools import partial

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklsh import _memory
from sklsh._hashing import make_hasher
from sklsh.lsh import DWTA, LSHIndex, SimHash

ITEMS = np.random.RandomState(0).normal(size=(800, 20)).astype(np.float32)
QUERIES = ITEMS[:60] + 0.3 * np.random.RandomState(1).normal(size=(60, 20)).astype(np.float32)

TRANSFORMERS = {  # family: its transformer
    "simhash": SimHash,
    "dense_simhash": partial(SimHash, projections="gaussian"),
    "dwta": DWTA,
}
every_family = pytest.mark.parametrize("family", TRANSFORMERS)


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


@every_family
@pytest.mark.parametrize("n_bits", [3, 6, 12])
def test_candidates_share_a_code_in_a_table(family, n_bits):
    settings = {"n_bits": n_bits, "n_tables": 5, "random_state": 0}
    index = LSHIndex("dot", hash_family=family, **settings).fit(ITEMS)
    hasher = TRANSFORMERS[family](**settings).fit(ITEMS)
    shared = hasher.transform(QUERIES)[:, None] == hasher.transform(ITEMS)[None]
    found = index.candidates(QUERIES)
    assert found.dtype == bool
    assert_array_equal(found.toarray(), shared.any(axis=2))


@every_family
def test_every_family_finds_neighbours(family):
    index = LSHIndex(n_bits=3, n_tables=32, hash_family=family, random_state=0).fit(ITEMS)
    found = index.candidates(QUERIES).mean()
    assert recall_at_10(index) > found + 0.02


@every_family
@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_updated_index_equals_a_fresh_one(metric, family):
    rows, replacement = [5, 700, 31], QUERIES[[40, 41, 42]]
    settings = {"metric": metric, "hash_family": family, "random_state": 0}
    updated = LSHIndex(**settings).fit(ITEMS).update(rows, replacement)
    items = ITEMS.copy()
    items[rows] = replacement
    fresh = LSHIndex(**settings).fit(items)
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
@every_family
def test_stored_index_finds_the_same_and_can_be_updated(family, store, tmp_path):
    index = LSHIndex(hash_family=family, random_state=0).fit(ITEMS)
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


@every_family
@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_array])
def test_results_depend_neither_on_threads_nor_batch_nor_format(make, family, simd_level):
    settings = {"hash_family": family, "random_state": 0}
    ids, scores = LSHIndex(**settings).fit(ITEMS).query(QUERIES)
    other = LSHIndex(**settings, n_jobs=2).fit(make(ITEMS))
    together, alone = other.query(make(QUERIES)), other.query(make(QUERIES[7:8]))
    assert_array_equal(together[0], ids)
    assert_array_equal(together[1], scores)
    assert_array_equal(alone[0][0], ids[7])
    assert_array_equal(alone[1][0], scores[7])
    codes = TRANSFORMERS[family](random_state=0).fit_transform(ITEMS)
    threaded = TRANSFORMERS[family](random_state=0, n_jobs=2).fit(make(ITEMS))
    assert_array_equal(threaded.transform(make(ITEMS)), codes)
    assert_array_equal(threaded.transform(make(ITEMS[7:8])), codes[7:8])


@every_family
def test_any_csr_has_the_codes_of_the_dense_rows(family):
    hasher = TRANSFORMERS[family](random_state=0).fit(ITEMS)
    indptr, indices, data = [0, 4, 4, 6], [5, 2, 5, 7, 3, 0], [1.0, 2.0, -3.0, 0.0, 4.0, 5.0]
    loose = sp.csr_array((data, indices, indptr), shape=(3, 20))  # unsorted, an entry twice
    before = loose.copy()
    codes = hasher.transform(loose)
    assert_array_equal(codes, hasher.transform(before.toarray()))
    assert (codes[1] == -1).all()
    for name in ("indptr", "indices", "data"):
        assert_array_equal(getattr(loose, name), getattr(before, name))


def test_winner_take_all_never_makes_sparse_input_dense(monkeypatch):
    X = sp.random_array((50, 3000), density=0.01, format="csr", rng=0)
    hashers = [SimHash(random_state=0).fit(X), DWTA(random_state=0).fit(X)]
    expected = hashers[1].transform(X.toarray())
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="50 dense rows of 3,000 features"):
        hashers[0].transform(X)
    assert_array_equal(hashers[1].transform(X), expected)


def test_missing_neighbours_are_minus_one_and_minus_infinity():
    index = LSHIndex(n_bits=12, n_tables=2, random_state=0).fit(ITEMS)
    ids, scores = index.query(QUERIES, k=50)
    n_found = np.asarray(index.candidates(QUERIES).sum(axis=1)).ravel()
    expected = np.arange(50) >= n_found[:, None]
    assert expected.any()
    assert_array_equal(ids == -1, expected)
    assert_array_equal(scores == -np.inf, expected)


@every_family
def test_zero_vectors_have_no_code_and_are_never_found(family):
    items = ITEMS.copy()
    items[3] = 0
    index = LSHIndex(n_bits=3, n_tables=32, hash_family=family, random_state=0).fit(items)
    codes = TRANSFORMERS[family](random_state=0).fit_transform(items)
    assert_array_equal(np.flatnonzero((codes == -1).any(axis=1)), [3])
    assert (codes[3] == -1).all()
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


@every_family
@pytest.mark.parametrize("width", [1, 3, 63, 64, 65, 200])
def test_any_width_can_be_hashed(width, family):
    X = np.random.RandomState(0).normal(size=(40, width))
    codes = TRANSFORMERS[family](n_bits=9, n_tables=11, random_state=0).fit_transform(X)
    assert codes.shape == (40, 11)
    assert (0 <= codes).all() and (codes < 2**9).all()


@every_family
@pytest.mark.parametrize("width", [1, 3, 200])
def test_codes_do_not_depend_on_length(width, family):
    X = np.random.RandomState(0).normal(size=(40, width))
    hasher = TRANSFORMERS[family](n_bits=9, n_tables=11, random_state=0).fit(X)
    assert (hasher.transform(5 * X) == hasher.transform(X)).mean() > 0.999


def test_auto_bits_follow_the_bucket_size():
    loads = {size: LSHIndex(bucket_size=size, random_state=0).fit(ITEMS) for size in (2, 25, 100)}
    assert [index.n_bits_ for index in loads.values()] == [9, 5, 3]
    assert np.diff([index.bucket_load_ for index in loads.values()]).min() > 0
    assert loads[100].bucket_load_ == 100  # 800 items in 8 buckets, all of them used


def test_auto_bits_of_winner_take_all_are_whole_digits():
    for size, n_bits in [(2, 9), (25, 6), (100, 3)]:
        index = LSHIndex(bucket_size=size, hash_family="dwta", random_state=0).fit(ITEMS)
        assert index.n_bits_ == n_bits


@pytest.mark.parametrize("width", [1, 20, 100])
@pytest.mark.parametrize("n_bits, n_tables", [(1, 7), (8, 3), (24, 11)])
def test_gaussian_codes_are_signs_of_dot_products(width, n_bits, n_tables, n_threads):
    vectors = np.random.RandomState(0).normal(size=(1100, width)).astype(np.float32)
    hasher = make_hasher("dense_simhash", width, n_bits, n_tables, np.random.RandomState(0))
    projections = vectors.astype(float) @ hasher.planes[:, :width].T
    bits = (projections < 0).reshape(-1, n_tables, n_bits)
    clear = (np.abs(projections) > 1e-4).reshape(bits.shape).all(axis=2)  # of rounding
    codes = hasher.codes(vectors, n_threads=n_threads)
    assert clear.mean() > 0.98
    assert_array_equal(codes[clear], (bits @ (1 << np.arange(n_bits)))[clear])
    rows = np.array([7, 1099, 7, 0], dtype=np.int32)
    assert_array_equal(hasher.codes(vectors, rows, n_threads), codes[rows])


def test_gaussian_projections_are_standard_normal_and_ignore_padding():
    hasher = make_hasher("dense_simhash", 100, 10, 100, np.random.RandomState(0))
    planes = hasher.planes[:, :100]
    assert abs(planes.mean()) < 4 / np.sqrt(planes.size)
    assert abs(planes.var() - 1) < 4 * np.sqrt(2 / planes.size)
    vectors = np.full((3, 112), np.nan, dtype=np.float32)
    vectors[:, :100] = np.random.RandomState(1).normal(size=(3, 100))
    expected = hasher.codes(np.ascontiguousarray(vectors[:, :100]))
    assert_array_equal(hasher.codes(vectors), expected)
