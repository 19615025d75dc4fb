"""CountSketch and TopK: linear, as accurate as they claim, stored and merged without change."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklsh import _sklearn
from sklsh.sketch import CountSketch, TopK

KEYS = st.integers(0, 2**63 - 1) | st.integers(0, 5)
STREAM = st.lists(st.tuples(KEYS, st.integers(-20, 20)), max_size=60)
SHAPES = st.fixed_dictionaries(
    {
        "width": st.sampled_from([1, 2, 16, 256]),
        "depth": st.integers(1, 6),
        "estimate": st.sampled_from(["median", "min"]),
    }
)


def split(stream):
    keys, values = zip(*stream, strict=True) if stream else ([], [])
    return np.array(keys, dtype=np.int64), np.array(values, dtype=np.float32)


def zipf(n=20_000, n_keys=5_000, seed=0):
    """(keys, totals) of a stream with a heavy tail, and the stream."""
    rng = np.random.default_rng(seed)
    names = rng.choice(2**62, n_keys, replace=False)
    stream = names[np.minimum(rng.zipf(1.2, n) - 1, n_keys - 1)]
    keys, totals = np.unique(stream, return_counts=True)
    return keys, totals, stream


def assert_same(sketch, other):
    assert_array_equal(sketch.cells, other.cells)
    if sketch.top_k:
        for a, b in zip(sketch.heavy_hitters(), other.heavy_hitters(), strict=True):
            assert_array_equal(a, b)


# ---- linear ----


@settings(deadline=None)
@given(STREAM, STREAM, SHAPES, st.integers(-3, 3))
def test_sketches_are_linear_in_the_stream(first, second, shape, factor):
    """Exactly, as long as all totals are whole and small."""
    (keys, values), (more, others) = split(first), split(second)
    one, other, both, difference, multiple = (
        CountSketch(**shape, random_state=3) for _ in range(5)
    )
    one.update(keys, values)
    other.update(more, others)
    both.update(np.append(keys, more), np.append(values, others))
    assert_array_equal((one + other).cells, both.cells)
    assert_array_equal((other + one).cells, both.cells)
    difference.update(np.append(keys, more), np.append(values, -others))
    assert_array_equal((one - other).cells, difference.cells)
    if factor >= 0 or shape["estimate"] == "median":
        multiple.update(keys, factor * values)
        assert_array_equal((factor * one).cells, multiple.cells)
        assert_array_equal((one * factor).cells, multiple.cells)


def test_operations_in_place_change_that_sketch_only():
    one = CountSketch(64, random_state=0, top_k=2).update([1, 2, 2])
    other = CountSketch(64, random_state=0, top_k=2).update([3, 3, 3])
    before, was_other = one.copy(), other.copy()
    whole = one + other
    assert_same(one, before)
    assert one.merge(other) is one
    assert_same(one, whole)
    one -= other
    assert_array_equal(one.cells, before.cells)
    one += other
    one *= 2
    assert_array_equal(one.cells, 2 * whole.cells)
    assert_same(other, was_other)
    one += one
    assert_array_equal(one.cells, 4 * whole.cells)
    assert not one.clear().cells.any()
    assert len(one.heavy_hitters()[0]) == 0


@pytest.mark.parametrize("n_columns", [1, 5])
def test_a_sketch_without_collisions_is_exact(n_columns):
    rng = np.random.default_rng(0)
    keys = rng.choice(2**62, 40, replace=False)
    values = rng.standard_normal((40, n_columns)).astype(np.float32)
    for estimate in ("median", "min"):
        sketch = CountSketch(2**18, depth=3, n_columns=n_columns, estimate=estimate, random_state=0)
        sketch.update(keys, values)
        assert np.count_nonzero(sketch.cells) == 3 * values.size
        assert_array_equal(sketch.query(keys).reshape(values.shape), values)
        assert not sketch.query(keys + 1).any()


def test_each_column_is_a_sketch_of_its_own():
    keys, values = zipf()[2], np.random.default_rng(1).integers(-3, 4, (20_000, 3))
    together = CountSketch(256, n_columns=3, random_state=0).update(keys, values)
    for c in range(3):
        alone = CountSketch(256, random_state=0).update(keys, values[:, c])
        assert_array_equal(together.cells[..., c], alone.cells[..., 0])
        assert_array_equal(together.query(keys)[:, c], alone.query(keys))


def test_values_count_keys_if_there_are_none():
    keys = zipf()[2]
    sketch = CountSketch(256, n_columns=2, random_state=0).update(keys)
    assert_same(
        sketch, CountSketch(256, n_columns=2, random_state=0).update(keys, np.ones((len(keys), 2)))
    )


# ---- as accurate as they claim ----


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_the_median_is_unbiased(depth):
    """Over seeds the mean error of each key is within five standard errors of zero."""
    keys, totals, _ = zipf(n_keys=200)
    errors = np.array(
        [
            CountSketch(32, depth=depth, random_state=seed).update(keys, totals).query(keys)
            - totals
            for seed in range(400)
        ]
    )
    standard_error = errors.std(axis=0) / np.sqrt(len(errors))
    assert (abs(errors.mean(axis=0)) < 5 * standard_error).all()


def test_a_row_has_the_variance_that_is_said():
    keys, totals, _ = zipf(n_keys=200)
    errors = np.array(
        [
            CountSketch(32, depth=1, random_state=seed).update(keys, totals).query(keys) - totals
            for seed in range(800)
        ]
    )
    said = (np.sum(totals**2.0) - totals**2.0) / 32
    assert_allclose((errors**2).mean(), said.mean(), rtol=0.1)


@pytest.mark.parametrize("depth, bound", [(1, 0.25), (3, 0.16), (5, 0.11), (7, 0.071)])
def test_large_errors_of_the_median_are_as_rare_as_said(depth, bound):
    """And they do happen, so that the test looks at what it should."""
    width, (keys, totals, _) = 64, zipf(n_keys=500)
    falling = np.sort(totals)[::-1].astype(float)
    tail = np.sqrt(np.sum(falling[width // 8 + 1 :] ** 2))  # at most that of the others' tail
    off = [
        abs(CountSketch(width, depth=depth, random_state=seed).update(keys, totals).query(keys)
            - totals) > np.sqrt(8 / width) * tail
        for seed in range(100)
    ]  # fmt: skip
    assert 0 < np.mean(off) <= bound


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_minimum_is_never_below_and_seldom_far_above(depth):
    width, (keys, totals, _) = 64, zipf(n_keys=500)
    over = np.array(
        [
            CountSketch(width, depth=depth, estimate="min", random_state=seed)
            .update(keys, totals)
            .query(keys)
            - totals
            for seed in range(100)
        ]
    )
    assert over.min() >= 0
    assert 0 < np.mean(over > np.e / width * (totals.sum() - totals)) <= np.exp(-depth)


def test_more_depth_and_width_err_less():
    keys, totals, _ = zipf()

    def error(**shape):
        return np.mean(
            [
                np.mean(
                    abs(
                        CountSketch(**shape, random_state=s).update(keys, totals).query(keys)
                        - totals
                    )
                )
                for s in range(5)
            ]
        )

    assert error(width=4096) < error(width=1024) / 2
    assert error(width=1024, depth=5) < error(width=1024, depth=1) / 2


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_results_do_not_depend_on_threads(n_jobs):
    keys, values = zipf()[2], np.random.default_rng(1).standard_normal(20_000)
    one = CountSketch(256, top_k=10, random_state=0).update(keys, values)
    several = CountSketch(256, top_k=10, random_state=0, n_jobs=n_jobs).update(keys, values)
    assert_same(one, several)
    assert_array_equal(one.query(keys), several.query(keys))


def test_the_random_state_draws_the_hash():
    cells = [
        CountSketch(256, random_state=state).update(range(50)).cells
        for state in (0, 0, 1, np.random.RandomState(0))
    ]
    assert_array_equal(cells[0], cells[1])
    assert_array_equal(cells[0], cells[3])
    assert (cells[0] != cells[2]).any()


# ---- heavy hitters ----


@pytest.mark.parametrize("estimate", ["median", "min"])
def test_heavy_hitters_of_a_stream_are_found(estimate):
    keys, totals, stream = zipf(100_000)
    sketch = CountSketch(2**13, estimate=estimate, top_k=20, random_state=0)
    for part in np.array_split(stream, 37):
        sketch.update(part)
    found, estimates = sketch.heavy_hitters()
    wanted = keys[np.argsort(-totals, kind="stable")[:20]]
    assert len(set(found) & set(wanted)) >= 19
    assert_array_equal(found[:8], wanted[:8])
    assert_array_equal(estimates, sketch.query(found))
    assert (np.diff(abs(estimates)) <= 0).all()
    for a, b in zip(sketch.heavy_hitters(5), (found[:5], estimates[:5]), strict=True):
        assert_array_equal(a, b)
    for a, b in zip(sketch.heavy_hitters(20, keys), (found, estimates), strict=True):
        assert_array_equal(np.sort(a), np.sort(b))


def test_heavy_hitters_among_candidates():
    sketch = CountSketch(random_state=0).update([4, 4, 4, 9, 9, 7], [-1, -1, -1, 1, 1, 1])
    keys, estimates = sketch.heavy_hitters(candidates=[9, 4, 4, 5, 9])
    assert keys.tolist() == [4, 9, 5]
    assert estimates.tolist() == [-3, 2, 0]
    assert sketch.heavy_hitters(1, [5, 7])[0].tolist() == [7]
    assert sketch.heavy_hitters(candidates=[])[0].shape == (0,)


def test_merged_sketches_follow_the_keys_of_both():
    halves = [
        CountSketch(1024, top_k=2, random_state=0).update([key, key, other])
        for key, other in [(1, 3), (2, 3)]
    ]
    for merged in (halves[0] + halves[1], halves[1] + halves[0]):
        keys, counts = merged.heavy_hitters()
        assert sorted(keys) == [1, 2] and counts.tolist() == [2, 2]
    more = halves[0] + halves[1].update([3])
    assert more.heavy_hitters(1)[0].tolist() == [3]  # the largest only in the sum
    assert (halves[0] - 2 * halves[1]).heavy_hitters()[1].tolist() == [-4, -3]


def test_heavy_hitters_by_the_largest_column():
    sketch = CountSketch(1024, n_columns=2, top_k=2, random_state=0)
    sketch.update([1, 2, 3], [[1, 1], [0, -5], [2, 0]])
    keys, estimates = sketch.heavy_hitters()
    assert keys.tolist() == [2, 3]
    assert estimates.tolist() == [[0, -5], [2, 0]]


# ---- TopK ----


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 15), st.integers(1, 9)), max_size=90))
def test_the_largest_of_growing_values_are_found(k, pushes):
    """Totals that only grow, of any order: as a dict and a sort find them."""
    top, totals = TopK(k), {}
    for key, value in pushes:
        totals[key] = totals.get(key, 0) - value  # magnitudes count
        top.push([key], [totals[key]])
    keys, values = top.items()
    wanted = sorted(totals.values())[:k]
    assert values.tolist() == wanted
    assert values.tolist() == [totals[key] for key in keys.tolist()]
    assert len(top) == len(wanted)
    assert all(key in top for key in keys) and 16 not in top


def test_all_at_once_or_one_by_one():
    rng = np.random.default_rng(0)
    keys, values = rng.integers(0, 500, 3000), rng.standard_normal(3000)
    once, by_one = TopK(20).push(keys, values), TopK(20)
    for key, value in zip(keys, values, strict=True):
        by_one.push([key], [value])
    for a, b in zip(once.held(), by_one.held(), strict=True):
        assert_array_equal(a, b)
    assert once.threshold == by_one.threshold > 0


def test_the_last_value_of_a_key_stands_even_if_it_falls():
    top = TopK(2).push([1, 2, 1], [5, 3, 0.5])
    assert [a.tolist() for a in top.items()] == [[2, 1], [3, 0.5]]
    for _ in range(4):  # the threshold is renewed in time, and lets others in
        top.push([7, 8, 9], [2, 2, 2.5])
    assert [a.tolist() for a in top.items()] == [[2, 9], [3, 2.5]]


def test_tables_merge_as_if_all_had_been_pushed():
    rng = np.random.default_rng(0)
    keys, values = rng.permutation(1000), rng.standard_normal((1000, 2))
    halves = [TopK(30, n_columns=2).push(keys[i::2], values[i::2]) for i in range(2)]
    whole = TopK(30, n_columns=2).push(keys, values)
    for a, b in zip(halves[0].merge(halves[1]).items(), whole.items(), strict=True):
        assert_array_equal(a, b)
    assert TopK(2).push([1], [4]).merge(TopK(3).push([1], [-1])).items()[1].tolist() == [-1]


def test_scaling_a_table_scales_its_threshold():
    rng = np.random.default_rng(0)
    keys, values = rng.permutation(100), rng.integers(1, 50, 100).astype(float)
    top = TopK(5).push(keys, values)
    scaled = top.copy().scale(-0.5)
    assert scaled.threshold == 0.5 * top.threshold > 0
    assert_array_equal(scaled.items()[1], -0.5 * top.items()[1])
    assert len(top.clear()) == 0 and top.threshold == 0 and keys[0] not in top
    assert len(top.push([3], [0.1])) == 1


def test_sizes_are_those_that_are_said():
    for k in (1, 3, 64, 65, 1000):
        for n_columns in (1, 3):
            top = TopK(k, n_columns=n_columns)
            assert top.nbytes == TopK.bytes_needed(k, n_columns)
            assert 32 * k <= top.nbytes - 8 - 8 * k * n_columns <= 48 * k
    sketch = CountSketch(512, depth=2, n_columns=3, top_k=5)
    assert sketch.nbytes == 4 * 512 * 2 * 3 + TopK.bytes_needed(5, 3)
    assert repr(sketch) == "CountSketch(512, depth=2, n_columns=3, estimate='median', top_k=5)"
    assert repr(TopK(3, n_columns=2)) == "TopK(3, n_columns=2)"


# ---- stored ----


def stored(sketch):
    return pickle.loads(pickle.dumps(sketch))


@pytest.mark.parametrize("store", [stored, copy.deepcopy, CountSketch.copy])
def test_a_stored_sketch_goes_on_and_merges(store):
    keys = zipf()[2]
    sketch = CountSketch(512, top_k=5, random_state=0).update(keys[:9000])
    again = store(sketch)
    assert_same(again, sketch)
    assert_same(again.update(keys[9000:]), sketch.copy().update(keys[9000:]))
    assert_array_equal((again - sketch).query(keys), (sketch * -1 + again).query(keys))


def test_a_read_only_memory_map_goes_on(tmp_path):
    sketch = CountSketch(64, top_k=3, random_state=0).update([1, 2, 3])
    joblib.dump(sketch, tmp_path / "sketch")
    again = joblib.load(tmp_path / "sketch", mmap_mode="r")
    assert_same(again.update([4, 4]), sketch.update([4, 4]))


@pytest.mark.parametrize("make", [CountSketch, lambda: TopK(2)], ids=["CountSketch", "TopK"])
def test_pickles_of_another_version_warn(make, monkeypatch):
    written = pickle.dumps(make())
    monkeypatch.setattr(_sklearn, "__version__", "0.0.1")
    with pytest.warns(_sklearn.InconsistentVersionWarning, match="with sklsh 0.0.1"):
        pickle.loads(written)
