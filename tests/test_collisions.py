"""Collision laws: how often codes of two vectors agree, against what theory says."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from scipy.special import comb

from sklsh._hashing import make_hasher
from sklsh.lsh import DWTA, LSHIndex, SimHash

ANGLES = np.radians([15, 30, 45, 60, 90])


def orthogonal_pairs(kind, width, n, seed=0):
    """Unit vectors u, v with u_i orthogonal to v_i: random ones, or one-hot."""
    rng = np.random.default_rng(seed)
    if kind == "axes":
        i = rng.integers(0, width, n)
        j = (i + rng.integers(1, width, n)) % width
        return np.eye(width, dtype=np.float32)[i], np.eye(width, dtype=np.float32)[j]
    u, v = rng.standard_normal((2, n, width), dtype=np.float32)
    v -= (u * v).sum(axis=1, keepdims=True) / (u * u).sum(axis=1, keepdims=True) * u
    return tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, v))


def at_angle(u, v, angle):
    return np.float32(np.cos(angle)) * u + np.float32(np.sin(angle)) * v


# ---- SimHash ----


@pytest.mark.parametrize("width", [64, 128, 256, 512, 1024])
@pytest.mark.parametrize("projections", ["rotation", "gaussian"])
def test_bits_of_simhash_agree_as_often_as_the_angle_says(projections, width):
    u, v = orthogonal_pairs("random", width, 40)
    hasher = SimHash(1, n_tables=1024, projections=projections, random_state=0).fit(u)
    for angle in [*ANGLES, np.radians(150)]:
        agree = hasher.transform(u) == hasher.transform(at_angle(u, v, angle))
        # 40,960 bits: 0.01 is four standard deviations
        assert abs(agree.mean() - (1 - angle / np.pi)) < 0.01


@pytest.mark.parametrize("n_bits, n_tables", [(4, 2), (8, 16), (12, 64)])
@pytest.mark.parametrize("kind, width", [("random", 24), ("axes", 24), ("random", 128)])
def test_retrieval_with_gaussian_projections_follows_the_law(kind, width, n_bits, n_tables):
    u, v = orthogonal_pairs(kind, width, 2000)
    settings = {"hash_family": "dense_simhash", "n_bits": n_bits, "n_tables": n_tables}
    for angle in np.radians([20, 45, 70]):
        found = []
        for seed, rows in enumerate(np.arange(2000).reshape(20, 100)):
            index = LSHIndex(**settings, random_state=seed).fit(u[rows])
            candidates = index.candidates(at_angle(u[rows], v[rows], angle))
            found.append(candidates.diagonal().mean())
        law = 1 - (1 - (1 - angle / np.pi) ** n_bits) ** n_tables
        spread = np.std(found, ddof=1) / np.sqrt(len(found))
        error = max(spread, np.sqrt(law * (1 - law) / len(u)))
        assert abs(np.mean(found) - law) < 4 * error


def largest_departures(kind, width):
    """Largest |measured - law| of sharing the code of one table, and of some table."""
    u, v = orthogonal_pairs(kind, width, 2000)
    of_one, of_some = [], []
    for n_bits in (4, 8, 12):
        hashers = [
            make_hasher("simhash", width, n_bits, 64, np.random.RandomState(seed))
            for seed in range(4)
        ]
        for angle in ANGLES:
            w = at_angle(u, v, angle)
            agree = np.vstack([hasher.codes(u) == hasher.codes(w) for hasher in hashers])
            p = (1 - angle / np.pi) ** n_bits
            for n_tables in (1, 4, 16, 64):
                shared = agree.reshape(len(agree), -1, n_tables).any(axis=2).mean()
                departure = abs(shared - (1 - (1 - p) ** n_tables))
                of_some.append(departure)
                if n_tables == 1:
                    of_one.append(departure)
    return max(of_one), max(of_some)


# The docstrings of SimHash and LSHIndex state these bounds.
@pytest.mark.parametrize(
    "kind, width, of_one, of_some",
    [
        ("random", 16, 0.02, 0.20),
        ("random", 64, 0.01, 0.06),
        ("random", 128, 0.01, 0.03),
        ("random", 512, 0.01, 0.015),
        ("axes", 16, 0.05, 0.30),
        ("axes", 64, 0.03, 0.25),
        ("axes", 128, 0.03, 0.15),
        ("axes", 512, 0.03, 0.15),
    ],
)
def test_departure_of_rotations_from_the_law_is_bounded(kind, width, of_one, of_some):
    departure_of_one, departure_of_some = largest_departures(kind, width)
    assert departure_of_one < of_one
    assert departure_of_some < of_some


# ---- DWTA ----


def mean_and_error(agree):
    """Mean over all, and its standard error from the means of independent rows."""
    means = agree.reshape(len(agree), -1).mean(axis=1)
    return means.mean(), means.std(ddof=1) / np.sqrt(len(means))


@pytest.mark.parametrize("correlation", [0.5, 0.9, 0.99])
def test_digits_agree_as_often_as_the_ranks_say(correlation):
    x, noise = np.random.RandomState(0).normal(size=(2, 64))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    below_both = ((x[:, None] > x) & (y[:, None] > y)).sum(axis=1)
    law = comb(below_both, 7).sum() / comb(64, 8)
    codes = DWTA(3, n_tables=8 * 1500, random_state=0).fit_transform([x, y])
    agree = codes[0] == codes[1]
    mean, error = mean_and_error(agree.reshape(1500, 8))  # permutations are independent
    assert abs(mean - law) < 4 * error
    assert law > 0.2  # well above chance


@pytest.mark.parametrize(
    "width, chance", [(1, 1), (3, 1 / 3), (8, 1 / 8), (10, 5 / 16), (64, 1 / 8)]
)
def test_unrelated_vectors_agree_on_a_digit_by_chance(width, chance):
    x, y = np.random.RandomState(0).normal(size=(2, 2000, width))
    hasher = DWTA(3, n_tables=64, random_state=0).fit(x)
    mean, error = mean_and_error(hasher.transform(x) == hasher.transform(y))
    assert abs(mean - chance) <= 4 * error


@pytest.mark.parametrize("n_common, n_own", [(0, 30), (16, 24), (36, 12)])
def test_digits_of_wide_sets_agree_by_jaccard_similarity(n_common, n_own):
    jaccard = n_common / (n_common + 2 * n_own)
    agree = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = rng.choice(200_000, (20, n_common + 2 * n_own), replace=False, shuffle=False)
        x, y = indicator(drawn[:, n_own:]), indicator(drawn[:, : n_common + n_own])
        hasher = DWTA(3, n_tables=64, random_state=seed).fit(x)
        agree.append(hasher.transform(x) == hasher.transform(y))
    mean, error = mean_and_error(np.array(agree))
    assert abs(mean - (jaccard + (1 - jaccard) / 8)) < 4 * error


def indicator(ids):
    """One sparse row of 200,000 features for each row of ids."""
    indptr = np.arange(0, ids.size + 1, ids.shape[1])
    return sp.csr_array((np.ones(ids.size), ids.ravel(), indptr), shape=(len(ids), 200_000))


@pytest.mark.parametrize("width", [5, 64, 100])
@pytest.mark.parametrize("transform", [np.sqrt, np.square, np.log1p, lambda x: 7 * x])
def test_monotone_transformations_of_positive_values_change_nothing(transform, width):
    X = np.random.default_rng(0).permuted(np.tile(np.arange(1.0, width + 1), (30, 1)), axis=1)
    hasher = DWTA(random_state=0).fit(X)
    assert_array_equal(hasher.transform(transform(X)), hasher.transform(X))
