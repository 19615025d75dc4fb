"""What MISSION selects, in all forms that scikit-learn's users ask for it."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklsh import MISSIONClassifier, MISSIONRegressor, MISSIONSelector

HUGE = 2**62
N_TRUE = 8
MODES = pytest.mark.parametrize("mode", ["active", "mission"])


def problem(seed=0, n=3000, p=20_000, nnz=15):
    """(X, score, support): sparse rows whose scores are sums over a few true features."""
    rng = np.random.default_rng(seed)
    support = np.sort(rng.choice(p, N_TRUE, replace=False))
    noise = rng.integers(0, p, (n, nnz))
    X = sp.csr_array(
        (np.ones(n * nnz, dtype=np.float32), noise.ravel(), np.arange(n + 1) * nnz), shape=(n, p)
    )
    truth = (rng.random((n, N_TRUE)) < 0.4).astype(np.float32)
    X = (X + sp.csr_array(truth) @ sp.eye_array(p, format="csr")[support]).tocsr()
    X.data = np.minimum(X.data, 1, dtype=np.float32)
    score = X[:, support] @ (1.5 * (-1) ** np.arange(N_TRUE))
    return X, score.astype(np.float64), support


X, SCORE, SUPPORT = problem()
Y = (SCORE > np.random.default_rng(1).logistic(size=3000) / 2).astype(int)
FAR = np.sort(np.random.default_rng(2).integers(0, HUGE, X.shape[1]))


def spread(X=X):
    """The same rows with columns up to 2**62."""
    X = X.tocsr()
    return sp.csr_array((X.data, FAR[X.indices], X.indptr.astype(np.int64)), (X.shape[0], HUGE))


def with_int64_indices(X):
    """Copy of X; its constructor would take int32 where that does."""
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return wide


def make(k=N_TRUE, **settings):
    return MISSIONSelector(k, **({"random_state": 0, "width": 2**12, "max_iter": 5} | settings))


@pytest.fixture(scope="module")
def far():
    """Selector fitted on columns up to 2**62."""
    return make().fit(spread(), Y)


@pytest.fixture(scope="module")
def dense():
    """(selector, X, y) of a small dense problem."""
    A, a = make_classification(300, 10, n_informative=4, random_state=0, n_classes=3)
    return make(4).fit(A, a), A, a


FORMS = {
    "int32": (lambda: X, SUPPORT),
    "int64": (lambda: with_int64_indices(X), SUPPORT),
    "2**62 columns": (spread, FAR[SUPPORT]),
    "csc": (X.tocsc, SUPPORT),
    "csr_matrix": (lambda: sp.csr_matrix(X), SUPPORT),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("settings", [{}, {"mode": "mission", "width": 2**16}], ids=str)
def test_known_support_is_recovered(form, settings):
    rows, support = FORMS[form]
    model = make(**settings).fit(rows(), Y)
    assert_array_equal(model.feature_ids_, support)
    assert_array_equal(np.sign(model.feature_weights_), (-1.0) ** np.arange(N_TRUE))


@MODES
@pytest.mark.parametrize("loss", ["hinge", "squared_error", "huber"])
def test_all_losses_recover_the_support(loss, mode):
    y = Y if loss == "hinge" else SCORE
    model = make(loss=loss, mode=mode, width=2**16, max_iter=10).fit(X, y)
    assert_array_equal(model.feature_ids_, SUPPORT)


@MODES
def test_predictors_know_the_support_and_predict(mode):
    train, test = slice(0, 2000), slice(2000, None)
    settings = {"mode": mode, "width": 2**16, "random_state": 0, "max_iter": 10}
    classifier = MISSIONClassifier(N_TRUE, **settings).fit(X[train], Y[train])
    regressor = MISSIONRegressor(N_TRUE, **settings).fit(X[train], SCORE[train])
    best = np.mean(Y[test] == (SCORE[test] > 0))
    assert classifier.score(X[test], Y[test]) > best - 0.05
    assert regressor.score(X[test], SCORE[test]) > 0.9
    for model in (classifier, regressor):
        assert_array_equal(model.feature_ids_, SUPPORT)
        assert model.coef_.shape == (1, X.shape[1])
        assert_array_equal(model.coef_.indices, SUPPORT)
        assert_array_equal(model.coef_.data, model.feature_weights_)
    far = MISSIONClassifier(N_TRUE, **settings).fit(spread(X[train]), Y[train])
    assert far.coef_.shape == (1, HUGE)
    assert far.score(spread(X[test]), Y[test]) > best - 0.05


def test_nothing_of_the_size_of_all_features_is_made():
    rows = spread()
    n_bytes = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
    tracemalloc.start()
    model = make().fit(rows, Y)
    _, fitting = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    selected = model.transform(rows)
    model.get_support(indices=True)
    model.get_feature_names_out()
    model.inverse_transform(selected)
    _, using = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.memory_usage_["total"] < 2**17
    assert fitting < 10 * n_bytes < 2**24
    assert using - before < 5 * n_bytes


def test_state_does_not_grow_with_features(far):
    near = make().fit(X, Y)
    assert near.memory_usage_ == far.memory_usage_
    usage = far.memory_usage_
    assert usage["total"] == usage["active_set"] + usage["sketch"]
    assert usage["sketch"] == 4 * 2**12 == far.sketch_.nbytes


def test_support_is_a_mask_or_indices(dense):
    model = dense[0]
    mask, indices = model.get_support(), model.get_support(indices=True)
    assert mask.shape == (10,) and mask.dtype == bool
    assert_array_equal(np.flatnonzero(mask), indices)
    assert_array_equal(indices, model.feature_ids_)
    assert len(indices) == 4


def test_masks_of_too_many_features_are_refused_with_their_bytes(far):
    with pytest.raises(ValueError, match=f"would take {HUGE:,} bytes; .* get_support.indices=True"):
        far.get_support()
    rows = sp.csr_array(X[:100])
    wide = sp.csr_array((rows.data, rows.indices.astype(np.int64), rows.indptr), (100, 2**31 + 1))
    model = make(max_iter=1).fit(wide, Y[:100])
    with pytest.raises(ValueError, match="2,147,483,649 bytes; more than 2,147,483,648 are not"):
        model.get_support()


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csr_matrix, sp.csc_array])
def test_transform_takes_columns_as_they_are(dense, form):
    model, A, _ = dense
    selected = model.transform(form(A))
    assert sp.issparse(selected) == sp.issparse(form(A))
    assert selected.dtype == A.dtype
    assert_array_equal(selected.toarray() if sp.issparse(selected) else selected,
                       A[:, model.feature_ids_])  # fmt: skip


def test_transform_of_unsorted_rows_with_duplicates(far):
    rows, kept = spread(X[:50]), far.feature_ids_
    order = np.concatenate([np.arange(*rows.indptr[i : i + 2])[::-1] for i in range(50)])
    backwards = sp.csr_array((rows.data[order], rows.indices[order], rows.indptr), rows.shape)
    expected = X[:50][:, SUPPORT].toarray()
    assert_array_equal(kept, FAR[SUPPORT])
    assert_array_equal(far.transform(backwards).toarray(), expected)
    ends = np.repeat(kept[:1], 3)
    twice = sp.csr_array((np.ones(3), ends, np.array([0, 3])), (1, HUGE))
    assert_array_equal(far.transform(twice).toarray(), [[3] + [0] * (N_TRUE - 1)])


def test_inverse_transform_puts_columns_back(dense, far):
    model, A, _ = dense
    expected = np.where(model.get_support(), A, 0)
    selected = model.transform(A)
    assert_array_equal(model.inverse_transform(selected), expected)
    assert_array_equal(model.inverse_transform(sp.csr_matrix(selected)).toarray(), expected)
    rows = far.transform(spread())
    back = far.inverse_transform(rows)
    assert back.shape == (3000, HUGE)
    assert_array_equal(far.transform(back).toarray(), rows.toarray())
    assert back.nnz == rows.nnz
    with pytest.raises(MemoryError, match=f"3 x {HUGE:,} would take {3 * HUGE * 8:,} bytes"):
        far.inverse_transform(np.ones((3, N_TRUE)))
    with pytest.raises(ValueError, match=r"X must have 8 columns, .* got shape \(3, 7\)"):
        far.inverse_transform(np.ones((3, 7)))


def test_names_of_features(dense, far):
    model, A, a = dense
    ids = model.feature_ids_
    assert_array_equal(model.get_feature_names_out(), [f"x{i}" for i in ids])
    letters = np.array(list("abcdefghij"), dtype=object)
    assert_array_equal(model.get_feature_names_out(letters), letters[ids])
    named = clone(model).fit(pd.DataFrame(A, columns=letters), a)
    assert_array_equal(named.feature_names_in_, letters)
    assert_array_equal(named.get_feature_names_out(), letters[ids])
    assert_array_equal(named.get_feature_names_out(letters), letters[ids])
    assert_array_equal(far.get_feature_names_out(), [f"x{i}" for i in far.feature_ids_])
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        named.get_feature_names_out(letters[::-1])
    with pytest.raises(ValueError, match=r"number of features \(10\), got 3"):
        model.get_feature_names_out(["a", "b", "c"])


@MODES
@pytest.mark.parametrize("y", [Y, np.arange(3000) % 3], ids=["binary", "multiclass"])
def test_ranking_is_of_the_largest_weights(mode, y):
    model = make(30, mode=mode).fit(X, y)
    ids, weights, ranking = model.feature_ids_, model.feature_weights_, model.ranking_
    assert weights.shape == ((30,) if y is Y else (30, 3))
    magnitude = np.abs(weights).reshape(30, -1).max(axis=1)
    assert (np.diff(ids) > 0).all()
    assert_array_equal(np.sort(ranking), np.arange(1, 31))
    assert (np.diff(magnitude[np.argsort(ranking)]) <= 0).all()
    fewer = model.set_params(n_features_to_select=10)
    assert_array_equal(fewer.feature_ids_, ids[ranking <= 10])


def test_each_class_has_a_support():
    label = np.random.default_rng(0).integers(0, 3, 3000)
    own = (
        sp.csr_array(np.eye(3, dtype=np.float32)[label])
        @ sp.eye_array(X.shape[1], format="csr")[[5, 500, 5000]]
    )
    rows = (X + own).tocsr()
    model = make(3).fit(rows, np.array(["p", "q", "r"])[label])
    assert_array_equal(model.feature_ids_, [5, 500, 5000])
    assert model.classes_.tolist() == ["p", "q", "r"]
    supports = model.supports_per_class_
    assert [support[0] for support in supports] == [5, 500, 5000]
    assert [len(support) for support in supports] == [3, 3, 3]
    assert_array_equal(np.argmax(model.feature_weights_, axis=1), [0, 1, 2])


def test_binary_supports_per_class_are_the_ranked_support(far):
    (support,) = far.supports_per_class_
    assert_array_equal(support, far.feature_ids_[np.argsort(far.ranking_)])


def test_fewer_features_than_wanted_are_all_selected():
    A = np.random.default_rng(0).normal(size=(50, 3))
    A[:, 1] = 0
    model = make(100, width=2**6).fit(A, A[:, 0] > 0)
    assert_array_equal(model.feature_ids_, [0, 2])


def test_no_features_at_all_are_warned_of():
    model = make().fit(np.zeros((4, 3)), [0, 1, 0, 1])
    assert_array_equal(model.get_support(), [False] * 3)
    for form in (np.asarray, sp.csr_array):
        with pytest.warns(UserWarning, match="No features were selected"):
            assert model.transform(form(np.ones((2, 3)))).shape == (2, 0)


def test_pipeline_and_grid_search():
    model = make_pipeline(make(max_iter=3), LogisticRegression())
    grid = {"missionselector__n_features_to_select": [1, N_TRUE]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_params_ == {"missionselector__n_features_to_select": N_TRUE}
    assert_array_equal(search.best_estimator_[0].feature_ids_, SUPPORT)
    assert search.best_estimator_[:-1].get_feature_names_out().tolist() == [
        f"x{i}" for i in SUPPORT
    ]


def test_column_transformer_and_pandas_output(dense):
    _, A, a = dense
    frame = pd.DataFrame(A, columns=list("abcdefghij"))
    names = list("abcdef")
    columns = ColumnTransformer(
        [("best", make(2), names), ("rest", StandardScaler(), ["g"])]
    ).set_output(transform="pandas")
    out = columns.fit_transform(frame, a)
    alone = make(2).set_output(transform="pandas").fit(frame[names], a)
    chosen = alone.get_feature_names_out()
    assert out.columns.tolist() == [f"best__{name}" for name in chosen] + ["rest__g"]
    assert_array_equal(out.to_numpy()[:, :2], frame[chosen])
    transformed = alone.transform(frame[names])
    assert isinstance(transformed, pd.DataFrame)
    pd.testing.assert_frame_equal(transformed, frame[chosen])


def test_sketch_is_that_of_the_weights_outside_the_active_set():
    few = make(5, width=2**10, max_iter=2, n_jobs=1).fit(X, Y)
    assert few.sketch_.shape == (1, 2**10, 1)
    everything = np.arange(X.shape[1])
    weights = few._model.weights_of(everything)[:, 0]
    assert_allclose(weights[few.feature_ids_], few.feature_weights_)
    outside = np.setdiff1d(everything, few._model.active_ids)
    assert np.isin(np.abs(weights[outside]), np.abs(few.sketch_)).all()
    assert_allclose(few._model.scores(X)[:, 0], X @ weights + few.intercept_, atol=1e-4)
