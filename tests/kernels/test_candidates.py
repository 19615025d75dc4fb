"""Candidate sets: labels first, then turns by rank, then a tail that is truly uniform."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from sklsh._kernels import _candidates
from sklsh._tables import HashTables

N_CLASSES = 40
classes = st.integers(0, N_CLASSES - 1)
few_cases = settings(max_examples=60, deadline=None, derandomize=True)


class Set:
    """The two arrays of a set, which the kernels are to leave reusable as they are."""

    def __init__(self, n_classes=N_CLASSES):
        self.position = np.zeros(n_classes, np.int32)
        self.ids = np.zeros(n_classes, np.int32)
        self.n = 0

    def take_labels(self, labels):
        positions = np.full(len(labels), -1, np.int32)
        labels = np.array(labels, np.int32)
        self.n = _candidates.take_labels(labels, self.position, self.ids, positions)
        return positions.tolist()

    def take_ranked(self, best, found, limit):
        best, found = np.array(best, np.int32), np.array(found, np.intp)
        self.n = _candidates.take_ranked(best, found, self.position, self.ids, self.n, limit)

    def take_uniform(self, seed, limit):
        self.n = _candidates.take_uniform(seed, self.position, self.ids, self.n, limit)

    def pool_hits(self, codes, tables, bucket_cap, salt):
        n_classes = len(self.ids)
        starts, pool = np.empty(len(codes) + 1, np.intp), np.empty(n_classes + 1, np.int32)
        seen = np.zeros(-(-n_classes // 8), np.uint8)
        _candidates.pool_hits(
            codes, tables.starts, tables.ids, bucket_cap, salt, self.ids[: self.n], seen, pool,
            starts,
        )  # fmt: skip
        assert not seen.any()  # ready for the next batch
        return [pool[a:b].tolist() for a, b in zip(starts[:-1], starts[1:], strict=True)]

    def held(self):
        return self.ids[: self.n].tolist()


@few_cases
@given(st.lists(st.lists(classes, max_size=20), max_size=4))
def test_labels_are_kept_once_in_order_whatever_came_before(batches):
    drawn = Set()  # kept from batch to batch
    for labels in batches:
        positions = drawn.take_labels(labels)
        assert (drawn.held(), positions) == reference.take_labels(labels)


@few_cases
@given(
    st.lists(classes, max_size=6),
    st.lists(st.tuples(st.lists(classes, min_size=5, max_size=5), st.integers(0, 5))),
    st.integers(0, N_CLASSES),
)
def test_ranked_ids_come_round_robin_up_to_the_limit(labels, rows, limit):
    best = np.array([ids for ids, _ in rows], np.int32).reshape(len(rows), 5)
    found = [n for _, n in rows]
    drawn = Set()
    drawn.take_labels(labels)
    before = drawn.held()
    drawn.take_ranked(best, found, limit)
    assert drawn.held() == reference.take_ranked(best, found, before, limit)


def test_every_row_has_its_turn_before_any_has_two():
    drawn = Set()
    drawn.take_labels([9])
    drawn.take_ranked([[1, 2, 3], [4, 9, 5], [1, 6, 7]], [3, 3, 2], limit=5)
    assert drawn.held() == [9, 1, 4, 2, 6]


@few_cases
@given(
    labels=st.lists(classes, max_size=6),
    n_asking=st.integers(0, 9),
    bucket_cap=st.integers(1, 30),
    salt=st.integers(0, 2**64 - 1),
    seed=st.integers(0, 99),
)
def test_hits_are_pooled_for_the_row_that_finds_them_first(
    labels, n_asking, bucket_cap, salt, seed
):
    rng = np.random.default_rng(seed)
    items = rng.integers(-1, 4, (N_CLASSES, 3), dtype=np.int32)
    codes = rng.integers(-1, 4, (n_asking, 3), dtype=np.int32)
    tables = HashTables(N_CLASSES, 2, 3)
    tables.rebuild(items)
    drawn = Set()
    drawn.take_labels(labels)
    before = drawn.held()
    pools = drawn.pool_hits(codes, tables, bucket_cap, salt)
    assert pools == reference.pool_hits(codes, items, before, bucket_cap, salt)


def hits_of_one_bucket(bucket_cap, salt):
    """What a row finds where all classes are in its bucket, of each of three tables."""
    codes, tables = np.zeros((N_CLASSES, 3), np.int32), HashTables(N_CLASSES, 1, 3)
    tables.rebuild(codes)
    (found,) = Set().pool_hits(codes[:1], tables, bucket_cap, salt)
    return set(found)


def test_salt_chooses_what_is_read_of_a_full_bucket():
    found = [hits_of_one_bucket(bucket_cap=6, salt=salt) for salt in range(40)]
    assert all(6 <= len(ids) <= 6 * 3 for ids in found)
    assert found == [hits_of_one_bucket(bucket_cap=6, salt=salt) for salt in range(40)]
    assert len(set(map(frozenset, found))) > 35
    assert set.union(*found) == set(range(N_CLASSES))


@pytest.mark.parametrize("bucket_cap", [N_CLASSES, N_CLASSES + 1, 10**9])
def test_buckets_that_fit_are_read_whole(bucket_cap):
    for salt in range(5):
        assert hits_of_one_bucket(bucket_cap, salt) == set(range(N_CLASSES))


@few_cases
@given(st.lists(classes, max_size=6), st.integers(0, N_CLASSES), st.integers(0, 2**64 - 1))
def test_uniform_tail_is_the_one_its_seed_names(labels, limit, seed):
    drawn = Set()
    drawn.take_labels(labels)
    before = drawn.held()
    drawn.take_uniform(seed, limit)
    assert drawn.held() == reference.take_uniform(seed, N_CLASSES, before, limit)


@pytest.mark.parametrize("limit", [0, 3, 4, 20, N_CLASSES])
def test_uniform_tail_draws_without_replacement_beside_what_is_held(limit):
    labels = [5, 0, N_CLASSES - 1]
    for seed in range(20):
        drawn = Set()
        drawn.take_labels(labels)
        drawn.take_uniform(seed, limit)
        assert drawn.held()[:3] == labels
        assert len(set(drawn.held())) == len(drawn.held()) == max(limit, 3)


@pytest.mark.parametrize("n_labels, n_drawn", [(0, 1), (0, 10), (3, 10), (10, 20)])
@pytest.mark.parametrize("stride", [1, 1 << 32])
def test_uniform_tail_is_uniform(n_labels, n_drawn, stride):
    """Pearson's statistic over seeds in a row, and over seeds that share their low bits."""
    n_seeds, n_free = 2000, N_CLASSES - n_labels
    counts, drawn = np.zeros(N_CLASSES), Set()
    for seed in range(n_seeds):
        drawn.take_labels(range(n_labels))
        drawn.take_uniform(seed * stride, n_labels + n_drawn)
        counts[drawn.held()] += 1
    share = n_drawn / n_free
    variance = n_seeds * share * (1 - share) * n_free / (n_free - 1)
    statistic = ((counts[n_labels:] - n_seeds * share) ** 2).sum() / variance
    assert statistic < chi2.isf(1e-4, n_free - 1)


def test_pairs_are_drawn_together_as_often_as_chance_has_it():
    together, drawn, n_seeds = np.zeros((10, 10)), Set(10), 4000
    for seed in range(n_seeds):
        drawn.take_labels([])
        drawn.take_uniform(seed, 3)
        together[np.ix_(drawn.held(), drawn.held())] += 1
    expected = n_seeds * (3 * 2) / (10 * 9)
    counts = together[np.triu_indices(10, 1)]
    assert ((counts - expected) ** 2).sum() / expected < chi2.isf(1e-4, len(counts))


def test_marks_are_added_to_what_is_marked():
    marks = np.zeros(9, np.uint8)
    for ids in ([3, 8, 3], [], [0]):
        _candidates.mark_ids(np.array(ids, np.int32), marks)
    assert np.flatnonzero(marks).tolist() == [0, 3, 8]
    assert marks.max() == 1
