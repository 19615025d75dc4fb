"""Models of parts of the data, put together."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from sklsh import (
    MISSIONClassifier,
    MISSIONHashSelector,
    MISSIONRegressor,
    MISSIONSelector,
)

P, N_TRUE = 50_000, 20
HALVES = slice(0, None, 2), slice(1, None, 2)
MODES = pytest.mark.parametrize("mode", ["active", "mission"])


def problem(seed, n=6000, nnz=30):
    """(X, y, support) with Zipf's columns and the support among the first of them."""
    rng = np.random.default_rng(seed)
    columns = (P ** rng.random((n, nnz))).astype(np.int32) - 1
    X = sp.csr_array(
        (np.ones(n * nnz, dtype=np.float32), columns.ravel(), np.arange(n + 1) * nnz), shape=(n, P)
    )
    X.sum_duplicates()
    X.data[:] = 1
    support = np.sort(rng.choice(np.arange(5, 500), N_TRUE, replace=False))
    score = X[:, support] @ np.tile([3.0, -3.0], N_TRUE // 2)
    return X, (score + rng.logistic(size=n) > 0).astype(int), support


X, Y, SUPPORT = problem(0)
Y3 = np.where(Y == 0, 0, 1 + np.arange(len(Y)) // 2 % 2)


def make(kind=MISSIONSelector, **settings):
    sizes = {"n_features_to_select": N_TRUE, "width": 2**12, "max_iter": 5}
    return kind(**(sizes | {"random_state": 0} | settings))


def halves(**settings):
    """Two models, each of every second row."""
    return [make(**settings).fit(X[half], Y[half]) for half in HALVES]


def recall(model, support):
    return np.isin(support, model.feature_ids_).mean()


@pytest.mark.parametrize("y", [Y, Y3], ids=["binary", "multiclass"])
def test_sketches_of_mission_mode_are_added_exactly(y):
    parts = [make(mode="mission", max_iter=1, alpha=0.0).fit(X[half], y[half]) for half in HALVES]
    cells = [part.sketch_ for part in parts]
    merged = parts[0].merge(parts[1], weights=[1, 1])
    assert_array_equal(merged.sketch_, np.float32(0.5) * cells[0] + np.float32(0.5) * cells[1])
    active = merged._model.active_ids
    assert_array_equal(merged._model.table, merged._model.weights_of(active))


@MODES
@pytest.mark.parametrize("y", [Y, Y3], ids=["binary", "multiclass"])
def test_merging_is_the_weighted_mean_of_all_weights(mode, y):
    parts = [
        make(mode=mode, width=2**17).fit(X[rows], y[rows])
        for rows in (slice(0, 1000), slice(1000, 3000), slice(3000, 6000))
    ]
    shares = np.array([1, 2, 3]) / 6  # as rows have been seen
    everything = np.arange(P)
    if mode == "mission":  # cells add up; medians of theirs do not
        expected = sum(s * part.sketch_ for s, part in zip(shares, parts, strict=True))
    else:
        expected = sum(
            s * part._model.weights_of(everything) for s, part in zip(shares, parts, strict=True)
        )
    intercept = sum(s * part.intercept_ for s, part in zip(shares, parts, strict=True))
    merged = parts[0].merge(parts[1:])
    assert_allclose(merged.intercept_, intercept, rtol=1e-5)
    if mode == "mission":
        assert_allclose(merged.sketch_, expected, atol=1e-6)
    else:
        seen = np.flatnonzero(np.bincount(X.indices, minlength=P))
        off = np.abs(merged._model.weights_of(seen) - expected[seen]).max(axis=1)
        assert np.median(off) < 1e-6  # all but those whose cells collide
        assert (off > 1e-5).mean() < 0.1
        best = merged.feature_ids_
        ours = merged.feature_weights_.reshape(len(best), -1)
        assert_allclose(ours, expected[best], atol=1e-5)


@MODES
def test_weights_say_what_each_model_counts(mode):
    one, other = halves(mode=mode)
    ids = one.feature_ids_
    expected = one._model.weights_of(ids)[:, 0]  # of heavy hitters, as the sketch has them now
    cells, constant = one.sketch_, one.intercept_.copy()
    one.merge(other, weights=[5, 0])
    assert_array_equal(one.feature_ids_, ids)
    assert_allclose(one.feature_weights_, expected, rtol=1e-5)
    assert_allclose(one.intercept_, constant)
    if mode == "mission":
        assert_array_equal(one.sketch_, cells)


@MODES
def test_a_model_merged_with_itself_stays(mode):
    model = make(mode=mode).fit(X, Y)
    ids = model.feature_ids_
    weights = model._model.weights_of(ids)[:, 0]
    model.merge(pickle.loads(pickle.dumps(model)))
    assert_array_equal(model.feature_ids_, ids)
    assert_allclose(model.feature_weights_, weights, rtol=1e-5)


@pytest.mark.parametrize(
    ["n", "settings"],
    [(6000, {}), (20_000, {"mode": "mission", "width": 2**16})],  # it needs more to learn from
    ids=["active", "mission"],
)
def test_halves_merged_recall_as_much_as_one_model(n, settings):
    recalls = []
    for seed in range(3):
        rows, y, support = problem(seed, n)
        whole, *parts = (
            MISSIONSelector(N_TRUE, random_state=0, max_iter=8, **settings).fit(rows[of], y[of])
            for of in (slice(None), *HALVES)
        )
        recalls.append([recall(m, support) for m in (whole, parts[0].merge(parts[1]))])
    whole, merged = np.mean(recalls, axis=0)
    assert whole > 0.9
    assert merged >= whole - 0.02


@MODES
@pytest.mark.parametrize("kind", [MISSIONSelector, MISSIONClassifier])
def test_pickled_half_merges_after_reload(kind, mode):
    one, other = halves(kind=kind, mode=mode, width=2**15)
    again = pickle.loads(pickle.dumps(other))
    stored = pickle.loads(pickle.dumps(one)).merge([again])
    assert_array_equal(stored.sketch_, one.merge([other]).sketch_)
    assert_array_equal(stored.feature_weights_, one.feature_weights_)
    assert_array_equal(stored.feature_ids_, one.feature_ids_)
    if kind is MISSIONClassifier:
        assert_array_equal(stored.predict_proba(X), one.predict_proba(X))
        assert stored.score(X, Y) > other.score(X, Y) - 0.02


@MODES
def test_merged_models_learn_on_and_merge_again(mode):
    one, other = halves(mode=mode)
    others_weights = other._model.weights.copy()
    one.merge(other).partial_fit(X, Y).merge(other)
    assert recall(one, SUPPORT) > 0.7
    assert_array_equal(other._model.weights, others_weights)


def test_rows_seen_count_on_after_merging():
    parts = [make(max_iter=1).fit(X[:n], Y[:n]) for n in (1000, 2000, 3000)]
    constants = [part.intercept_[0] for part in parts]
    step_by_step = parts[0].merge(parts[1]).merge(parts[2]).intercept_[0]
    assert step_by_step == pytest.approx(np.average(constants, weights=[1, 2, 3]), rel=1e-4)


def test_sets_too_large_together_keep_the_largest_and_their_sum():
    rng = np.random.default_rng(0)
    rows = sp.random_array((2000, 4000), density=0.01, rng=rng, format="csr")
    y = rng.normal(size=2000)
    settings = {"kind": MISSIONRegressor, "alpha": 0.0}
    one, other = (make(**settings).fit(rows[half], y[half]) for half in HALVES)
    both = np.union1d(one._model.active_ids, other._model.active_ids)
    capacity = len(one._model.ids) - 1
    assert len(both) > capacity
    mean = (one._model.weights_of(both) + other._model.weights_of(both)) / 2
    largest = both[np.argsort(-np.abs(mean[:, 0]), kind="stable")[: one._model.keep]]
    one.merge(other)
    assert_array_equal(one._model.active_ids, np.sort(largest))
    assert one._model.status[1] == np.sort(np.abs(mean[:, 0]))[-one._model.keep]


def test_names_of_hash_selectors_unite():
    rows = [["right", f"r{i}"] if i % 2 else ["left.", f"l{i}"] for i in range(400)]
    label = np.arange(400) % 2

    def half(name):
        part = [[f"{name}-{token}" if len(token) > 4 else token for token in row] for row in rows]
        return make(MISSIONHashSelector, n_features_to_select=4).fit(part, label)

    merged = half("one").merge([half("two")])
    expected = ["one-left.", "one-right", "two-left.", "two-right"]
    assert sorted(merged.get_feature_names_out()) == expected
    again = pickle.loads(pickle.dumps(merged))
    assert sorted(again.get_feature_names_out()) == expected
    merged.partial_fit([["fresh"], ["stale"]] * 200, [0, 1] * 200)
    more = merged.set_params(n_features_to_select=6).get_feature_names_out()
    assert sorted(more) == sorted([*expected, "fresh", "stale"])


FEW, FEW_Y = X[:300], Y[:300]
OTHERS = {
    "random_state": (lambda: make(random_state=1).fit(FEW, FEW_Y), "same seed"),
    "width": (
        lambda: make(width=2**11).fit(FEW, FEW_Y),
        "same width as this model, 4096; got 2048",
    ),
    "depth": (lambda: make(depth=2).fit(FEW, FEW_Y), "same depth as this model, 1; got 2"),
    "mode": (lambda: make(mode="mission").fit(FEW, FEW_Y), "same mode as this model, active"),
    "size": (
        lambda: make(n_features_to_select=300).fit(FEW, FEW_Y),
        "same size of the active set .*n_features_to_select",
    ),
    "three classes": (
        lambda: make().fit(FEW, Y3[:300]),
        "same number of outputs as this model, 1; got 3",
    ),
    "classes": (lambda: make().fit(FEW, FEW_Y + 1), r"same classes .*0, 1.*; got .*1, 2"),
    "no classes": (lambda: make(loss="squared_error").fit(FEW, FEW_Y), "same classes .*; got None"),
    "class": (
        lambda: make(MISSIONClassifier).fit(FEW, FEW_Y),
        "class MISSIONSelector; got MISSIONCl",
    ),
    "features": (lambda: make().fit(FEW[:, :-1], FEW_Y), "n_features_in_=50000; got 49999"),
    "no estimator": (lambda: 7, "class MISSIONSelector; got int"),
    "nothing": (lambda: None, "class MISSIONSelector; got NoneType"),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("place", ["alone", "last"])
def test_what_does_not_go_together_is_refused_by_name(case, place):
    model = make(max_iter=1).fit(FEW, FEW_Y)
    before, weights = dict(vars(model)), model._model.weights.copy()
    other, message = OTHERS[case]
    others = other() if place == "alone" else [make(max_iter=1).fit(FEW, FEW_Y), other()]
    with pytest.raises(ValueError, match=f"(?s)others must .*{message}"):
        model.merge(others)
    assert vars(model) == before
    assert_array_equal(model._model.weights, weights)


def test_models_without_classes_do_not_take_those_with():
    model = make(loss="squared_error").fit(FEW, FEW_Y)
    with pytest.raises(ValueError, match="same classes as this model, None; got"):
        model.merge(make().fit(FEW, FEW_Y))


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 1, 1], [[1, 1]], [-1, 2], [0, 0], [np.nan, 1], [np.inf, 1], ["a", "b"], 1, "no"],
    ids=str,
)
def test_bad_weights_are_refused(weights):
    model, other = (make(max_iter=1).fit(FEW, FEW_Y) for _ in range(2))
    before, weight_sum = dict(vars(model)), model._progress.weight_sum
    with pytest.raises(ValueError, match="weights must be 2 non-negative numbers, not all zero"):
        model.merge(other, weights=weights)
    assert vars(model) == before
    assert model._progress.weight_sum == weight_sum


def test_unfitted_models_are_refused():
    with pytest.raises(NotFittedError):
        make().merge(make().fit(FEW, FEW_Y))
    with pytest.raises(NotFittedError):
        make().fit(FEW, FEW_Y).merge(make())


def test_columns_in_another_order_do_not_merge():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    y = (frame["a"] > 0).to_numpy()
    model = MISSIONSelector(random_state=0).fit(frame, y)
    turned = MISSIONSelector(random_state=0).fit(frame[["c", "b", "a"]], y)
    with pytest.raises(ValueError, match="same feature_names_in_"):
        model.merge(turned)


def test_a_copy_that_merges_leaves_the_original():
    model = make().fit(FEW, FEW_Y)
    other = copy.copy(model).merge(make().fit(FEW, FEW_Y))
    assert other._progress.weight_sum == 2 * model._progress.weight_sum
