"""What tells how much a row still teaches: a sketched regression, a table, a forward pass."""

import pickle

import numpy as np
import pytest
import reference_rows as reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from row_draws import assert_unbiased

from sklsh.row_sampling import (
    Exact,
    Kernel,
    Observed,
    Pass,
    RowDraws,
    Stale,
    Uniform,
    _draws,
    _kernel,
)
from sklsh.row_sampling._kernel import PRIOR, TARGET_BINS, WIDE

N, BATCH = 240, 16
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 6)).astype(np.float32)
CLASS = RNG.integers(0, 3, N).astype(np.int32)
NUMBERS = (X[:, 0] + X[:, 1] ** 2).astype(np.float32)
SCORES = 0.05 + (X[:, 0] > 1) + 0.2 * (CLASS == 1)
LOSSES = SCORES**2
WIDE_X = sp.random_array((N, 2000), density=0.01, format="csr", random_state=0, dtype=np.float32)
SETTINGS = {"n_rows": 8, "n_bits": 4, "n_buckets": 256, "include_target": True, "decay": 0.9}


def kernel(seed=0, **settings):
    return Kernel(**SETTINGS | settings, random_state=np.random.RandomState(seed))


def rows_of(X=X, targets=CLASS, n_threads=1, score=lambda rows: SCORES[rows]):
    return Pass(X, targets, score, n_threads)


def observed(rows):
    return Observed(SCORES[rows], LOSSES[rows])


def taught(sampler, data=None, n_sets=4, seed=0):
    """The sampler after some steps, and the rows of each set of those."""
    generator, sets = np.random.default_rng(seed), []
    data = data or rows_of()
    sampler.begin(data)
    for n in [3 * BATCH, 5 * BATCH + 3, 7, 2 * BATCH][:n_sets]:
        rows = generator.choice(data.X.shape[0], n)
        sampler.note(rows, observed(rows), BATCH)
        sets.append(rows)
    return sampler, sets


def codes_of(sampler, data=None, rows=None):
    data = data or rows_of()
    return sampler.codes.of(data, np.arange(data.X.shape[0]) if rows is None else rows)


# ---- the regression ----


