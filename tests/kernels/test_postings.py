"""Postings: the rows of largest cosine, as a full product ranks them, whatever is left unread."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklsh._neighbors import Postings


def zipf_rows(n, n_features, seed, signed=False):
    """Sparse rows with a few very common features, on which postings are pruned."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, n_features + 1)
    features = rng.choice(n_features, p=share / share.sum(), size=(n, 9))
    values = rng.random(features.shape) * (1 + features) ** 0.5
    if signed:
        values *= rng.choice([-1, 1], size=features.shape)
    rows = np.repeat(np.arange(n), 9)
    return sp.csr_array((values.ravel(), (rows, features.ravel())), (n, n_features)).astype("f4")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("k", [1, 10, 50])
def test_postings_find_what_the_twin_finds(k, signed, n_threads):
    rows, queries = zipf_rows(3000, 500, 0, signed), zipf_rows(60, 500, 1, signed)
    found = Postings(rows).nearest(queries, k, n_threads)
    reference.assert_nearest(found, queries.toarray(), rows.toarray(), k)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 12))
def test_postings_of_small_matrices(seed, n, n_features):
    rng = np.random.default_rng(seed)
    rows, queries = (
        (rng.integers(-2, 3, (m, n_features)) * (rng.random((m, n_features)) < 0.5)).astype("f4")
        for m in (n, 5)
    )
    k = min(4, n)
    found = Postings(sp.csr_array(rows)).nearest(sp.csr_array(queries), k, 1)
    reference.assert_nearest(found, queries, rows, k)


def test_row_alone_has_the_neighbours_it_has_among_others(n_threads):
    rows, queries = zipf_rows(2000, 300, 0), zipf_rows(50, 300, 1)
    finder = Postings(rows)
    ids, cosines = finder.nearest(queries, 10, n_threads)
    for i in range(0, 50, 7):
        alone = finder.nearest(queries[i : i + 1], 10, 1)
        assert_array_equal(alone[0][0], ids[i])
        assert_array_equal(alone[1][0], cosines[i])
