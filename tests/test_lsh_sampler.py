"""LSHSampler: inclusion probabilities and estimates of Z, against closed forms."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklsh import _memory
from sklsh.negatives import LSHSampler

ESTIMATORS = {
    "mixed": {"estimator": "mixed"},
    "importance": {"estimator": "importance"},
    "head_tail": {"head": "buckets"},
    "best": {"n_head": 10},
    "uniform": {"estimator": "uniform"},
}
N_BITS, N_TABLES = 5, 6


def trained_like(n, width, n_queries, n_topics, spread, noise):
    """Vectors in topics, offsets as of Zipf frequencies, queries near vectors.

    How near vectors are to their topic, and queries to theirs, is up to spread and noise.
    """
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(n_topics, width))
    vectors = topics[rng.integers(0, n_topics, n)] + spread * rng.normal(size=(n, width))
    vectors *= rng.lognormal(sigma=0.3, size=(n, 1))
    queries = vectors[rng.integers(0, n, n_queries)] + noise * rng.normal(size=(n_queries, width))
    queries *= 8 / np.sqrt(width) / np.linalg.norm(queries, axis=1, keepdims=True)
    return vectors, -np.log(rng.permutation(n) + 3.0), queries


V, OFFSET, Q = trained_like(300, 16, n_queries=4, n_topics=12, spread=0.7, noise=1)
LOGITS = Q @ V.T + OFFSET
LOG_Z = logsumexp(LOGITS, axis=1)


def angles(A, B):
    """Angles between the rows of A and those of B."""
    A, B = (X / np.linalg.norm(X, axis=1, keepdims=True) for X in (A, B))
    return np.arccos(np.clip(A @ B.T, -1, 1))


def law(angle, n_bits=N_BITS, n_tables=N_TABLES):
    """Probability to be found."""
    return 1 - (1 - (1 - angle / np.pi) ** n_bits) ** n_tables


def law_of_both(angle, between):
    """Probability of each pair of items, at `angle` from one query, that both are found."""
    share = 1 - angle / np.pi
    both = 1 - (angle[:, None] + angle + between) / (2 * np.pi)  # all three on one side
    miss, miss_both = (1 - share**N_BITS) ** N_TABLES, np.empty_like(between)
    miss_both = (1 - share[:, None] ** N_BITS - share**N_BITS + both**N_BITS) ** N_TABLES
    return 1 - miss[:, None] - miss + miss_both


def make(random_state=0, **settings):
    settings = {"n_bits": N_BITS, "n_tables": N_TABLES, "n_uniform": 30} | settings
    return LSHSampler(**settings, random_state=random_state)


def estimated(sampler, queries, name):
    return sampler.estimate_partition(queries, **ESTIMATORS[name])


@pytest.fixture(scope="module", params=[300, pytest.param(2000, marks=pytest.mark.slow)])
def draws(request):
    """Estimates over the exact Z, and what was found, for independent hash functions."""
    ratios = {name: np.empty((request.param, len(Q))) for name in ESTIMATORS}
    found = np.empty((request.param, *LOGITS.shape), dtype=bool)
    with pytest.MonkeyPatch.context() as context:
        context.setattr(_memory, "available_bytes", lambda: None)  # a third of the time
        for seed in range(request.param):
            sampler = make(seed).fit(V, OFFSET)
            found[seed] = sampler.candidates(Q).toarray() > 0
            for name in ESTIMATORS:
                ratios[name][seed] = np.exp(estimated(sampler, Q, name) - LOG_Z)
    return ratios, found


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_mean_over_hash_functions_is_the_exact_sum(draws, name):
    ratios = draws[0][name]
    error = ratios.std(axis=0, ddof=1) / np.sqrt(len(ratios))
    assert (error < 0.2).all()  # or the next line would say little
    assert (np.abs(ratios.mean(axis=0) - 1) < 3 * error).all()


def test_items_are_found_as_often_as_the_law_says(draws):
    found = draws[1]
    p = law(angles(Q, V))
    error = np.sqrt(p * (1 - p) / len(found))
    assert p.min() < 0.05 and p.max() > 0.95
    assert (np.abs(found.mean(axis=0) - p) < 4.5 * error + 1 / len(found)).all()


def test_probabilities_are_those_of_the_law():
    candidates = make().fit(V, OFFSET).candidates(Q)
    rows, ids = candidates.nonzero()
    assert_allclose(candidates.data, law(angles(Q, V))[rows, ids], rtol=1e-4)


def test_variance_of_importance_is_the_sum_over_pairs(draws):
    variance = draws[0]["importance"].var(axis=0, ddof=1)
    for i, q in enumerate(Q):
        f = np.exp(LOGITS[i] - LOG_Z[i])
        angle = angles(q[None], V)[0]
        p, both = law(angle), law_of_both(angle, angles(V, V))
        np.fill_diagonal(both, p)
        expected = f @ (both / np.outer(p, p) - 1) @ f
        # heavy tails: the variance of a variance is itself uncertain
        assert 0.4 < variance[i] / expected < 2.5


def variance_of_uniform(f, m):
    """Of n / m times the sum of m of the n values f, drawn without replacement."""
    return len(f) * (len(f) - m) / m * f.var(ddof=1)


def variance_given(found, f, m):
    """The same for those not found, for each query."""
    return [variance_of_uniform(row[~hits], m) for row, hits in zip(f, found, strict=True)]


def test_variance_of_draws_without_replacement(draws):
    """That of head_tail is its mean over heads, since it is unbiased given each."""
    ratios, found = draws
    f = np.exp(LOGITS - LOG_Z[:, None])
    uniform = [variance_of_uniform(row, 30) for row in f]
    head_tail = np.mean([variance_given(hits, f, 30) for hits in found], axis=0)
    for name, expected in {"uniform": uniform, "head_tail": head_tail}.items():
        assert_allclose(ratios[name].var(axis=0, ddof=1), expected, rtol=0.6)


def test_a_head_at_small_angles_is_worth_more_than_its_cost():
    """Cost: products of the query with vectors of items and of hash functions."""
    vectors, offset, queries = trained_like(
        3000, 32, n_queries=50, n_topics=60, spread=0.3, noise=0.3
    )
    logits = queries @ vectors.T + offset
    f = np.exp(logits - logsumexp(logits, axis=1)[:, None])
    samplers = [make(seed, n_bits=8, n_tables=16).fit(vectors, offset) for seed in range(20)]
    found = np.array([s.candidates(queries).toarray() > 0 for s in samplers])
    cost = round(found.sum(axis=2).mean() + 100 + 8 * 16)
    assert cost < 600
    head_tail = np.mean([variance_given(hits, f, 100) for hits in found], axis=0)
    uniform = np.array([variance_of_uniform(row, cost) for row in f])
    assert head_tail.mean() < 0.5 * uniform.mean()
    assert (head_tail < uniform).mean() > 0.8


def test_at_wide_angles_probabilities_are_worth_more_than_a_head():
    """Large terms are then missed by most draws of the hash functions."""
    vectors, offset, queries = trained_like(
        3000, 32, n_queries=50, n_topics=60, spread=0.7, noise=1
    )
    samplers = [make(seed, n_bits=8, n_tables=8).fit(vectors, offset) for seed in range(40)]
    log_z = samplers[0].log_partition(queries)
    errors = {
        name: [np.expm1(estimated(s, queries, name) - log_z) for s in samplers]
        for name in ("mixed", "head_tail")
    }
    assert np.square(errors["mixed"]).mean() < 0.5 * np.square(errors["head_tail"]).mean()


def test_log_partition_is_exact(simd_level, n_threads):
    sampler = make(n_jobs=n_threads).fit(V, OFFSET)
    assert_allclose(sampler.log_partition(Q), LOG_Z, atol=1e-5)
    assert_allclose(make().fit(V).log_partition(Q), logsumexp(Q @ V.T, axis=1), atol=1e-5)


def test_more_than_a_block_of_queries(monkeypatch):
    many = np.tile(Q, (100, 1))
    sampler = make().fit(V, OFFSET)
    assert_allclose(sampler.log_partition(many), np.tile(LOG_Z, 100), atol=1e-5)
    assert_allclose(
        estimated(sampler, many, "importance"),
        np.tile(estimated(sampler, Q, "importance"), 100),
    )
    by_draws = estimated(sampler, many, "uniform").reshape(100, 4)
    assert len(np.unique(by_draws[:, 0])) == 100  # each query has draws of its own


@pytest.mark.parametrize("name", ["mixed", "head_tail", "best", "uniform"])
@pytest.mark.parametrize("n_uniform", [150, 10**9])
def test_sums_are_exact_where_half_of_the_items_are_looked_at(name, n_uniform):
    sampler = make(n_uniform=n_uniform).fit(V, OFFSET)
    assert_allclose(estimated(sampler, Q, name), LOG_Z, atol=1e-5)


def test_head_and_tail_are_exact_where_they_hold_all():
    everything = make(n_bits=1, n_tables=64, n_uniform=140).fit(V, OFFSET)
    assert (np.diff(everything.candidates(Q).indptr) > 160).all()
    assert_allclose(estimated(everything, Q, "head_tail"), LOG_Z, atol=1e-5)
    assert_allclose(estimated(everything, Q, "importance"), LOG_Z, atol=0.01)
    assert_allclose(estimated(everything, Q, "mixed"), LOG_Z, atol=0.01)


def test_sample_is_a_row_of_candidates():
    sampler = make().fit(V, OFFSET)
    candidates = sampler.candidates(Q)
    assert candidates.shape == (4, 300)
    for q, start, stop in zip(Q, candidates.indptr[:-1], candidates.indptr[1:], strict=True):
        ids, probability = sampler.sample(q)
        assert_array_equal(ids, np.unique(ids))
        assert_array_equal(ids, candidates.indices[start:stop])
        assert_array_equal(probability, candidates.data[start:stop])


def test_an_item_finds_itself_for_certain_and_its_opposite_never():
    sampler = make().fit(np.vstack([V[:50], -V[:50]]))
    for i in range(50):
        ids, probability = sampler.sample(3 * V[i])
        assert probability[ids == i] == pytest.approx(1, abs=1e-6)
        assert i + 50 not in ids and probability.min() > 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_probabilities_do_not_depend_on_lengths(scale):
    usual = make().fit(V).candidates(Q)
    scaled = make().fit(V * scale).candidates(Q / scale)
    assert_array_equal(scaled.indices, usual.indices)
    assert_allclose(scaled.data, usual.data, rtol=1e-5)
    assert_allclose(
        make().fit(V * scale).log_partition(Q / scale), logsumexp(Q @ V.T, axis=1), atol=1e-4
    )


def test_zero_vectors_have_no_angle_and_are_never_found():
    """Importance adds them exactly; a query of zeros finds nothing."""
    vectors, offset = np.vstack([V, np.zeros((5, 16))]), np.append(OFFSET, np.arange(5))
    sampler, without = make().fit(vectors, offset), make().fit(V, OFFSET)
    queries = np.vstack([Q, np.zeros(16)])
    assert sampler.candidates(queries).indices.max() < 300
    estimate = estimated(sampler, queries, "importance")
    zeros = logsumexp(np.arange(5))
    assert_allclose(estimate[:4], np.logaddexp(estimated(without, Q, "importance"), zeros))
    assert estimate[4] == pytest.approx(zeros)
    assert estimated(without, queries, "importance")[4] == -np.inf
    assert sampler.log_partition(queries)[4] == pytest.approx(logsumexp(offset), abs=1e-5)
    assert np.isfinite(estimated(sampler, queries, "head_tail")).all()


def test_mixed_is_unbiased_for_zero_vectors_and_zero_queries():
    vectors, offset = np.vstack([V, np.zeros((5, 16))]), np.append(OFFSET, np.full(5, 2.0))
    queries = np.vstack([Q[:1], np.zeros(16)])
    log_z = make().fit(vectors, offset).log_partition(queries)
    samplers = (make(seed, n_uniform=100).fit(vectors, offset) for seed in range(300))
    ratios = np.exp([estimated(s, queries, "mixed") - log_z for s in samplers])
    error = ratios.std(axis=0, ddof=1) / np.sqrt(300)
    assert (error < 0.05).all()
    assert (np.abs(ratios.mean(axis=0) - 1) < 3 * error).all()


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, np.ndarray.tolist, np.float32])
def test_containers_and_threads_change_nothing(container):
    vectors, queries = V.astype(np.float32).astype(float), Q.astype(np.float32).astype(float)
    usual = make().fit(vectors, OFFSET)
    other = make(n_jobs=2).fit(container(vectors), OFFSET.tolist())
    assert_array_equal(
        other.candidates(container(queries)).toarray(), usual.candidates(queries).toarray()
    )
    for name in ESTIMATORS:
        assert_array_equal(
            estimated(other, container(queries), name),
            estimated(usual, queries, name),
        )
    assert_array_equal(other.log_partition(container(queries)), usual.log_partition(queries))


def test_random_state_draws_everything():
    first, again, other = (make(seed).fit(V, OFFSET) for seed in (0, 0, 1))
    for name in ESTIMATORS:
        estimate = estimated(first, Q, name)
        assert_array_equal(estimate, estimated(first, Q, name))
        assert_array_equal(estimate, estimated(again, Q, name))
        assert (estimate != estimated(other, Q, name)).all()


def test_clone_pickle_and_sizes():
    sampler = make(bucket_size=3).fit(V, OFFSET)
    assert clone(sampler).get_params() == sampler.get_params()
    with pytest.raises(NotFittedError):
        clone(sampler).sample(Q[0])
    copy = pickle.loads(pickle.dumps(sampler))
    for name in ESTIMATORS:
        assert_array_equal(estimated(copy, Q, name), estimated(sampler, Q, name))
    assert (sampler.n_items_, sampler.n_features_in_, sampler.n_bits_) == (300, 16, 5)
    assert sampler.nbytes > V.size * 4 and 300 / 32 <= sampler.bucket_load_ < 60
    assert LSHSampler(bucket_size=300 / 2**4).fit(V).n_bits_ == 4


def with_entry(X, value):
    changed = np.array(X)
    changed.flat[3] = value
    return changed


BAD_CALLS = [
    pytest.param(lambda s: s.fit(with_entry(V, np.nan)), "vectors contains NaN", id="NaN"),
    pytest.param(lambda s: s.fit(V[:0]), r"0 sample\(s\)", id="no items"),
    pytest.param(lambda s: s.fit(V[0]), "Expected 2D array", id="1-D vectors"),
    pytest.param(lambda s: s.fit(V, OFFSET[:-1]), r"offset must .*\(300,\).*\(299,\)", id="short"),
    pytest.param(lambda s: s.fit(V, 1.0), r"offset must .*\(300,\).* got \(\)", id="one offset"),
    pytest.param(lambda s: s.fit(V, OFFSET[:, None]), "offset must .* got", id="2-D offset"),
    pytest.param(lambda s: s.fit(V, with_entry(OFFSET, np.inf)), "offset contains inf", id="inf"),
    pytest.param(lambda s: s.sample(Q), "q must be one query .* got 2", id="many for one"),
    pytest.param(lambda s: s.sample(Q[0, :5]), "Q has 5 features, but .* 16", id="short q"),
    pytest.param(lambda s: s.candidates(Q[:, :5]), "Q has 5 features, but .* 16", id="narrow"),
    pytest.param(lambda s: s.candidates(with_entry(Q, np.nan)), "Q contains NaN", id="NaN in Q"),
    pytest.param(lambda s: s.log_partition(Q[:, :5]), "Q has 5 features", id="narrow, exact"),
    pytest.param(lambda s: s.estimate_partition(Q[0]), "Expected 2D array", id="1-D Q"),
    pytest.param(lambda s: s.estimate_partition(Q, "mean"), "estimator must be one of", id="name"),
    pytest.param(lambda s: s.estimate_partition(Q, head="top"), "head must be one of", id="head"),
    *(
        pytest.param(
            lambda s, name=name: s.estimate_partition(Q, name, head="buckets"),
            f'head="buckets" is for estimator="head_tail"; got .*{name}', id=f"head of {name}",
        )
        for name in ("mixed", "importance", "uniform")
    ),
    *(
        pytest.param(
            lambda s, n=n: s.estimate_partition(Q, n_head=n),
            f"n_head must be an integer of at least 1; got {n!r}", id=f"n_head={n!r}",
        )
        for n in (0, -5, 2.5, None, True, "all")
    ),
]  # fmt: skip


@pytest.mark.parametrize("call, message", BAD_CALLS)
def test_bad_calls_are_refused_and_change_nothing(call, message):
    sampler = make().fit(V, OFFSET)
    before = sampler.estimate_partition(Q)
    with pytest.raises(ValueError, match=message):
        call(sampler)
    assert_array_equal(sampler.estimate_partition(Q), before)


@pytest.mark.parametrize(
    "name, value",
    [("n_bits", 0), ("n_bits", 25), ("n_tables", 0), ("bucket_size", 0), ("n_uniform", 0),
     ("n_uniform", 0.5), ("random_state", "x"), ("n_jobs", "all")],
)  # fmt: skip
def test_bad_parameters_are_refused_by_name(name, value):
    sampler = LSHSampler(**{name: value})
    with pytest.raises(ValueError, match=f"'{name}' parameter of LSHSampler"):
        sampler.fit(V)
    assert not hasattr(sampler, "n_items_")


def test_a_number_of_draws_that_cannot_be_is_refused_after_fit():
    sampler = make().fit(V, OFFSET).set_params(n_uniform=-3)
    with pytest.raises(ValueError, match="'n_uniform' parameter of LSHSampler"):
        sampler.estimate_partition(Q)


def test_found_items_are_int32_as_documented():
    sampler = make().fit(V, OFFSET)
    assert sampler.sample(Q[0])[0].dtype == sampler.candidates(Q).indices.dtype == np.int32


@pytest.mark.parametrize("method", ["candidates", "estimate_partition", "log_partition"])
def test_unfitted_samplers_say_so(method):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(Q)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: s.fit(V), "sampler of 300 vectors of 16 features would take"),
        (lambda s: s.candidates(Q), "would take"),
        (lambda s: s.log_partition(Q), "would take"),
        (lambda s: estimated(s, Q, "importance"), "entries of the queries' buckets"),
        (lambda s: estimated(s, Q, "uniform"), "120 items looked at by 4 queries"),
        (lambda s: estimated(s, Q, "best"), "Finding the 10 best of 300 items for 4 queries"),
    ],
)
def test_memory_is_refused_with_its_bytes(call, message, monkeypatch):
    sampler = make().fit(V, OFFSET)
    before = sampler.estimate_partition(Q)
    with monkeypatch.context() as context:
        context.setattr(_memory, "available_bytes", lambda: 300)
        with pytest.raises(MemoryError, match=message + r".* [\d,]+ bytes, but 300 bytes"):
            call(sampler)
    assert_array_equal(sampler.estimate_partition(Q), before)