@pytest.mark.parametrize("decay", [1, 0.9, 0.3])
@pytest.mark.parametrize("include_target", [True, False])
@pytest.mark.parametrize("targets", [CLASS, NUMBERS], ids=["classes", "numbers"])
def test_scores_and_losses_are_the_twins_regression(targets, include_target, decay, n_threads):
    data = rows_of(targets=targets, n_threads=n_threads)
    sampler, sets = taught(kernel(include_target=include_target, decay=decay), data)
    age, weight = 0, []
    for rows in reversed(sets):  # the last batch counts in full
        n_batches = -(-len(rows) // BATCH)
        batch = np.arange(len(rows)) // BATCH
        weight.insert(0, decay ** (age + n_batches - 1.0 - batch))
        age += n_batches
    rows, weight = np.concatenate(sets), np.concatenate(weight)
    codes = codes_of(sampler, data)
    for got, values in [
        (sampler.scores(np.arange(N)), SCORES),
        (sampler.losses(data, np.arange(N)), LOSSES),
    ]:
        wanted = reference.nadaraya_watson(
            codes[rows], codes, values[rows], weight, PRIOR, 256, sampler.counters.seed
        )
        assert_allclose(got, wanted, rtol=1e-9)


def test_rows_that_no_step_has_come_by_are_told_of_by_those_like_them():
    sampler = kernel(n_rows=20, n_bits=5, n_buckets=4096)
    sampler.begin(rows_of())
    sampler.note(np.arange(N // 2), observed(np.arange(N // 2)), BATCH)
    told = sampler.scores(np.arange(N // 2, N))
    assert np.corrcoef(told, SCORES[N // 2 :])[0, 1] > 0.5


def test_what_was_learnt_tells_of_the_rows_of_later_calls():
    sampler, _ = taught(kernel())
    told, codes = sampler.scores(np.arange(N)), sampler.codes
    sampler.end()
    order = RNG.permutation(N)[:50]
    later = rows_of(X[order], CLASS[order])
    sampler.begin(later)
    assert sampler.codes is codes
    assert_array_equal(sampler.scores(np.arange(50)), told[order])


def test_nothing_is_known_at_first():
    sampler = kernel()
    sampler.begin(rows_of())
    assert sampler.scores(np.arange(N)) is None
    assert sampler.expected(np.arange(5), observed(np.arange(5))) is None


@pytest.mark.parametrize("targets", [CLASS, NUMBERS], ids=["classes", "numbers"])
def test_rows_of_other_targets_tell_nothing_if_targets_count(targets):
    same = np.ones_like(X) * [1, 2, 3, 4, 5, 6]
    same = (same + 0.001 * X).astype(np.float32)
    high = targets > np.median(targets)
    seen = Observed(np.where(high, 5.0, 1.0), np.ones(N))
    told = {}
    for include_target in (True, False):
        sampler = kernel(include_target=include_target, n_buckets=2**16, n_bits=1)
        sampler.begin(rows_of(same, targets))
        sampler.note(np.arange(N), seen, N)
        told[include_target] = sampler.scores(np.arange(N))
    far = targets > np.quantile(targets, 1 - 1 / TARGET_BINS)  # all of its kind
    assert_allclose(told[True][far], 5, atol=0.1)
    assert_allclose(told[True][targets <= np.quantile(targets, 1 / TARGET_BINS)], 1, atol=0.1)
    assert told[False].min() > 1.2 and told[False].max() < 4.8


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_rows_of_zeros_have_no_code_and_are_told_the_mean(form):
    zeroed = X - X.mean(axis=0)
    zeroed[[3, 50]] = zeroed.mean(axis=0) if form is np.asarray else 0
    if form is np.asarray:
        zeroed = np.vstack([zeroed[:120], -zeroed[:120]]).astype(np.float32)  # their mean is 0
        zeroed[[3, 50, 123, 170]] = 0
    data = rows_of(form(zeroed))
    sampler = kernel(decay=1)
    sampler.begin(data)
    codes = codes_of(sampler, data)
    assert (codes[[3, 50]] == -1).all()
    others = np.setdiff1d(np.arange(N), [3, 50, 123, 170])
    assert (codes[others] >= 0).all()
    sampler.note(np.arange(N), observed(np.arange(N)), N)
    has_code = codes[:, 0] >= 0
    assert_allclose(sampler.scores(np.array([3, 50])), SCORES[has_code].mean())


def test_nothing_is_told_where_no_row_has_a_code():
    data = rows_of(np.ones((N, 3), np.float32))
    sampler, _ = taught(kernel(), data)
    assert sampler.scores(np.arange(N)) is None
    assert np.isnan(sampler.losses(data, np.arange(N))).all()


# ---- codes ----


@pytest.mark.parametrize("form", [X, sp.csr_array(X), WIDE_X], ids=["dense", "sparse", "wide"])
def test_a_code_does_not_depend_on_the_other_rows(form, monkeypatch):
    sampler, data = kernel(), rows_of(form)
    sampler.begin(data)
    codes = codes_of(sampler, data)
    for rows in ([7], [200, 3], np.arange(N)[::-1]):
        assert_array_equal(codes_of(sampler, data, np.array(rows)), codes[rows])
    monkeypatch.setattr(_kernel, "ROWS_AT_ONCE", 17)
    assert_array_equal(codes_of(sampler, rows_of(form, n_threads=2)), codes)


def test_codes_kept_are_those_of_the_rows():
    once, often = kernel(), kernel()
    for sampler in (once, often):
        taught(sampler)
    some = RNG.permutation(N)[:30]
    apart = once.scores(some)
    often.scores(np.arange(N))  # from now on they are kept
    assert_array_equal(often.scores(some), apart)
    for sampler in (once, often):
        sampler.note(some, observed(some), BATCH)
    assert_array_equal(once.scores(some), often.scores(some))


def test_dense_features_count_alike_whatever_their_unit():
    sampler, moved = kernel(include_target=False), kernel(include_target=False)
    unit, origin = 2.0 ** np.arange(-9, 9, 3), np.array([1000, 0, -5, 3, 0.5, 8])
    for one, form in ((sampler, X), (moved, (unit * X + origin * unit).astype(np.float32))):
        one.begin(rows_of(form))
    same = codes_of(sampler) == codes_of(moved, moved._data)
    assert same.mean() > 0.98


def test_features_of_hardly_any_or_of_enormous_spread_do_no_harm():
    extreme = X.copy()
    extreme[:, 1] *= np.float32(1e-42)
    extreme[:, 2] *= np.float32(1e37)
    extreme[:, 3] = 5
    data = rows_of(extreme)
    sampler, _ = taught(kernel(n_bits=8), data)
    assert np.isfinite(sampler.scores(np.arange(N))).all()
    assert len(np.unique(codes_of(sampler, data)[:, 0])) > 20


def test_wide_rows_are_folded_to_inner_products_that_are_right_on_average():
    rows = WIDE_X[:12]
    exact = (rows @ rows.T).toarray()
    folded = []
    for seed in range(400):
        fold = _kernel.random_fold(2000, np.random.RandomState(seed))
        assert fold.shape == (2000, WIDE)
        folded.append(((rows @ fold) @ (rows @ fold).T).toarray())
    error = np.std(folded, axis=0) / np.sqrt(len(folded))
    assert (abs(np.mean(folded, axis=0) - exact) <= 4 * error + 1e-5).all()


def test_narrow_sparse_rows_are_not_folded():
    for width, folded in [(WIDE, False), (WIDE + 1, True)]:
        sampler = kernel()
        sampler.begin(rows_of(WIDE_X[:, :width]))
        assert (sampler.codes.fold is not None) == folded


@pytest.mark.parametrize("width", [50, WIDE + 9])
@pytest.mark.parametrize("first", [sp.csr_array, np.asarray], ids=["sparse", "dense"])
def test_rows_have_the_same_codes_in_either_form(first, width):
    """That of the first rows decides what is done with them."""
    rows = WIDE_X[:, :width].toarray()
    sampler = kernel()
    sampler.begin(rows_of(first(rows)))
    dense, sparse = (codes_of(sampler, rows_of(form(rows))) for form in (np.asarray, sp.csr_array))
    assert_array_equal(dense, sparse)


def test_like_rows_share_codes():
    """As often as the angle between them says, however wide they are."""
    near = WIDE_X.copy()
    near.data *= RNG.uniform(0.9, 1.1, near.nnz).astype(np.float32)
    sampler = kernel(n_rows=50, include_target=False)
    sampler.begin(rows_of(WIDE_X))
    codes, others = codes_of(sampler, rows_of(WIDE_X)), codes_of(sampler, rows_of(near))
    assert (codes == others).mean() > 0.9
    assert (codes == np.roll(others, 1, axis=0)).mean() < 0.15


# ---- the other samplers ----


def test_a_stale_score_is_the_last_seen_and_the_mean_where_there_is_none():
    sampler = Stale()
    sampler.begin(rows_of())
    assert sampler.scores(np.arange(N)) is None
    sampler.note(np.array([5, 9, 5]), Observed(np.array([1.0, 2, 3]), np.zeros(3)), BATCH)
    assert_array_equal(sampler.scores(np.array([9, 5, 0])), [2, 3, 2.5])
    assert sampler.scores(np.array([0, 1])) is None
    sampler.end()
    sampler.begin(rows_of())  # others
    assert sampler.scores(np.arange(N)) is None


def test_exact_scores_are_asked_for_and_expected_ones_spared():
    asked = []

    def score(rows):
        asked.append(rows)
        return SCORES[rows]

    sampler = Exact()
    sampler.begin(rows_of(score=score))
    rows = np.array([4, 2])
    assert_array_equal(sampler.scores(rows), SCORES[rows])
    assert_array_equal(sampler.expected(rows, observed(rows)), SCORES[rows])
    sampler.note(rows, observed(rows), BATCH)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "cheap, dear", [(Uniform(), kernel(n_rows=1)), (Stale(), kernel(n_rows=8)), (kernel(), Exact())]
)
def test_what_samplers_cost_in_order(cheap, dear):
    assert cheap.multiply_adds(10_000) < dear.multiply_adds(10_000)


def test_only_codes_cost_anything_to_learn():
    """The more, the wider a row is, and the more values of it are folded."""
    narrow, wide, folded = kernel(), kernel(), kernel()
    dense = WIDE_X.toarray()
    for sampler, form in ((narrow, dense[:, :20]), (wide, dense[:, :WIDE]), (folded, dense)):
        sampler.begin(rows_of(form))
    costs = [one.learning_multiply_adds() for one in (Stale(), narrow, wide, folded)]
    assert 0 == costs[0] < costs[1] < costs[2] < costs[3]
    sparse = kernel()
    sparse.begin(rows_of(WIDE_X))
    assert costs[2] < sparse.learning_multiply_adds() < costs[3]


SAMPLERS = {"kernel": kernel, "stale": Stale, "exact": Exact, "uniform": Uniform}


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("pool", [50, N])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_draws_are_unbiased(make, pool, weighted, monkeypatch):
    monkeypatch.setattr(_draws, "POOL", pool)
    weight = RNG.uniform(0.2, 2, N) * (np.arange(N) % 4 > 0) if weighted else np.ones(N)
    weight = weight.astype(np.float32)
    draws = RowDraws(make())
    draws.begin(
        rows_of(), weight, 100, np.random.default_rng(0), batch_size=BATCH, pool_factor=5,
        subsample=1, floor=0.1, importance_power=1, warmup=0, min_gain=0,
    )  # fmt: skip
    for drawn in draws.epoch():
        draws.note(drawn, observed(drawn.rows))
    values = SCORES[:, None] * np.c_[X, np.ones(N)]
    drawn = next(draws.epoch())
    assert (drawn.ratio is None) == (make is Uniform)
    if make is Uniform:  # each row once: nothing varies
        wanted = (weight[:, None] * values).mean(axis=0)
        terms = drawn.unbiased[:, None] * values[drawn.rows]
        assert_allclose(terms.mean(axis=0), wanted, atol=1e-6)
    else:
        assert_unbiased(draws, weight, values, n_sets=300)


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_a_sampler_between_calls_can_be_stored(make):
    sampler, _ = taught(make())
    sampler.end()
    again = pickle.loads(pickle.dumps(sampler))
    assert again.nbytes == sampler.nbytes == (8 * 3 * 8 * 256 if make is kernel else 0)
    for one in (sampler, again):
        one.begin(rows_of())
        one.note(np.arange(40), observed(np.arange(40)), BATCH)
    rows = np.arange(N)
    told = sampler.scores(rows)
    assert (told is None) == (make is Uniform)
    if told is not None:
        assert_array_equal(again.scores(rows), told)
