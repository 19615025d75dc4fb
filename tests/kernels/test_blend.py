"""Votes: added to listed scores, with labels that only neighbours have at the list's end."""

import numpy as np
import reference
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sklsh._votes import Poll, voting_labels


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 4), st.integers(1, 8))
def test_blend_is_that_of_the_twin(seed, m, n_neighbors, k):
    rng = np.random.default_rng(seed)
    n, n_labels, n_rows = 5, 8, 12
    Y = rng.random((n_rows, n_labels)) < 0.3
    ids = np.argsort(rng.random((n, n_labels)), axis=1)[:, :m].astype(np.int32)
    ids[rng.random(ids.shape) < 0.2] = -1
    scores = rng.normal(size=ids.shape).astype("f4")
    voters = rng.integers(-1, n_rows, (n, n_neighbors)).astype(np.int32)
    shares = rng.random(voters.shape).astype("f4")
    poll = Poll(voters, shares, voting_labels(sp.csr_array(Y)))
    for n_threads in (1, 2):
        best, blended = poll.blend(ids, scores, 2.0, k, n_threads)
        for i in range(n):
            listed = (ids[i] >= 0).any()
            if not listed:  # there is no least score: votes count from 0
                continue
            expected = reference.blended(ids[i], scores[i], voters[i], shares[i], Y, 2.0)
            got = {label: s for label, s in zip(best[i], blended[i], strict=True) if label >= 0}
            assert len(got) == min(k, len(expected))
            assert_allclose(list(got.values()), sorted(expected.values())[::-1][:k], rtol=1e-5)
            assert_allclose(list(got.values()), [expected[label] for label in got], rtol=1e-5)
            assert (blended[i, len(got) :] == -np.inf).all()


def test_label_of_neighbours_alone_gets_the_least_score_of_the_list():
    labels = voting_labels(sp.csr_array(np.eye(4)))
    poll = Poll(np.int32([[3, 1]]), np.float32([[0.75, 0.25]]), labels)
    ids, scores = poll.blend(np.int32([[0, 1]]), np.float32([[5, 2]]), 4, 4)
    assert_array_equal(ids, [[0, 3, 1, -1]])  # 3 and 1: 2 + 4 * 0.75, 2 + 4 * 0.25
    assert_array_equal(scores, [[5, 5, 3, -np.inf]])
