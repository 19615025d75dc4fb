"""Hash tables: sorted buckets, their unions, and the best ids in them, as a scan finds them."""

import pickle

import joblib
import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklsh._tables import HashTables

N_BITS, N_TABLES = 3, 4
WIDTHS = [1, 3, 16, 17, 48, 100, 128, 130]


def integers(*shape, seed=0):
    """Small whole numbers: exact in float32, and full of ties."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_codes(n, seed=0):
    """Codes of n items, one in nine of them -1."""
    codes = np.random.default_rng(seed).integers(0, 1 << N_BITS, (n, N_TABLES), dtype=np.int32)
    codes[4::9] = -1
    return codes


def make_tables(codes, n_threads=1):
    tables = HashTables(len(codes), N_BITS, N_TABLES)
    tables.rebuild(codes, n_threads=n_threads)
    return tables


def ranking(tables, codes, queries, vectors, offset, **settings):
    """List of (ids, scores) of the queries, cut to what was found."""
    ids, scores, found = tables.best(codes, queries, vectors, offset, **settings)
    return [(i[:n].tolist(), s[:n].tolist()) for i, s, n in zip(ids, scores, found, strict=True)]


@pytest.mark.parametrize("n_items", [0, 1, 7, 200])
def test_tables_are_sorted_by_code_then_id(n_items, n_threads):
    codes = make_codes(n_items)
    tables = make_tables(codes, n_threads)
    expected = reference.build_tables(codes, 1 << N_BITS)
    for starts, ids, wanted in zip(tables.starts, tables.ids, expected, strict=True):
        assert np.array_equal(starts, wanted[0])
        assert np.array_equal(ids[: starts[-1]], wanted[1])


def test_rebuild_of_some_rows_equals_building_all_anew(n_threads):
    before, after = make_codes(100), make_codes(100, seed=1)
    rows = np.arange(0, 100, 3)
    tables = make_tables(before)
    tables.rebuild(after[rows], rows, n_threads)
    mixed = before.copy()
    mixed[rows] = after[rows]
    fresh = make_tables(mixed)
    assert np.array_equal(tables.starts, fresh.starts)
    for ids, wanted, n in zip(tables.ids, fresh.ids, fresh.starts[:, -1], strict=True):
        assert np.array_equal(ids[:n], wanted[:n])


def test_pickle_holds_the_codes_and_fills_the_tables_again():
    tables = make_tables(make_codes(5000))
    stored = pickle.dumps(tables)
    assert len(stored) < tables.codes.nbytes + 500
    again = pickle.loads(stored)
    assert vars(again).keys() == vars(tables).keys()
    for name, array in vars(tables).items():
        assert np.array_equal(getattr(again, name), array)


def test_read_only_memory_map_can_be_rebuilt(tmp_path):
    before, after = make_codes(100), make_codes(100, seed=1)
    joblib.dump(make_tables(before), tmp_path / "tables")
    mapped = joblib.load(tmp_path / "tables", mmap_mode="r")
    mapped.rebuild(after)
    assert np.array_equal(mapped.ids, make_tables(after).ids)


def test_hits_are_bucket_loads():
    items, queries = make_codes(150), make_codes(30, seed=1)
    hits = make_tables(items)._count(queries)
    for query, n in zip(queries, hits, strict=True):
        assert n == (items == query)[:, query >= 0].sum()


@pytest.mark.parametrize("n_items", [0, 1, 150])
@pytest.mark.parametrize("n_queries", [0, 1, 40])
def test_union_lists_distinct_ids_in_order_of_table(n_items, n_queries, n_threads):
    items, queries = make_codes(n_items), make_codes(n_queries, seed=1)
    indptr, ids = make_tables(items).union(queries, n_threads)
    assert len(indptr) == n_queries + 1
    for i, query in enumerate(queries):
        found = ids[indptr[i] : indptr[i + 1]].tolist()
        assert found == reference.union_of_buckets(query, items)


def check_ranking(n_items, n_queries, width, k, n_threads, seed=0):
    items, codes = make_codes(n_items, seed), make_codes(n_queries, seed + 1)
    queries, vectors = integers(n_queries, width, seed=seed), integers(n_items, width, seed=seed)
    offset = integers(n_items, seed=seed + 1)
    found = ranking(make_tables(items), codes, queries, vectors, offset, k=k, n_threads=n_threads)
    for i, got in enumerate(found):
        wanted = reference.rank_hits(codes[i], items, queries[i], vectors, offset, k)
        assert got == (wanted[0].tolist(), wanted[1].tolist())


@pytest.mark.parametrize("width", WIDTHS)
def test_ranking_equals_a_sorted_scan(width, simd_level, n_threads):
    check_ranking(150, 40, width, 12, n_threads)


@pytest.mark.parametrize("n_items, n_queries", [(0, 5), (1, 5), (50, 0), (50, 1)])
def test_ranking_of_few(n_items, n_queries, simd_level, n_threads):
    check_ranking(n_items, n_queries, 17, 6, n_threads)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    n_items=st.integers(0, 120),
    n_queries=st.integers(0, 40),
    k=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_ranking_equals_a_sorted_scan_at_any_size(n_threads, **sizes):
    check_ranking(width=5, n_threads=n_threads, **sizes)


def test_query_without_code_or_with_empty_buckets_finds_nothing(n_threads):
    items = np.zeros((20, N_TABLES), np.int32)
    codes = np.full((3, N_TABLES), [[-1], [5], [0]], dtype=np.int32)
    tables = make_tables(items)
    indptr, _ = tables.union(codes, n_threads)
    assert indptr.tolist() == [0, 0, 0, 20]
    found = ranking(
        tables, codes, normals(3, 4), normals(20, 4), normals(20), k=30, n_threads=n_threads
    )
    assert [len(ids) for ids, _ in found] == [0, 0, 20]


def test_same_bits_at_any_thread_count_and_alone(simd_level):
    items, codes = make_codes(300), make_codes(100, seed=1)
    tables, queries = make_tables(items), normals(100, 100, seed=2)
    against = normals(300, 100), normals(300, seed=1)
    one, two, three = (
        ranking(tables, codes, queries, *against, k=9, n_threads=n) for n in (1, 2, 3)
    )
    assert one == two == three
    for i in range(100):
        alone = slice(i, i + 1)
        assert ranking(tables, codes[alone], queries[alone], *against, k=9) == [one[i]]


def test_scores_do_not_depend_on_where_vectors_lie_in_memory(simd_level):
    items, codes = make_codes(100), make_codes(30, seed=1)
    tables, queries, offset = make_tables(items), normals(30, 100, seed=2), normals(100)
    vectors = normals(100, 100)
    shifted = np.empty(vectors.size + 1, np.float32)[1:].reshape(vectors.shape)
    shifted[...] = vectors
    first, second = (ranking(tables, codes, queries, v, offset, k=9) for v in (vectors, shifted))
    assert first == second
